"""Find the verdict on a visit, and what follows from it for passes: alike before our own proxy and anybody else's."""

import secrets
from collections import Counter
from functools import lru_cache

from aiohttp import web

from waitroom.gate import counters
from waitroom.gate.entries import Entries
from waitroom.gate.line import Issued, Line
from waitroom.kernel.asking import Asking, Headers
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.tokens import Pass, UpstreamPassSigner
from waitroom.rules.rooms import Queueing
from waitroom.rules.routes import Route, Routes
from waitroom.rules.verdicts import Enter, Verdict, Welcome, verdict
from waitroom.store.rooms import Entered

_UPSTREAM_PASS_MS = 60_000
_SIGNED_MS = 4_000
"""For so long one visitor's requests carry the same `Waitroom-Pass`: a page and its images cost one signature."""
_SIGNED = 4096
_REOPENS_S = 30
"""When somebody before a room that ops closed may try again."""
_FRESH_S = 5.0
"""A tick older than this says nothing about whether there is room."""
_RENEW_RATIO = 0.1
"""A pass is renewed when this share of its life has gone: not with every image of a page."""


class Judge:
    """What is known of the rooms, asked once for every visit."""

    def __init__(self, line: Line, routes: Routes, upstream_passes: UpstreamPassSigner, entries: Entries) -> None:
        """Put the parts together."""
        self.line = line
        self._entries = entries
        self.routes = routes
        self._signed = lru_cache(_SIGNED)(upstream_passes.sign)
        self._given: Counter[tuple[str, type[Verdict]]] = Counter()

    def judge(self, request: Asking, host: str, raw_path: str) -> tuple[Route, Verdict] | None:
        """Return the room around `raw_path` on `host`, and what to do with who carries this `request`; None outside.

        Raises:
            Refused: 400, the path leads into two rooms.
        """
        route = self.routes.match(host, raw_path)
        return None if route is None else (route, self.in_room(request, route.room))

    def in_room(self, request: Asking, room: str) -> Verdict:
        """Return what to do with who carries this `request` and wants into `room`, and count it."""
        found = self.found(request, room)
        self.count(room, type(found))
        return found

    def found(self, request: Asking, room: str) -> Verdict:
        """Return the verdict without counting it: somebody else may have to act on it."""
        return self.for_holder(room, self.line.held_pass(request, room))

    def for_holder(self, room: str, pass_: Pass | None) -> Verdict:
        """Return the verdict on who holds this valid pass of `room`, or none."""
        rules, is_fresh = self.line.rooms.rules(room), self.line.board.age_s(room) < _FRESH_S
        snapshot, now_ms = self.line.board.get(room), self.line.rooms.now_ms()
        return verdict(rules.queueing, snapshot, pass_, is_fresh=is_fresh, now_ms=now_ms)

    def count(self, room: str, kind: type[Verdict], times: int = 1) -> None:
        """Count a verdict of that `kind` that is acted on, so many times."""
        self._given[room, kind] += times

    def pour(self) -> None:
        """Add what was counted to the metrics."""
        for (room, kind), times in self._given.items():
            counters.REQUESTS.labels(room, kind.__name__.lower()).inc(times)
        self._given.clear()

    async def let_in(self, request: web.Request, room: str, found: Verdict) -> Issued | None:
        """Return the pass of somebody who comes straight in, if the verdict has one for them."""
        match found:
            case Enter():
                return await self._enter(request, room)
            case Welcome(until_ms):
                return self.line.issue(room, secrets.token_urlsafe(15), until_ms)
            case _:
                return None

    def visited(self, room: str, pass_: Pass) -> Issued | None:
        """Note that somebody inside was here; return their pass renewed, where enough of it was used."""
        rules, now_ms = self.line.rooms.rules(room), self.line.rooms.now_ms()
        self.line.sessions.visit(room, pass_.session_id, pass_.expires_ms)
        left_ms = pass_.expires_ms - now_ms
        if not rules.renews_sessions or left_ms > rules.session_duration_ms * (1 - _RENEW_RATIO):
            return None
        expires_ms = now_ms + rules.session_duration_ms
        self.line.sessions.visit(room, pass_.session_id, expires_ms)
        return self.line.renew(pass_, expires_ms)

    def used_ratio(self, room: str, pass_: Pass) -> float:
        """Return which share of its life a pass has behind it."""
        duration_ms = self.line.rooms.rules(room).session_duration_ms
        return (self.line.rooms.now_ms() + duration_ms - pass_.expires_ms) / duration_ms

    def upstream_pass(self, pass_: Pass) -> str:
        """Return the text of the `Waitroom-Pass` that the store is shown, good for a minute at most."""
        until_ms = self.line.rooms.now_ms() // _SIGNED_MS * _SIGNED_MS + _UPSTREAM_PASS_MS
        return self._signed(Pass(pass_.room, pass_.session_id, pass_.admitted_ms, until_ms))

    def refused(self, room: str) -> Refused:
        """Return the answer where nobody is let in, pass or not."""
        told = "This part of the site is closed at the moment."
        if self.line.rooms.rules(room).queueing is Queueing.REJECT:
            return Refused(403, "closed", told)
        return Refused(503, "closed", told, retry_after_s=_REOPENS_S)

    async def _enter(self, request: web.Request, room: str) -> Issued | None:
        """Take a session where nobody waits; Redis gone means waiting, not an error."""
        try:
            if not await self._entries.may_enter(request, room):
                return None
            entered = await self.line.rooms.enter(room)
        except StoreUnavailable:
            counters.STORE_FAILURES.labels("enter").inc()
            return None
        if not isinstance(entered, Entered):
            return None
        return self.line.issue(room, entered.session_id, entered.expires_ms)


def is_navigation(method: str, headers: Headers) -> bool:
    """Whether a person is about to look at the answer (Fetch Metadata; else by what is accepted)."""
    if method not in {"GET", "HEAD"} or "Upgrade" in headers:
        return False
    if "Sec-Fetch-Mode" in headers:
        return headers.get("Sec-Fetch-Mode", "") == "navigate"
    return "text/html" in headers.get("Accept", "")


def must_wait(room: str) -> Refused:
    """Return the answer to what nobody looks at: that there is a line, and how to join it."""
    own = f"/.waitroom/{room}"
    where = {"room": room, "pulse": f"{own}/pulse", "challenge": f"{own}/challenge"}
    queue = {name: f"{own}/queue/{name}" for name in ("register", "status", "claim", "leave")}
    told = "There is a line before this. Wait in it first; nothing of what you sent was passed on."
    return Refused(503, "waiting", told, retry_after_s=5, extra={**where, "queue": queue})
