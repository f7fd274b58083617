"""Keep the connections to one upstream: how many, how long, and what their failures mean."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
from aiohttp.http import HttpProcessingError

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault, UpstreamUnavailable, WaitroomError
from waitroom.proxy.exchange import Answer, Ask, begin
from waitroom.proxy.pool import Connection, Kind, Place, Pool
from waitroom.proxy.slots import Slots
from waitroom.proxy.tally import Tally
from waitroom.proxy.uploads import Upload

log = logging.getLogger(__name__)

_CAREFUL_SHARE = 4


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What one upstream may take, in time, in bytes and in connections; the timeouts are each for one silence."""

    connect_timeout_s: float = 2.0
    first_byte_timeout_s: float = 30.0
    idle_timeout_s: float = 60.0
    keepalive_s: float = 4.0
    connection_lifetime_s: float = 60.0
    max_connections: int = 256
    max_body_bytes: int = 1_048_576
    min_upload_bytes_per_s: int = 240


class Upstream:
    """One site behind us; made by `connected`."""

    def __init__(
        self, name: str, url: str, limits: UpstreamLimits, *, clock: Clock, ca_file: Path | None = None
    ) -> None:
        """Make the pool; the running loop is its own.

        Raises:
            ConfigFault: `url` is no http://host, https://host or unix:/path, or `ca_file` holds no certificates.
        """
        self.name = name
        self.limits = limits
        self._clock = clock
        self._place = place = _place(url, ca_file)
        self.authority = "localhost" if place.path else urlsplit(url).netloc
        self._pool = self.pool(Connection)
        self.slots = Slots(limits.max_connections, patience_s=limits.connect_timeout_s)
        # Websockets and event streams last: they have as many again, so that plain requests never wait for them.
        self.long_slots = Slots(limits.max_connections, patience_s=limits.connect_timeout_s)
        self.tally = Tally(name, self.slots, self.long_slots)

    @asynccontextmanager
    async def exchange(self, ask: Ask) -> AsyncIterator[Answer]:
        """Send `ask` and give its answer, the body still to be read, while the block lasts.

        Raises:
            UpstreamUnavailable: 502 no connection or no HTTP, 504 no answer in time.
            Refused: 503 all connections are busy; or what was wrong with the body of `ask`.
        """
        slot = await (self.long_slots if ask.is_upgrade else self.slots).take()
        try:
            answer = await self._answer(ask)
            answer.return_when_over(self._pool.give_back)
            try:
                if answer.is_event_stream and not ask.is_upgrade:
                    slot.release()
                    slot = await self.long_slots.take()
                elif answer.status != 101:  # the upstream is done when we have its last byte, however slow the visitor
                    answer.content.on_eof(slot.release)
                yield answer
            finally:
                answer.end()
        finally:
            slot.release()

    def pool(self, make: Callable[[float], Kind]) -> Pool[Kind]:
        """Return a pool for connections to it that `make` makes, empty yet."""
        limits = self.limits
        rest_s, life_s = limits.keepalive_s, limits.connection_lifetime_s
        return Pool(self._place, make, clock=self._clock, rest_s=rest_s, life_s=life_s)

    def close(self) -> None:
        """Close every connection that rests, and pour out the last counts."""
        self._pool.close()
        self.tally.pour()

    async def _answer(self, ask: Ask) -> Answer:
        """Wait for the head of the answer and count it."""
        started_s = self._clock.tick_s()
        try:
            answer = await self._sent(ask)
        except WaitroomError as fault:
            if isinstance(fault, UpstreamUnavailable):
                self.tally.answered(0, 0)
            raise
        self.tally.answered(answer.status, self._clock.tick_s() - started_s)
        return answer

    async def _sent(self, ask: Ask) -> Answer:
        """Translate what can go wrong into our own words, once."""
        try:
            if not isinstance(ask.body, Upload):
                return await self._request(ask)
            async with asyncio.timeout(None) as watchdog:
                ask.body.watch(watchdog)
                try:
                    return await self._request(ask)
                finally:
                    ask.body.watch(None)
        except (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError) as fault:
            if isinstance(ask.body, Upload) and ask.body.fault is not None:
                raise ask.body.fault from fault
            status = 504 if isinstance(fault, TimeoutError) else 502
            # what aiohttp says of broken HTTP holds the bytes themselves: none of the log's business
            why = "no valid HTTP" if isinstance(fault, HttpProcessingError) else f"{type(fault).__name__}: {fault}"
            raise UpstreamUnavailable(f"{self.name}: {why}", status=status) from fault

    async def _request(self, ask: Ask) -> Answer:
        """Send over a connection that is fit for it.

        A connection that rested may be closed by the upstream at the very moment it is used again. What only reads is
        then sent once more, on a new connection. Whatever may change something must never be sent twice, so it goes
        only over connections that rested for a quarter of the time, far from the edge.
        """
        rest_s = self._pool.rest_s / _CAREFUL_SHARE if ask.may_change else self._pool.rest_s
        async with asyncio.timeout(self.limits.connect_timeout_s):
            connection = await self._pool.take(rested_at_most_s=rest_s)
        try:
            return await self._begun(connection, ask)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            if ask.may_change or not connection.is_used:
                raise
        async with asyncio.timeout(self.limits.connect_timeout_s):
            connection = await self._pool.dial()
        return await self._begun(connection, ask)

    async def _begun(self, connection: Connection, ask: Ask) -> Answer:
        answer = await begin(connection, ask, silence_s=self.limits.first_byte_timeout_s)
        self._pool.heed(answer.headers.get("Keep-Alive", ""))
        return answer


@asynccontextmanager
async def connected(
    name: str, url: str, limits: UpstreamLimits, *, clock: Clock, ca_file: Path | None = None
) -> AsyncIterator[Upstream]:
    """Give the upstream at `url` while the block lasts."""
    upstream = Upstream(name, url, limits, clock=clock, ca_file=ca_file)
    try:
        yield upstream
    finally:
        upstream.close()


def _place(url: str, ca_file: Path | None) -> Place:
    """Return where `url` leads."""
    fault = ConfigFault([f'upstream "{url}": must be http://host[:port], https://host[:port] or unix:/path'])
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise fault from None
    if parts.scheme == "unix" and parts.path.startswith("/"):
        return Place("localhost", 0, path=parts.path)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"} or parts.query:
        raise fault
    if parts.scheme == "http":
        return Place(parts.hostname, port or 80)
    return Place(parts.hostname, port or 443, tls=_tls(ca_file), tls_name=parts.hostname)


def _tls(ca_file: Path | None) -> ssl.SSLContext:
    """Return what checks the upstream's certificate, against `ca_file` alone where one is given."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as fault:
        raise ConfigFault([f'upstream: "{ca_file}" holds no certificates that could be trusted: {fault}']) from fault
    context.set_alpn_protocols(["http/1.1"])
    return context
