"""Ask for a verdict on every visit, and act on it."""

import logging
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import assert_never

from aiohttp import web

from waitroom.gate import counters
from waitroom.gate.line import Issued, Line
from waitroom.gate.waiting_pages import WaitingPages
from waitroom.kernel.answers import problem
from waitroom.kernel.errors import Refused, StoreUnavailable, WaitroomError
from waitroom.kernel.tasks import Errands
from waitroom.kernel.tokens import Pass, Ticket, UpstreamPassSigner
from waitroom.rules.return_paths import return_path
from waitroom.rules.rooms import Queueing
from waitroom.rules.routes import Route, Routes
from waitroom.rules.verdicts import Enter, Forward, Refuse, Verdict, Wait, Welcome, verdict
from waitroom.store.rooms import Entered, Standing
from waitroom.store.sessions import Over

OnHead = Callable[[int, str | None], Sequence[tuple[str, str]]]
Carry = Callable[[web.Request, str, str | None, OnHead | None], Awaitable[web.StreamResponse]]
"""Carries a request to the upstream of that name, with the text of its `Waitroom-Pass`: the proxy's side."""

log = logging.getLogger(__name__)

_UPSTREAM_FAULTS = frozenset({502, 503, 504})
_UPSTREAM_PASS_MS = 60_000
_REOPENS_S = 30
"""When somebody before a room that ops closed may try again."""
_FRESH_S = 5.0
"""A tick older than this says nothing about whether there is room."""
_RENEW_RATIO = 0.1
"""A pass is renewed when this share of its life has gone: not with every image of a page."""


