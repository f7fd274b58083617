"""Ask for a verdict on every visit, and act on it."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import assert_never

from aiohttp import web

from waitroom.gate.inside import Additions, Inside
from waitroom.gate.invitations import kept_by_browser
from waitroom.gate.judge import Judge, is_navigation, must_wait
from waitroom.gate.line import Issued
from waitroom.gate.waiting_pages import WaitingPages
from waitroom.kernel.answers import problem, see_other
from waitroom.kernel.errors import Refused, WaitroomError
from waitroom.kernel.tokens import Pass, Ticket
from waitroom.rules.return_paths import return_path
from waitroom.rules.routes import Route
from waitroom.rules.verdicts import Enter, Forward, Refuse, Verdict, Wait, Welcome
from waitroom.store.places import Standing
from waitroom.store.sessions import Over

OnHead = Callable[[int, str | None], Additions]
Carry = Callable[[web.Request, str, str | None, OnHead | None], Awaitable[web.StreamResponse]]
"""Carries a request to the upstream of that name, with the text of its `Waitroom-Pass`: the proxy's side."""

log = logging.getLogger(__name__)

_UPSTREAM_FAULTS = frozenset({502, 503, 504})


class Door:
    """The catch-all: whatever is not an own endpoint comes here."""

    def __init__(self, judge: Judge, inside: Inside, pages: WaitingPages, carry: Carry) -> None:
        """Put the parts together."""
        self._judge = judge
        self._inside = inside
        self._line = judge.line
        self._pages = pages
        self._carry = carry

    async def visit(self, request: web.Request) -> web.StreamResponse:
        """Answer any request for the store: carried there, or the waiting page, or a problem."""
        host = request.headers.get("Host", "")
        judged = self._judge.judge(request, host, request.raw_path)
        if judged is None:
            return await self._carry(request, self._judge.routes.upstream(host, request.raw_path) or "", None, None)
        return await self._act(request, *judged)

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """Answer with the waiting page by its own address; who is in already goes to where they wanted."""
        room = self._line.rooms.rules(request.match_info["room"]).name
        if self._line.held_pass(request, room) is not None:
            return see_other(return_path(request.query.get("return_to")))
        return await self._queue(request, room)

    async def _act(self, request: web.Request, route: Route, found: Verdict) -> web.StreamResponse:
        match found:
            case Forward(pass_):
                if pass_ is None:
                    return await self._carry(request, route.upstream, None, None)
                return await self._admit(request, route, pass_)
            case Enter() | Welcome() | Wait():
                issued = await self._judge.let_in(request, route.room, found)
                if issued is None:
                    return await self._queue(request, route.room)
                return await self._admit(request, route, issued.pass_, is_new=True)
            case Refuse():
                raise self._judge.refused(route.room)
            case _:
                assert_never(found)

    async def _admit(
        self, request: web.Request, route: Route, pass_: Pass, *, is_new: bool = False
    ) -> web.StreamResponse:
        """Carry a request of somebody who is in; renew their pass as it goes by, unless the store ends it."""
        shown = self._judge.upstream_pass(pass_)

        def on_head(_status: int, command: str | None) -> Additions:
            return self._inside.answered(request, route.room, pass_, command, is_new=is_new)

        try:
            return await self._carry(request, route.upstream, shown, on_head)
        except WaitroomError as fault:
            if fault.status not in _UPSTREAM_FAULTS:
                raise
            return _without_upstream(fault, on_head(fault.status, None))  # whoever is inside stays so

    async def _queue(self, request: web.Request, room: str) -> web.StreamResponse:
        """Answer somebody who has to wait: the page for who looks at one, else a problem that says where to join."""
        if not is_navigation(request.method, request.headers):
            raise must_wait(room)
        ticket = self._line.held_ticket(request, room)
        if ticket is None:
            if (back := kept_by_browser(self._line, request, room)) is not None:
                return back
            self._line.refuse_if_full(room)
        if ticket is None or not ticket.is_slow:
            return self._pages.prepared(room).answer(request)
        return await self._serve_slow(request, room, ticket)

    async def _serve_slow(self, request: web.Request, room: str, ticket: Ticket) -> web.StreamResponse:
        """Do for a visitor without JavaScript, on each load, what the page's script does for the others."""
        presented = await self._line.present(ticket)
        standing = presented.place.standing
        if standing in {Standing.CALLED, Standing.ADMITTED}:
            outcome = await self._line.claim(presented.ticket)
            if isinstance(outcome, Issued):
                return see_other(_here(request), [outcome.cookie])
            standing = Standing.LAPSED if isinstance(outcome, Over) else Standing.CALLED
        answer = self._pages.for_slow(room, presented, standing)
        if standing is Standing.LAPSED:
            answer.headers.add("Set-Cookie", self._line.cookies.no_ticket(room))
        return answer


def _without_upstream(fault: WaitroomError, cookies: Sequence[tuple[str, str]]) -> web.Response:
    level = logging.DEBUG if isinstance(fault, Refused) else logging.WARNING
    log.log(level, "upstream gave no answer", extra={"kind": fault.kind, "reason": str(fault)})
    answer = problem(fault)
    for name, value in cookies:
        answer.headers.add(name, value)
    return answer


def _here(request: web.Request) -> str:
    """Return where a visitor who was let in goes on: the page they asked for."""
    if request.path.startswith("/.waitroom/"):
        return return_path(request.query.get("return_to"))
    return return_path(request.raw_path)
