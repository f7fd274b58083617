"""Who was invited: a code that comes with a registration puts its ticket into another lane."""

from dataclasses import replace

from aiohttp import web

from waitroom.gate.line import Line
from waitroom.kernel.answers import see_other
from waitroom.kernel.errors import BadToken, Refused
from waitroom.kernel.tokens import Ticket
from waitroom.rules.return_paths import return_path
from waitroom.store.limits import Limits, RetryAfter
from waitroom.store.rooms import Rooms

_TRIES_A_MINUTE = 30
_PARAMETER = "invite"


class Invitations:
    """The codes that visitors bring."""

    def __init__(self, rooms: Rooms, limits: Limits) -> None:
        """Judge by `rooms`; `limits` holds who guesses to a rate."""
        self._rooms = rooms
        self._limits = limits

    async def taken(self, ticket: Ticket, code: str, prefix: str) -> Ticket:
        """Return the place in the lane of `code` for who would have had `ticket`: another ticket, always the same.

        Raises:
            Refused: 403, the code is unknown here, ran out, or is used up; 429, many were tried from this network.
        """
        tried = await self._limits.take(f"invite:{ticket.room}:{prefix}", float(_TRIES_A_MINUTE), _TRIES_A_MINUTE)
        if isinstance(tried, RetryAfter):
            told = "Many invitations were tried from your network just now. Please try again shortly."
            raise Refused(429, "too-many", told, retry_after_s=tried.wait_s)
        try:
            invite = self._rooms.invites.read(code, room=ticket.room, event=ticket.event)
        except BadToken:
            told = "This invitation is not valid here. You may join the line without it."
            raise Refused(403, "invite-unknown", told) from None
        if invite.expires_ms <= self._rooms.now_ms():
            raise Refused(403, "invite-expired", "This invitation has run out. You may join the line without it.")
        guest = replace(ticket, lane=invite.lane, ticket_id=f"{ticket.ticket_id}-{invite.lane}")
        if not await self._rooms.invites.redeem(invite, guest.ticket_id):
            raise Refused(403, "invite-used", "This invitation was used already. You may join the line without it.")
        return guest


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