class Door:
    """The catch-all: whatever is not an own endpoint comes here."""

    def __init__(
        self,
        line: Line,
        routes: Routes,
        pages: WaitingPages,
        upstream_passes: UpstreamPassSigner,
        carry: Carry,
        errands: Errands,
    ) -> None:
        """Put the parts together; `errands` own what must not die with the visitor's connection."""
        self._line = line
        self._routes = routes
        self._pages = pages
        self._upstream_passes = upstream_passes
        self._carry = carry
        self._errands = errands

    async def visit(self, request: web.Request) -> web.StreamResponse:
        """Answer any request for the store: carried there, or the waiting page, or a problem."""
        host = request.headers.get("Host", "")
        route = self._routes.match(host, request.raw_path)
        if route is None:
            return await self._carry(request, self._routes.upstream(host, request.raw_path) or "", None, None)
        rules = self._line.rooms.rules(route.room)
        pass_ = self._line.held_pass(request, route.room)
        is_fresh = self._line.board.age_s(route.room) < _FRESH_S
        snapshot, now_ms = self._line.board.get(route.room), self._line.rooms.now_ms()
        found = verdict(rules.queueing, snapshot, pass_, is_fresh=is_fresh, now_ms=now_ms)
        counters.REQUESTS.labels(route.room, type(found).__name__.lower()).inc()
        return await self._act(request, route, found)

    async def wait(self, request: web.Request) -> web.StreamResponse:
        """Answer with the waiting page by its own address; who is in already goes to where they wanted."""
        room = self._line.rooms.rules(request.match_info["room"]).name
        if self._line.held_pass(request, room) is not None:
            back = return_path(request.query.get("return_to"))
            raise web.HTTPSeeOther(back, headers={"Cache-Control": "no-store"})
        return await self._queue(request, room)

    async def _act(self, request: web.Request, route: Route, found: Verdict) -> web.StreamResponse:
        match found:
            case Forward(pass_):
                if pass_ is None:
                    return await self._carry(request, route.upstream, None, None)
                return await self._admit(request, route, pass_)
            case Enter():
                issued = await self._enter(route.room)
                if issued is None:
                    return await self._queue(request, route.room)
                return await self._admit(request, route, issued.pass_, is_new=True)
            case Welcome(until_ms):
                issued = self._line.issue(route.room, secrets.token_urlsafe(15), until_ms)
                return await self._admit(request, route, issued.pass_, is_new=True)
            case Wait():
                return await self._queue(request, route.room)
            case Refuse():
                raise _closed(is_for_good=self._line.rooms.rules(route.room).queueing is Queueing.REJECT)
            case _:
                assert_never(found)

    async def _enter(self, room: str) -> Issued | None:
        """Take a session where nobody waits; Redis gone means waiting, not an error."""
        try:
            entered = await self._line.rooms.enter(room)
        except StoreUnavailable:
            counters.STORE_FAILURES.labels("enter").inc()
            return None
        if not isinstance(entered, Entered):
            return None
        return self._line.issue(room, entered.session_id, entered.expires_ms)

    async def _admit(
        self, request: web.Request, route: Route, pass_: Pass, *, is_new: bool = False
    ) -> web.StreamResponse:
        """Carry a request of somebody who is in; renew their pass as it goes by, unless the store ends it."""
        now_ms = self._line.rooms.now_ms()
        shown = Pass(route.room, pass_.session_id, pass_.admitted_ms, now_ms + _UPSTREAM_PASS_MS)

        def on_head(_status: int, command: str | None) -> Sequence[tuple[str, str]]:
            if command == "revoke":
                _ = self._errands.begin(self._line.end(pass_), name="release session")
                return [("Set-Cookie", self._line.cookies.no_pass(route.room))]
            if is_new:
                return [("Set-Cookie", self._line.renew(pass_, pass_.expires_ms).cookie)]
            return self._renewed(route.room, pass_)

        try:
            return await self._carry(request, route.upstream, self._upstream_passes.sign(shown), on_head)
        except WaitroomError as fault:
            if fault.status not in _UPSTREAM_FAULTS:
                raise
            return _without_upstream(fault, on_head(fault.status, None))  # whoever is inside stays so

    def _renewed(self, room: str, pass_: Pass) -> Sequence[tuple[str, str]]:
        rules, now_ms = self._line.rooms.rules(room), self._line.rooms.now_ms()
        self._line.sessions.visit(room, pass_.session_id, pass_.expires_ms)
        used_ms = now_ms + rules.session_duration_ms - pass_.expires_ms
        if not rules.renews_sessions or used_ms < rules.session_duration_ms * _RENEW_RATIO:
            return ()
        expires_ms = now_ms + rules.session_duration_ms
        self._line.sessions.visit(room, pass_.session_id, expires_ms)
        return [("Set-Cookie", self._line.renew(pass_, expires_ms).cookie)]

    async def _queue(self, request: web.Request, room: str) -> web.StreamResponse:
        """Answer somebody who has to wait: the page for who looks at one, else a problem that says where to join."""
        if not _is_navigation(request):
            raise _must_wait(room)
        ticket = self._line.held_ticket(request, room)
        if ticket is None:
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
                answer = web.Response(status=303, headers={"Location": _here(request), "Cache-Control": "no-store"})
                answer.headers.add("Set-Cookie", outcome.cookie)
                return answer
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


def _closed(*, is_for_good: bool) -> Refused:
    told = "This part of the site is closed at the moment."
    return Refused(403, "closed", told) if is_for_good else Refused(503, "closed", told, retry_after_s=_REOPENS_S)


def _here(request: web.Request) -> str:
    """Return where a visitor who was let in goes on: the page they asked for."""
    if request.path.startswith("/.waitroom/"):
        return return_path(request.query.get("return_to"))
    return return_path(request.raw_path)


def _is_navigation(request: web.Request) -> bool:
    """Whether a person is about to look at the answer (Fetch Metadata; else by what is accepted)."""
    if request.method not in {"GET", "HEAD"} or "Upgrade" in request.headers:
        return False
    mode = request.headers.get("Sec-Fetch-Mode")
    accepts_html = "text/html" in request.headers.get("Accept", "")
    return mode == "navigate" if mode is not None else accepts_html


def _must_wait(room: str) -> Refused:
    own = f"/.waitroom/{room}"
    where = {"room": room, "pulse": f"{own}/pulse", "challenge": f"{own}/challenge"}
    queue = {name: f"{own}/queue/{name}" for name in ("register", "status", "claim", "leave")}
    told = "There is a line before this. Wait in it first; nothing of what you sent was passed on."
    return Refused(503, "waiting", told, retry_after_s=5, extra={**where, "queue": queue})
