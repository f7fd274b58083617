"""Keep the connections to one upstream: how many, how long, and what their failures mean."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection
from yarl import URL

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault, Refused, UpstreamUnavailable, WaitroomError
from waitroom.proxy.counters import ANSWERS, IN_FLIGHT, UPSTREAM_SECONDS, status_class
from waitroom.proxy.uploads import Upload

log = logging.getLogger(__name__)

HEAD_LINE_BYTES = 65_536
"""The longest header line of an answer: stores pile up cookies and policies."""
HEAD_LINES = 512
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_NOT_INVENTED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
_CAREFUL_SHARE = 4
BUSY_RETRY_S = 2


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
    body: Upload | None = None
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
        self._pool = _session(socket, limits, limits.keepalive_s)
        self._careful_pool = _session(socket, limits, limits.keepalive_s / _CAREFUL_SHARE)
        self._slots = asyncio.Semaphore(limits.max_connections)
        self._upgrade_slots = asyncio.Semaphore(limits.max_connections)

    @asynccontextmanager
    async def exchange(self, ask: Ask) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send `ask` and give its answer, the body still to be read, while the block lasts.

        Raises:
            UpstreamUnavailable: 502 no connection or no HTTP, 504 no answer in time.
            Refused: 503 all connections are busy; or what was wrong with the body of `ask`.
        """
        slots = self._upgrade_slots if ask.is_upgrade else self._slots
        await self._take(slots)
        in_flight = IN_FLIGHT.labels(self.name)
        in_flight.inc()
        try:
            answer = await self._answer(ask)
            try:
                yield answer
            finally:
                answer.close()
        finally:
            in_flight.dec()
            slots.release()

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close()
        await self._careful_pool.close()

    async def _take(self, slots: asyncio.Semaphore) -> None:
        try:
            async with asyncio.timeout(self.limits.connect_timeout_s):
                await slots.acquire()
        except TimeoutError:
            public = "The shop is very busy. Your place inside is kept: please try again in a moment."
            raise Refused(503, "upstream-busy", public, retry_after_s=BUSY_RETRY_S) from None

    async def _answer(self, ask: Ask) -> aiohttp.ClientResponse:
        """Wait for the head of the answer and count it."""
        started_s = self._clock.tick_s()
        try:
            answer = await self._sent(ask)
        except WaitroomError as fault:
            if isinstance(fault, UpstreamUnavailable):
                ANSWERS.labels(self.name, status_class(0)).inc()
            raise
        UPSTREAM_SECONDS.labels(self.name).observe(self._clock.tick_s() - started_s)
        ANSWERS.labels(self.name, status_class(answer.status)).inc()
        return answer

    async def _sent(self, ask: Ask) -> aiohttp.ClientResponse:
        """Translate what aiohttp can say into our own words, once."""
        try:
            async with asyncio.timeout(None) as watchdog:
                if ask.body is not None:
                    ask.body.watch(watchdog)
                try:
                    return await self._request(ask)
                finally:
                    if ask.body is not None:
                        ask.body.watch(None)
        except (aiohttp.ClientError, OSError, TimeoutError) as fault:
            if ask.body is not None and ask.body.fault is not None:
                raise ask.body.fault from fault
            status = 504 if isinstance(fault, TimeoutError) else 502
            raise UpstreamUnavailable(f"{self.name}: {type(fault).__name__}: {fault}", status=status) from fault

    async def _request(self, ask: Ask) -> aiohttp.ClientResponse:
        """Send over a connection of the right pool.

        A connection that rested may be closed by the upstream at the very moment it is used again. Reading methods
        are then sent once more by aiohttp, on a new connection. Whatever may change something must never be sent
        twice, so it goes only over connections that rested for a quarter of the time, far from the edge.
        """
        is_careful = ask.method not in _SAFE_METHODS or ask.body is not None or ask.is_upgrade
        url = URL.build(scheme=self._scheme, host=self._host, port=self._port, path=ask.target, encoded=True)
        return await (self._careful_pool if is_careful else self._pool).request(
            ask.method,
            url,
            headers=ask.headers,
            data=ask.body,
            chunked=True if ask.body is not None and not _has_length(ask.headers) else None,
            allow_redirects=False,
        )


@asynccontextmanager
async def connected(name: str, url: str, limits: UpstreamLimits, *, clock: Clock) -> AsyncIterator[Upstream]:
    """Give the upstream at `url` while the block lasts."""
    upstream = Upstream(name, url, limits, clock=clock)
    try:
        yield upstream
    finally:
        await upstream.close()


class _PlainRequest(ClientRequest):
    """A request that carries the headers it was given and no other."""

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        if body is not None:  # without one, aiohttp would add `Content-Length: 0` to a DELETE
            super().update_body_from_data(body, _stacklevel)


class _Unspoilt:
    """Mixed into a connector: never reuse a connection on which the upstream said more than it was asked.

    aiohttp keeps such bytes, and would give them to the next visitor as their answer.
    """

    async def connect(
        self,
        req: ClientRequest,
        traces: Any,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's own signature
    ) -> Connection:
        while True:
            connection: Connection = await super().connect(req, traces, timeout)  # type: ignore[misc]  # a mixin
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()


class _TCPConnector(_Unspoilt, aiohttp.TCPConnector):
    """To a host and port."""


class _UnixConnector(_Unspoilt, aiohttp.UnixConnector):
    """To a socket on this machine."""


def _session(socket: str | None, limits: UpstreamLimits, keepalive_s: float) -> aiohttp.ClientSession:
    """Return a session that adds nothing, follows nothing and remembers nothing of a visitor."""
    settings: dict[str, Any] = {"limit": 0, "keepalive_timeout": keepalive_s}
    connector = _UnixConnector(socket, **settings) if socket else _TCPConnector(**settings)
    timeout = aiohttp.ClientTimeout(
        total=None,
        connect=limits.connect_timeout_s,
        sock_connect=limits.connect_timeout_s,
        sock_read=limits.first_byte_timeout_s,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=_NOT_INVENTED,
        request_class=_PlainRequest,
        timeout=timeout,
        max_line_size=HEAD_LINE_BYTES,
        max_field_size=HEAD_LINE_BYTES,
        max_headers=HEAD_LINES,
    )


def _parsed(url: str) -> tuple[str, str, int | None, str | None]:
    """Return scheme, host, port and, for unix:, the socket."""
    parts = urlsplit(url)
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return "http", "localhost", None, parts.path
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise ConfigFault([f'upstream "{url}": must be http://host[:port], https://host[:port] or unix:/path'])
    return parts.scheme, parts.hostname, parts.port, None


def _has_length(headers: Sequence[tuple[str, str]]) -> bool:
    return any(name == "Content-Length" for name, _ in headers)
