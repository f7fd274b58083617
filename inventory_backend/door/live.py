"""Stock as it changes, for whoever looks at the shop: Server-Sent Events, one write of prepared bytes a change."""

import asyncio
import logging
import socket
from contextlib import suppress

from aiohttp import web

from inventory_backend.catalogue import Catalogue
from inventory_backend.counters import STREAMS
from inventory_backend.refusals import refused
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused
from waitroom.kernel.open_files import open_files
from waitroom.kernel.prepared import Prepared

log = logging.getLogger(__name__)

_SILENCE_S = 15.0
"""How long nothing is sent before a sign of life is: proxies on the way end what is silent."""
_WRITE_LIMIT_S = 5.0
"""How long one who does not read is waited for."""
_LONGEST_S = 900.0
"""How long a stream lives; its browser comes back by itself, wherever the balancer leads it then."""
_UNREAD_BYTES = 16_384
_UNANSWERED_MS = 30_000
_COME_BACK_S = 5
_HEADERS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}


_SPARE_FILES = 1024
"""Open files that are kept for those who buy, and for what stands behind us."""


def affordable(most: int) -> int:
    """Return how many streams there may be, `most` or fewer: those who watch leave room for those who buy."""
    allowed = open_files(most + _SPARE_FILES)
    streams = min(most, max(allowed - _SPARE_FILES, allowed // 4))
    if streams < most:
        log.warning("fewer streams than configured: raise ulimit -n", extra={"most": streams, "open_files": allowed})
    return streams


class Live:
    """`GET /sales/{sale}/events`: the document of a sale now, and again whenever it changes."""

    def __init__(self, catalogue: Catalogue, clock: Clock, *, most: int) -> None:
        """Send what `catalogue` has, to at most `most` at once."""
        self._catalogue = catalogue
        self._clock = clock
        self._most = most
        self._open: set[asyncio.Transport] = set()
        self._written: dict[str, tuple[Prepared, bytes]] = {}
        self._is_closing = False

    def add_to(self, app: web.Application) -> None:
        """Add the route, and the end of all streams when `app` stops."""
        app.router.add_get("/sales/{sale}/events", self.events, allow_head=False)
        app.on_shutdown.append(self.close)

    async def close(self, _app: web.Application) -> None:
        """End every stream, each after what it is writing."""
        self._is_closing = True
        self._catalogue.wake()

    async def events(self, request: web.Request) -> web.StreamResponse:
        """Send a sale as it changes, until the browser goes, no longer reads, has been here for long, or we close."""
        name = request.match_info["sale"]
        if self._catalogue.document(name) is None:
            raise refused("unknown-sale")
        if request.transport is None:
            raise ConnectionResetError("the browser has gone")
        self._make_room()
        self._open.add(transport := request.transport)
        _bound(transport)
        try:
            with STREAMS.track_inprogress():
                return await self._streamed(request, name)
        finally:
            self._open.discard(transport)

    def _make_room(self) -> None:
        if len(self._open) >= self._most:  # who has gone is noticed by the next write to them, or here
            self._open = {one for one in self._open if not one.is_closing()}
        if self._is_closing or len(self._open) >= self._most:
            told = "As many as can be are looking on already. Ask for the sale itself now and then."
            raise Refused(503, "too-many-streams", told, retry_after_s=_COME_BACK_S)

    async def _streamed(self, request: web.Request, name: str) -> web.StreamResponse:
        stream = web.StreamResponse(headers=_HEADERS)
        await stream.prepare(request)
        until_s = self._clock.tick_s() + _LONGEST_S
        news = b"retry: %d\n\n" % (2000 + 37 * len(self._open) % 3000)  # so that not all come back at once
        seen: Prepared | None = None
        with suppress(ConnectionResetError):  # the browser went: how streams end
            while not self._is_closing and self._clock.tick_s() < until_s:
                beat = self._catalogue.beat
                shown = self._catalogue.document(name)
                if shown is not None and shown is not seen:
                    news, seen = news + self._event(name, shown), shown
                if news and not await _is_written(stream, request, news):
                    break
                news = b"" if await _within(beat, _SILENCE_S) else b": still here\n\n"
        return stream

    def _event(self, name: str, shown: Prepared) -> bytes:
        """Return the event of a document: written once, sent to all."""
        known = self._written.get(name)
        if known is None or known[0] is not shown:
            known = self._written[name] = (shown, b"event: sale\ndata: " + shown.body + b"\n\n")
        return known[1]


def _bound(transport: asyncio.Transport) -> None:
    """Keep little for one who does not read, and let the system find out who is no longer there."""
    transport.set_write_buffer_limits(high=_UNREAD_BYTES)
    connection = transport.get_extra_info("socket")
    if connection is not None and connection.family in {socket.AF_INET, socket.AF_INET6}:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNANSWERED_MS)


async def _is_written(stream: web.StreamResponse, request: web.Request, news: bytes) -> bool:
    """Write `news`; False when it is not read in time, and then the connection is cut."""
    try:
        async with asyncio.timeout(_WRITE_LIMIT_S):
            await stream.write(news)
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
        return False
    return True


async def _within(beat: asyncio.Event, limit_s: float) -> bool:
    """Wait for news; False when there were none within `limit_s` seconds."""
    try:
        async with asyncio.timeout(limit_s):
            await beat.wait()
    except TimeoutError:
        return False
    return True
