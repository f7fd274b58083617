"""Who was invited: a code that comes with a registration puts its ticket into another lane."""

from dataclasses import replace

from aiohttp import web

from waitroom.gate.line import Line, Presented
from waitroom.kernel.answers import see_other
from waitroom.kernel.asking import Asking
from waitroom.kernel.errors import BadToken, Refused
from waitroom.kernel.tokens import Ticket
from waitroom.rules.lanes import PRIORITY
from waitroom.rules.return_paths import return_path
from waitroom.rules.visitors import address_prefix
from waitroom.store.limits import Limits, RetryAfter

_TRIES_A_MINUTE = 30
_PARAMETER = "invite"


class Invitations:
    """The codes that visitors bring."""

    def __init__(self, line: Line, limits: Limits) -> None:
        """Judge by the rooms of `line`; `limits` holds who guesses to a rate."""
        self._line = line
        self._limits = limits

    async def placed(self, request: web.Request, ticket: Ticket, address: str, code: str | None = None) -> Ticket:
        """Return `ticket` in the lane of the code that was sent, or that the browser keeps; else `ticket` itself.

        Whoever sends a solution again, the answer lost and the code used, stays the guest that their cookie says.

        Raises:
            Refused: the code that was sent is good for nothing; one that the browser keeps is left aside then.
        """
        kept = code or self._line.cookies.invite(request, ticket.room)
        if not kept:
            held = self._line.held_ticket(request, ticket.room)
            return held if held is not None and held.ticket_id == ticket.ticket_id else ticket
        try:
            return await self._taken(ticket, kept, address_prefix(address))
        except Refused:
            if code:
                raise
            return ticket

    def cookies(self, request: Asking, presented: Presented) -> list[str]:
        """Return the Set-Cookie values of a place: the ticket; a guest's code is taken away."""
        cookies, ticket = self._line.cookies, presented.ticket
        is_done = ticket.lane == PRIORITY and cookies.invite(request, ticket.room) is not None
        return [self._line.ticket_cookie(presented), *([cookies.invite_cookie(ticket.room, "")] if is_done else [])]

    async def _taken(self, ticket: Ticket, code: str, prefix: str) -> Ticket:
        """Return `ticket` in the lane of `code`: its id stays, so that both lanes lead to one session and no second.

        Raises:
            Refused: 403, the code is unknown here, ran out, or is used up; 429, many were tried from this network.
        """
        tried = await self._limits.take(f"invite:{ticket.room}:{prefix}", float(_TRIES_A_MINUTE), _TRIES_A_MINUTE)
        if isinstance(tried, RetryAfter):
            told = "Many invitations were tried from your network just now. Please try again shortly."
            raise Refused(429, "too-many", told, retry_after_s=tried.wait_s)
        try:
            invite = self._line.rooms.invites.read(code, room=ticket.room, event=ticket.event)
        except BadToken:
            told = "This invitation is not valid here. You may join the line without it."
            raise Refused(403, "invite-unknown", told) from None
        if invite.expires_ms <= self._line.rooms.now_ms():
            raise Refused(403, "invite-expired", "This invitation has run out. You may join the line without it.")
        if not await self._line.rooms.invites.redeem(invite, ticket.ticket_id):
            raise Refused(403, "invite-used", "This invitation was used already. You may join the line without it.")
        return replace(ticket, lane=invite.lane)


def kept_by_browser(line: Line, request: web.Request, room: str) -> web.StreamResponse | None:
    """Return the way back to a page that was asked for with `?invite=CODE`, without it: the browser keeps the code.

    None where there is no code of ours: a parameter of that name may be the store's own.
    """
    code = request.query.get(_PARAMETER)
    if code is None:
        return None
    try:
        line.rooms.invites.read(code, room=room, event=line.rooms.schedule(room).event)
    except BadToken:
        return None
    path, _, query = request.raw_path.partition("?")
    rest = "&".join(part for part in query.split("&") if part.partition("=")[0] != _PARAMETER)
    target = f"{path}?{rest}" if rest else path
    is_own = request.path.startswith("/.waitroom/")
    return see_other(target if is_own else return_path(target), [line.cookies.invite_cookie(room, code)])
