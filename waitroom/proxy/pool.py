"""Connections to one upstream that rest between requests; none rests too long, none lives for ever."""

import asyncio
import logging
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Generic, Protocol, TypeVar, cast

import aiohappyeyeballs
from aiohttp.client_proto import ResponseHandler

from waitroom.kernel.clock import Clock
from waitroom.proxy.inlet import PIECE_BYTES, Inlet

log = logging.getLogger(__name__)

_KEEP_ALIVE_TIMEOUT = re.compile(r"\btimeout=(\d{1,6})\b", re.IGNORECASE)
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_LONGEST_SEAM_BYTES = 3  # what of such an end may stand in the piece before
_SECOND_FAMILY_S = 0.25  # RFC 8305 §5, how long one address may take before the next is tried beside it


@dataclass(frozen=True, slots=True)
class Place:
    """Where an upstream listens: a host and port, by TLS where there is a context, or the path of a Unix socket."""

    host: str
    port: int
    path: str | None = None
    tls: ssl.SSLContext | None = None
    tls_name: str | None = None

    @property
    def is_address(self) -> bool:
        """Whether the host is an address and no name."""
        try:
            ip_address(self.host)
        except ValueError:
            return False
        return True


class Connection(ResponseHandler):
    """One connection, and what the pool wants to know of it.

    Each head is parsed by itself: with something broken behind it in one piece, aiohttp drops it. Whether an answer is
    taken must not hang on how the bytes were cut, nor on what comes after its end (RFC 9112 §6.3).
    """

    def __init__(self, now_s: float) -> None:
        """Stand ready to be connected."""
        super().__init__(asyncio.get_running_loop())
        self.born_s = self.rests_since_s = now_s
        self.is_used = False
        self._seam = b""  # the last of a head whose end has not come

    def data_received(self, data: bytes) -> None:
        """Parse; an answer whose body broke before anybody had its head is none."""
        while self._is_in_head and (found := _END_OF_HEAD.search(self._seam + data)) is not None:
            end = found.end() - len(self._seam)
            self._seam = b""
            super().data_received(data[:end])
            data = data[end:]
            if not data:
                return
        self._seam = (self._seam + data)[-_LONGEST_SEAM_BYTES:] if self._is_in_head else b""
        super().data_received(data)
        if self._exception is not None and self._buffer and not self._buffer[-1][0][1].is_eof():
            self._buffer.pop()

    @property
    def is_fit(self) -> bool:
        """Whether another request may go over it: it is open, and the upstream has said nothing unasked.

        aiohttp keeps such bytes, and would give them to the next visitor as their answer.
        """
        return self.is_connected() and not self.should_close

    @property
    def _is_in_head(self) -> bool:
        if self._parser is None or self._upgraded or self._exception is not None:
            return False
        return self._payload is None or self._payload.is_eof()


class Pooled(Protocol):
    """What the pool has to know of a connection."""

    born_s: float
    rests_since_s: float
    is_used: bool

    @property
    def is_fit(self) -> bool:
        """Whether another request may go over it."""
        ...

    def close(self) -> None:
        """End it."""
        ...


Kind = TypeVar("Kind", bound=Pooled)


class Pool(Generic[Kind]):
    """The connections of one kind to one place; their number is counted elsewhere."""

    def __init__(
        self, place: Place, make: Callable[[float], Kind], *, clock: Clock, rest_s: float, life_s: float
    ) -> None:
        """Let a connection rest for `rest_s` at most, and take none again that is older than `life_s`.

        Old ones go so that a name that leads elsewhere by now is followed. `make` is told when a new one was born; what
        it makes is an asyncio.Protocol, or reads into a buffer of its own.
        """
        self._place = place
        self._make = make
        self._clock = clock
        self._life_s = life_s
        self._buffer = bytearray(PIECE_BYTES)
        self._resting: deque[Kind] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self.rest_s = rest_s

    async def take(self, *, rested_at_most_s: float) -> Kind:
        """Return the connection that rested least, else a new one.

        Raises:
            OSError: there is nobody, or not who the certificate should name.
        """
        found = self.rested(rested_at_most_s)
        return await self.dial() if found is None else found

    def rested(self, at_most_s: float) -> Kind | None:
        """Return the connection that rested least, and not for longer than so many seconds; None without one."""
        now_s = self._clock.tick_s()
        while self._resting:
            found = self._resting[-1]
            if found.is_fit and now_s - found.rests_since_s > at_most_s:
                break  # it and all below it may still do for others
            self._resting.pop()
            if found.is_fit and now_s - found.born_s <= self._life_s:
                return found
            found.close()
        return None

    async def dial(self) -> Kind:
        """Return a new connection.

        Raises:
            OSError: as `take`.
        """
        loop, place = asyncio.get_running_loop(), self._place

        connection = self._make(self._clock.tick_s())

        def inlet() -> asyncio.BufferedProtocol:
            if isinstance(connection, asyncio.BufferedProtocol):
                return connection
            return Inlet(cast(asyncio.Protocol, connection), self._buffer)

        if place.path is not None:
            await loop.create_unix_connection(inlet, place.path)
            return connection
        if place.is_address:  # nothing to look up, nothing to choose from
            await loop.create_connection(inlet, place.host, place.port, ssl=place.tls)
            return connection
        found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
        sock = await aiohappyeyeballs.start_connection(found, happy_eyeballs_delay=_SECOND_FAMILY_S, loop=loop)
        try:
            await loop.create_connection(inlet, sock=sock, ssl=place.tls, server_hostname=place.tls_name)
        except BaseException:
            sock.close()
            raise
        return connection

    def heed(self, keep_alive: str) -> None:
        """Let connections rest for less than the upstream says it does, if it says so (`Keep-Alive: timeout=5`)."""
        told = _KEEP_ALIVE_TIMEOUT.search(keep_alive)
        if told is None:
            return
        rest_s = max(int(told[1]) - 1.0, int(told[1]) / 2)
        if rest_s < self.rest_s:
            log.info("keep-alive shortened", extra={"host": self._place.host, "seconds": rest_s})
            self.rest_s = rest_s

    def give_back(self, connection: Kind) -> None:
        """Let `connection` rest, if another request may go over it."""
        if not connection.is_fit:
            connection.close()
            return
        connection.is_used, connection.rests_since_s = True, self._clock.tick_s()
        self._resting.append(connection)
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self.rest_s, self._close_rested)

    def close(self) -> None:
        """Close all that rest."""
        self.rest_s = -1.0
        self._close_rested()

    def _close_rested(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        now_s = self._clock.tick_s()
        while self._resting and not (self._resting[0].is_fit and now_s - self._resting[0].rests_since_s <= self.rest_s):
            self._resting.popleft().close()
        rest_s = self.rest_s
        self._sweep = asyncio.get_running_loop().call_later(rest_s, self._close_rested) if self._resting else None
