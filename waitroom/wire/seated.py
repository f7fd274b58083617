"""A connection that has a seat keeps to bounds, and belongs to whom a balancer says it does."""

import asyncio
from typing import cast

from waitroom.kernel.clock import Clock
from waitroom.wire.connections import Bounds, Seat
from waitroom.wire.last_words import HEADER_STALLED, HEADER_TOO_LARGE, last_words
from waitroom.wire.listener import Connection, Listener


def seated(listener: Listener, seat: Seat, address: str, bounds: Bounds, clock: Clock) -> asyncio.Protocol:
    """Return what serves the connection of `address` that has `seat`."""
    server = listener.server
    assert server is not None, "setup comes first"
    made = SeatedConnection(server, loop=asyncio.get_running_loop(), **server._kwargs)
    made.sit_down(seat, address, bounds, clock)
    return made


class SeatedConnection(Connection):
    """A connection that keeps to bounds: it notes since when it waits for the client, and for what."""

    __slots__ = (
        "_address",
        "_bounds",
        "_clock",
        "_has_ended",
        "_head_bytes",
        "_head_since_s",
        "_seat",
        "_stuck",
        "_wire",
    )

    def sit_down(self, seat: Seat, address: str, bounds: Bounds, clock: Clock) -> None:
        """Take `seat`, within `bounds`."""
        self._seat = seat
        self._address = address
        self._bounds = bounds
        self._clock = clock
        self._wire: asyncio.Transport | None = None  # ours: aiohttp forgets it before the last byte has gone
        self._has_ended = False
        self._head_bytes = 0
        self._head_since_s: float | None = None
        self._stuck: tuple[float, int] | None = None  # since when what is written must wait, and how much it was

    @property
    def peername(self) -> tuple[str, int]:
        """Return whom the connection is from, which a balancer may have announced; request.remote is made of it."""
        return self._address, 0

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request of which nothing, or not all, has come."""
        return self._request_count == 0 or (self._waiter is not None and not self._waiter.done())

    def hang_up(self) -> None:
        """End it."""
        self.force_close()

    def look(self, now_s: float) -> str | None:
        """End it if the client lets us wait too long: for the rest of a header, or to take what we have written."""
        if self._has_ended:
            self.force_close()
        elif self._head_since_s is not None and now_s - self._head_since_s > self._bounds.header_timeout_s:
            self._end(last_words(HEADER_STALLED))
            return "slow-header"
        if self._wire is None or not (self._paused or self._wire.is_closing()):
            return None
        left_bytes = self._wire.get_write_buffer_size()
        if self._stuck is None:
            self._stuck = now_s, left_bytes
        since_s, then_bytes = self._stuck
        waited_s = now_s - since_s
        if waited_s <= self._bounds.write_timeout_s:
            return None
        if then_bytes - left_bytes >= waited_s * max(1, self._bounds.min_bytes_per_s):
            self._stuck = now_s, left_bytes  # a fresh start: what was taken at once earns no rest for long
            return None
        self._wire.abort()
        return "slow-reader"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to be looked at."""
        self._wire = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._seat.guest = self
        super().connection_made(transport)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave the seat."""
        self._wire = None
        self._seat.leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse, and note how much of a header has come without its end."""
        if self._has_ended:
            return
        super().data_received(data)
        if not self.is_idle:  # all of a header has come, or it is part of a body
            self._head_since_s = None
            self._head_bytes = 0
        elif data:
            self._head_bytes += len(data)
            if self._head_since_s is None:
                self._head_since_s = self._clock.tick_s()
            if self._head_bytes > self._bounds.max_header_bytes:
                self._end(last_words(HEADER_TOO_LARGE))

    def resume_writing(self) -> None:
        """Note that the client has taken what waited."""
        self._stuck = None
        super().resume_writing()

    def _end(self, words: bytes) -> None:
        """Say `words` and listen no more; closed at once, a client that still writes would hear a reset instead."""
        self._head_since_s = None
        self._has_ended = True
        if self.transport is not None:
            self.transport.write(words)
            if self.transport.can_write_eof():
                self.transport.write_eof()
