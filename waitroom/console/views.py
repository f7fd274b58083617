"""What operators look at: the page, the figures as JSON, the same as they change, the audit, and the metrics."""

import asyncio
import re
from contextlib import suppress

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from waitroom.console.guard import Guard, Operator, is_local
from waitroom.console.metrics import RoomsCollector
from waitroom.console.page_headers import page
from waitroom.console.recorder import PERIOD_S, Recorder, as_event
from waitroom.console.sign_ins import Role
from waitroom.kernel import metrics
from waitroom.kernel.answers import NO_STORE, json_answer
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.pages import Pages
from waitroom.store.audit import Audit

_AUDIT_COUNT = 50
_AUDIT_MOST = 500
_WRITE_LIMIT_S = 10.0
"""How long a watching browser may leave its figures unread before its stream ends."""
_SILENCE_S = 15 * PERIOD_S
"""After so long without news a comment is sent, so that no proxy between takes the stream for dead."""


class Views:
    """The reading half of the console."""

    def __init__(self, recorder: Recorder, audit: Audit, guard: Guard, pages: Pages) -> None:
        """Take what is shown, and who may see it."""
        self._recorder = recorder
        self._audit = audit
        self._guard = guard
        self._pages = pages

    def routes(self) -> list[web.RouteDef]:
        """Return the paths that only show."""
        see = self._guard.needs
        return [
            web.get("/", self.console),
            web.get("/metrics", self.metrics, allow_head=False),
            web.get("/healthz", self.health),
            web.get("/api/rooms", see(Role.VIEWER, self.rooms)),
            web.get("/api/rooms/{room}", see(Role.VIEWER, self.room)),
            web.get("/api/rooms/{room}/audit", see(Role.VIEWER, self.audit)),
            web.get("/api/events", see(Role.VIEWER, self.events), allow_head=False),
        ]

    async def console(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page, the latest figures already in it."""
        operator = self._guard.identify(request)
        if operator is None:
            return web.Response(status=303, headers={"Location": "/login", "Cache-Control": "no-store"})
        first = {**self._recorder.everything(), "role": operator.role.value}
        name = operator.name or operator.role.value
        return page(self._pages, "console/console.html", first=first, role=operator.role.value, name=name)

    async def rooms(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Answer with all rooms as they are now; the last known figures, marked as such, while Redis is away."""
        try:
            await self._recorder.look()
        except StoreUnavailable:
            if not self._recorder.latest:
                raise
        return json_answer({**self._recorder.everything(), "role": operator.role.value})

    async def room(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Answer with one room and the curves of its last ten minutes."""
        name = self._recorder.require(request.match_info["room"])
        try:
            await self._recorder.look()
        except StoreUnavailable:
            if name not in self._recorder.latest:
                raise
        return json_answer({**self._recorder.room(name), "series": self._recorder.series(name)})

    async def audit(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Answer with the newest changes of one room."""
        name = self._recorder.require(request.match_info["room"])
        entries = await self._audit.read(name, count=_count(request.query.get("count", "")))
        told = [
            {"at_ms": e.at_ms, "who": e.who, "what": e.what, "value": e.value, "before": e.before, "why": e.why}
            for e in entries
        ]
        return json_answer({"room": name, "entries": told})

    async def events(self, request: web.Request, operator: Operator) -> web.StreamResponse:
        """Send the figures as they change, until the browser goes, its sign-in ends, or we close."""
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        stream = web.StreamResponse(headers=headers)
        await stream.prepare(request)
        has_news = True
        with suppress(ConnectionResetError, TimeoutError):  # the browser went, or no longer reads: how streams end
            while self._may_stay(request):
                beat = self._recorder.beat
                news = as_event(self._recorder.everything()) if has_news else b": still here\n\n"
                async with asyncio.timeout(_WRITE_LIMIT_S):
                    await stream.write(news)
                has_news = await _within(beat, _SILENCE_S)
        return stream

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """Answer Prometheus; who is not on this machine itself shows a token."""
        if not is_local(request) and self._guard.identify(request) is None:
            raise Refused(401, "not-signed-in", "Send the console or viewer token as a bearer token.")
        try:
            snapshots, is_up = await self._recorder.look(), True
        except StoreUnavailable:
            snapshots, is_up = [], False
        rooms = CollectorRegistry(auto_describe=False)
        rooms.register(RoomsCollector(snapshots, store_is_up=is_up))
        counted = await asyncio.to_thread(metrics.exposition, metrics.registry())
        headers = {"Content-Type": CONTENT_TYPE_PLAIN_0_0_4, **NO_STORE}
        return web.Response(body=metrics.exposition(rooms) + counted, headers=headers)

    async def health(self, request: web.Request) -> web.StreamResponse:
        """Answer whether this process serves."""
        return json_answer({"status": "ok"})

    def _may_stay(self, request: web.Request) -> bool:
        return not self._recorder.is_closing and self._guard.identify(request) is not None


async def _within(beat: asyncio.Event, limit_s: float) -> bool:
    """Wait for news; False when there were none within `limit_s` seconds."""
    try:
        async with asyncio.timeout(limit_s):
            await beat.wait()
    except TimeoutError:
        return False
    return True


def _count(text: str) -> int:
    if not text:
        return _AUDIT_COUNT
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= _AUDIT_MOST:
        raise Refused(422, "invalid-count", f"count must be a whole number from 1 to {_AUDIT_MOST}.")
    return int(text)
