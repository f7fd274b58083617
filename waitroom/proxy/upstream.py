"""Keep the connections to one upstream: how many, how long, and what their failures mean."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault, UpstreamUnavailable, WaitroomError
from waitroom.proxy.counters import ANSWERS, IN_FLIGHT, UPSTREAM_SECONDS, status_class
from waitroom.proxy.pool import rest_at_most, session
from waitroom.proxy.slots import Slots
from waitroom.proxy.uploads import Upload

log = logging.getLogger(__name__)

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_CAREFUL_SHARE = 4
_KEEP_ALIVE_TIMEOUT = re.compile(r"\btimeout=(\d{1,6})\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What one upstream may take, in time, in bytes and in connections; the timeouts are each for one silence."""

    connect_timeout_s: float = 2.0
    first_byte_timeout_s: float = 30.0
    idle_timeout_s: float = 60.0
    keepalive_s: float = 4.0
    max_connections: int = 256
    max_body_bytes: int = 1_048_576


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as it goes to the upstream; `target` is sent byte for byte."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    body: Upload | bytes | None = None
    is_upgrade: bool = False


class Upstream:
    """One site behind us; made by `connected`."""

    def __init__(self, name: str, url: str, limits: UpstreamLimits, *, clock: Clock) -> None:
        """Make the pools; the running loop is theirs.

        Raises:
            ConfigFault: `url` is no http://host, https://host or unix:/path.
        """
        self.name = name
        self.limits = limits
        self._clock = clock
        self._scheme, self._host, self._port, socket = _parsed(url)
        timeout = aiohttp.ClientTimeout(
            total=None,
            connect=limits.connect_timeout_s,
            sock_connect=limits.connect_timeout_s,
            sock_read=limits.first_byte_timeout_s,
        )
        self._pool = session(socket, timeout, keepalive_s=limits.keepalive_s)
        self._careful_pool = session(socket, timeout, keepalive_s=limits.keepalive_s / _CAREFUL_SHARE, repeats=False)
        self._rest_s = limits.keepalive_s
        in_flight = IN_FLIGHT.labels(name)
        self._slots = Slots(limits.max_connections, patience_s=limits.connect_timeout_s, in_flight=in_flight)
        # Websockets and event streams last: they have as many again, so that plain requests never wait for them.
        self._long_slots = Slots(limits.max_connections, patience_s=limits.connect_timeout_s, in_flight=in_flight)
        self._seconds = UPSTREAM_SECONDS.labels(name)

    @asynccontextmanager
    async def exchange(self, ask: Ask) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send `ask` and give its answer, the body still to be read, while the block lasts.

        Raises:
            UpstreamUnavailable: 502 no connection or no HTTP, 504 no answer in time.
            Refused: 503 all connections are busy; or what was wrong with the body of `ask`.
        """
        slot = await (self._long_slots if ask.is_upgrade else self._slots).take()
        try:
            answer = await self._answer(ask)
            try:
                if answer.content_type == "text/event-stream" and not ask.is_upgrade:
                    slot.release()
                    slot = await self._long_slots.take()
                elif answer.status != 101:  # the upstream is done when we have its last byte, however slow the visitor
                    answer.content.on_eof(slot.release)
                yield answer
            finally:
                answer.close()
        finally:
            slot.release()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()
        await self._careful_pool.close()

    async def _answer(self, ask: Ask) -> aiohttp.ClientResponse:
        """Wait for the head of the answer and count it."""
        started_s = self._clock.tick_s()
        try:
            answer = await self._sent(ask)
        except WaitroomError as fault:
            if isinstance(fault, UpstreamUnavailable):
                ANSWERS.labels(self.name, status_class(0)).inc()
            raise
        self._seconds.observe(self._clock.tick_s() - started_s)
        ANSWERS.labels(self.name, status_class(answer.status)).inc()
        return answer

    async def _sent(self, ask: Ask) -> aiohttp.ClientResponse:
        """Translate what aiohttp can say into our own words, once."""
        try:
            if not isinstance(ask.body, Upload):
                return await self._request(ask)
            async with asyncio.timeout(None) as watchdog:
                ask.body.watch(watchdog)
                try:
                    return await self._request(ask)
                finally:
                    ask.body.watch(None)
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            if isinstance(ask.body, Upload) and ask.body.fault is not None:
                raise ask.body.fault from fault
            status = 504 if isinstance(fault, TimeoutError) else 502
            # what aiohttp says of a broken answer holds the address with its query: none of the log's business
            why = fault.message if isinstance(fault, aiohttp.ClientResponseError) else fault
            raise UpstreamUnavailable(f"{self.name}: {type(fault).__name__}: {why}", status=status) from fault

    async def _request(self, ask: Ask) -> aiohttp.ClientResponse:
        """Send over a connection of the right pool.

        A connection that rested may be closed by the upstream at the very moment it is used again. Reading methods
        are then sent once more by aiohttp, on a new connection. Whatever may change something must never be sent
        twice, so it goes only over connections that rested for a quarter of the time, far from the edge.
        """
        is_careful = ask.method not in _SAFE_METHODS or ask.body is not None or ask.is_upgrade
        url = URL.build(scheme=self._scheme, host=self._host, port=self._port, path=ask.target, encoded=True)
        answer = await (self._careful_pool if is_careful else self._pool).request(
            ask.method,
            url,
            headers=ask.headers,
            data=ask.body,
            chunked=True if ask.body is not None and not _has_length(ask.headers) else None,
            allow_redirects=False,
        )
        self._heed(answer.headers.get("Keep-Alive", ""))
        return answer

    def _heed(self, keep_alive: str) -> None:
        """Keep resting connections shorter than the upstream says it does, if it says so (`Keep-Alive: timeout=5`)."""
        told = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
        if told is None:
            return
        rest_s = max(int(told[1]) - 1.0, int(told[1]) / 2)
        if rest_s < self._rest_s:
            log.info("keep-alive shortened", extra={"upstream": self.name, "seconds": rest_s})
            self._rest_s = rest_s
            rest_at_most(self._pool, rest_s)
            rest_at_most(self._careful_pool, rest_s / _CAREFUL_SHARE)


@asynccontextmanager
async def connected(name: str, url: str, limits: UpstreamLimits, *, clock: Clock) -> AsyncIterator[Upstream]:
    """Give the upstream at `url` while the block lasts."""
    upstream = Upstream(name, url, limits, clock=clock)
    try:
        yield upstream
    finally:
        await upstream.close()


def _parsed(url: str) -> tuple[str, str, int | None, str | None]:
    """Return scheme, host, port and, for unix:, the socket."""
    fault = ConfigFault([f'upstream "{url}": must be http://host[:port], https://host[:port] or unix:/path'])
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise fault from None
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return "http", "localhost", None, parts.path
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise fault
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return parts.scheme, host, port, None


def _has_length(headers: Sequence[tuple[str, str]]) -> bool:
    return any(name == "Content-Length" for name, _ in headers)
