"""The queue's own API: challenge, register, status, claim, leave; JSON for apps, cookies for browsers."""

from math import ceil

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from waitroom.gate import counters
from waitroom.gate.invitations import Invitations
from waitroom.gate.joining import Joining, Solution, refuse_foreign_origin, shown
from waitroom.gate.line import Issued, Line, lapsed
from waitroom.kernel.answers import NO_STORE, json_answer, read_form, read_json, see_other
from waitroom.kernel.errors import BadToken, Refused
from waitroom.kernel.origins import came_from
from waitroom.kernel.tokens import Ticket
from waitroom.rules.lanes import MAIN
from waitroom.rules.pacing import next_poll_ms
from waitroom.rules.return_paths import return_path
from waitroom.rules.visitors import address_prefix, wide_prefix
from waitroom.store.limits import Limits, RetryAfter
from waitroom.store.places import Standing
from waitroom.store.sessions import NotYet

_SLOW_BURST, _SLOW_WIDE_BURST = 4, 32
"""How many places without work a network may take in a minute: they are meant for the few who cannot compute.

The first is for what one visitor commands; who rents a whole IPv6 site has 65,536 of those, hence the second.
"""
_HONEYPOT = "website"


class Return(BaseModel):
    """Where a claim wants to go back to."""

    model_config = ConfigDict(extra="ignore")
    return_to: str | None = Field(None, max_length=4096)


