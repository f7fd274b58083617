"""A connection that has a seat keeps to bounds, and belongs to whom a balancer says it does."""

import asyncio

from aiohttp import web

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import WaitroomError
from waitroom.wire.connections import Bounds
from waitroom.wire.last_words import HEADER_STALLED, HEADER_TOO_LARGE, last_words
from waitroom.wire.listener import Connection, Listener


def seated(listener: Listener, address: str, bounds: Bounds, clock: Clock) -> "SeatedConnection":
    """Return aiohttp's side of the connection of `address`."""
    server = listener.server
    assert server is not None, "setup comes first"
    made = SeatedConnection(server, loop=asyncio.get_running_loop(), **server._kwargs)
    made.sit_down(address, bounds, clock)
    return made


def foregone(request: web.BaseRequest) -> WaitroomError | None:
    """Return what is known already to come of `request`, once: it went to the upstream by the fast lane, in vain."""
    if not isinstance(request.protocol, SeatedConnection):
        return None
    return request.protocol.fault_of_this()


class SeatedConnection(Connection):
    """A connection that keeps to bounds: it notes since when it waits for the rest of a header."""

    __slots__ = ("_address", "_bounds", "_clock", "_foregone", "_has_ended", "_head_bytes", "_head_since_s", "_is_cut")

    def sit_down(self, address: str, bounds: Bounds, clock: Clock) -> None:
        """Belong to `address`, within `bounds`."""
        self._address = address
        self._bounds = bounds
        self._clock = clock
        self._has_ended = False
        self._head_bytes = 0
        self._head_since_s: float | None = None
        self._foregone: tuple[int, WaitroomError] | None = None
        self._is_cut = False

    def forego(self, fault: WaitroomError) -> None:
        """Know what is to come of the next request that is received, and of no other."""
        self._foregone = self._request_count + 1, fault

    def fault_of_this(self) -> WaitroomError | None:
        """Return what is known already to come of the request that is being answered, once."""
        found = self._foregone
        if found is None or found[0] > self._request_count - len(self._messages):
            return None
        self._foregone = None
        return found[1] if found[0] == self._request_count - len(self._messages) else None

    @property
    def peername(self) -> tuple[str, int]:
        """Return whom the connection is from, which a balancer may have announced; request.remote is made of it."""
        return self._address, 0

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request of which nothing, or not all, has come."""
        return self._request_count == 0 or (self._waiter is not None and not self._waiter.done())

    @property
    def is_between(self) -> bool:
        """Whether nothing at all is under way, so that what comes next may be answered by somebody else."""
        if self._has_ended or self._head_bytes or self._is_cut or self._close or self._force_close:
            return False
        return self.is_idle and not self._messages and not self._upgraded

    def hang_up(self) -> None:
        """End it."""
        self.force_close()

    def look(self, now_s: float) -> str | None:
        """End it if the client lets us wait too long for the rest of a header."""
        if self._has_ended:
            self.force_close()
        elif self._head_since_s is not None and now_s - self._head_since_s > self._bounds.header_timeout_s:
            self._end(last_words(HEADER_STALLED))
            return "slow-header"
        return None

    def data_received(self, data: bytes) -> None:
        """Parse, and note how much of a header has come without its end."""
        if self._has_ended:
            return
        super().data_received(data)
        if not self.is_idle:  # all of a header has come, or it is part of a body
            self._head_since_s = None
            self._head_bytes = 0
            self._is_cut = not data.endswith(b"\r\n\r\n")  # else the next head may have begun to come with it
        elif data:
            self._head_bytes += len(data)
            if self._head_since_s is None:
                self._head_since_s = self._clock.tick_s()
            if self._head_bytes > self._bounds.max_header_bytes:
                self._end(last_words(HEADER_TOO_LARGE))

    def _end(self, words: bytes) -> None:
        """Say `words` and listen no more; closed at once, a client that still writes would hear a reset instead."""
        self._head_since_s = None
        self._has_ended = True
        if self.transport is not None:
            self.transport.write(words)
            if self.transport.can_write_eof():
                self.transport.write_eof()