class Queueing:
    """The endpoints below `/.waitroom/{room}/queue/` and the challenge."""

    def __init__(self, line: Line, limits: Limits, joining: Joining) -> None:
        """Take the steps of `joining`; `limits` hold places without work to a rate."""
        self._line = line
        self._limits = limits
        self._joining = joining
        self._invitations = Invitations(line, limits)

    async def challenge(self, request: web.Request) -> web.StreamResponse:
        """Pose a challenge."""
        room = self._own_room(request)
        return json_answer(self._joining.posed(room, self._address(request)))

    async def register(self, request: web.Request) -> web.StreamResponse:
        """Give a place for a solved challenge; the same place whenever the same challenge comes again."""
        room = self._own_room(request)
        sent = await read_json(request, Solution)
        ticket = self._joining.earned(room, sent)
        placed = await self._invitations.placed(request, ticket, self._address(request), sent.invite)
        presented = await self._line.present(placed, is_new=placed.score is None)
        if placed.lane != MAIN:
            await self._line.rooms.leave(ticket)  # who came without the invite first has two places otherwise
        status, body = self._joining.joined(presented)
        answer = json_answer(body, status=status)
        for cookie in self._invitations.cookies(request, presented):
            _with_cookie(answer, cookie)
        return answer

    async def slow(self, request: web.Request) -> web.StreamResponse:
        """Give a place to somebody without JavaScript; they pay in waiting time. Then back to the page they wanted."""
        room = self._own_room(request)
        form = await read_form(request)
        back = self._back(request, room, form.get("return_to"))
        if self._line.held_ticket(request, room) is not None or form.get(_HONEYPOT):
            return see_other(back)
        await self._take_slow(room, self._address(request))
        ticket = await self._invitations.placed(request, self._line.slow_ticket(room), self._address(request))
        presented = await self._line.present(ticket, is_new=True)
        self._joining.tally.count(counters.JOINS, room, "new")
        return see_other(back, self._invitations.cookies(request, presented))

    async def status(self, request: web.Request) -> web.StreamResponse:
        """Say where a ticket stands, and how long it may take."""
        room = self._room(request)
        if self._line.held_pass(request, room) is not None:
            return json_answer({"state": Standing.ADMITTED, **_NO_WAIT})
        presented = await self._line.present(self._ticket(request, room))
        wait = self._line.wait(presented)
        return json_answer(
            {
                "state": presented.place.standing,
                **shown(presented),
                "lane": presented.ticket.lane,
                "ticket_id": presented.ticket.ticket_id,
                "wait_s": {"low": wait.low_s, "likely": wait.likely_s, "high": wait.high_s},
                "next_poll_ms": next_poll_ms(wait.likely_s, self._line.rooms.rules(room).polling),
            }
        )

    async def claim(self, request: web.Request) -> web.StreamResponse:
        """Exchange a called ticket for a pass; the same answer when asked again."""
        room = self._own_room(request)
        ticket = self._ticket(request, room)
        wanted = await read_json(request, Return) if request.can_read_body else Return(return_to=None)
        pass_ = self._line.held_pass(request, room)
        is_in = pass_ is not None and pass_.session_id == ticket.ticket_id
        outcome = self._line.show(pass_) if pass_ is not None and is_in else await self._line.claim(ticket)
        match outcome:
            case Issued(issued, text, cookie):
                facts = {"state": Standing.ADMITTED, "pass": text, "expires_ms": issued.expires_ms}
                return _with_cookie(json_answer({**facts, "return_to": return_path(wanted.return_to)}), cookie)
            case NotYet(is_called, retry_ms):
                told = "Not quite yet: please ask again." if is_called else "It is not your turn yet."
                raise Refused(425, "not-called", told, retry_after_s=max(1, ceil(retry_ms / 1000)))
            case _:
                raise lapsed(outcome.why)

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """Give a place up, in the line or inside; leaving twice is leaving once."""
        room = self._own_room(request)
        ticket, pass_ = self._line.held_ticket(request, room), self._line.held_pass(request, room)
        if ticket is not None:
            await self._line.rooms.leave(ticket)
        if pass_ is not None:
            await self._line.end(pass_)
        left = web.Response(status=204, headers=NO_STORE)
        answer = _with_cookie(left, self._line.cookies.no_ticket(room))
        return _with_cookie(answer, self._line.cookies.no_pass(room))

    async def _take_slow(self, room: str, address: str) -> None:
        """Count a place without work for one visitor's network, and for the wider one that could be made of many.

        Raises:
            Refused: 429.
        """
        for prefix, burst in ((address_prefix(address), _SLOW_BURST), (wide_prefix(address), _SLOW_WIDE_BURST)):
            taken = await self._limits.take(f"slow:{room}:{prefix}", float(burst), burst)
            if isinstance(taken, RetryAfter):
                told = "Many places were taken from your network just now. Please try again shortly."
                raise Refused(429, "too-many", told, retry_after_s=taken.wait_s)

    def _room(self, request: web.Request) -> str:
        return self._line.rooms.rules(request.match_info["room"]).name

    def _own_room(self, request: web.Request) -> str:
        """Return the room of a POST that another site did not make our visitor's browser send."""
        refuse_foreign_origin(request)
        return self._room(request)

    def _ticket(self, request: web.Request, room: str) -> Ticket:
        ticket = self._line.held_ticket(request, room)
        if ticket is None and "Authorization" in request.headers:
            raise BadToken("ticket of an app refused")
        if ticket is None:
            raise Refused(404, "no-ticket", "There is no valid ticket here. Solve a challenge to get one.")
        return ticket

    def _address(self, request: web.BaseRequest) -> str:
        return self._joining.address(request, request.remote or "")

    def _back(self, request: web.Request, room: str, wanted: str | None) -> str:
        """Return the page whose form was sent: what the form says, else the Referer, where it is of this host."""
        wait = f"/.waitroom/{room}/wait"
        path, _, query = (wanted or came_from(request)).partition("?")
        if path == wait and not wanted:
            return wait + return_path(f"/?{query}" if query else None).removeprefix("/")
        return return_path(f"{path}?{query}" if query else path, wait)


_NO_WAIT = {"place": None, "ahead": 0, "wait_s": {"low": 0, "likely": 0, "high": 0}, "next_poll_ms": 1000}


def _with_cookie(answer: web.Response, cookie: str) -> web.Response:
    answer.headers.add("Set-Cookie", cookie)
    return answer
