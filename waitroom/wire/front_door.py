"""The protocol before aiohttp: what is prepared is answered from bytes, the rest is handed on untouched.

Why that is safe:

- Only a plain request is looked at here (`rules/heads.py`): whole, without a body, in HTTP/1.1, each header read in one
  way. Anything else goes to aiohttp with every byte that came, and so does whatever `Prompt` has no answer for.
- While aiohttp has begun anything on this connection, be it part of a head, all bytes are its own.
- One thing at a time: while an answer is carried, or the client does not take what was written, what comes next waits
  unread. So answers leave in the order of the requests, and nobody makes us keep more than they send.
- Who follows the pulse is given away for good, with their seat (`wire/stream.py`): no request comes after that.
- Seats, header time, idle time, slow readers and the farewell of a worker that leaves hold here as they do for aiohttp.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, cast

from waitroom.gate.prompt import Follow, Onward, Prompt
from waitroom.gate.ready import Ready
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import WaitroomError
from waitroom.proxy.inlet import PIECE_BYTES
from waitroom.rules.heads import Fields, Head, plain_head
from waitroom.wire.connections import Bounds, Seat
from waitroom.wire.listener import HALF_CLOSED_S, Listener
from waitroom.wire.seated import SeatedConnection, seated


class Carriage(Protocol):
    """One plain request on its way to an upstream and back; it ends with `FrontDoor.carried` or `take_back`."""

    has_begun: bool
    """Whether any of the answer has gone to the client."""

    def look(self, now_s: float) -> None:
        """Give up if the upstream has been silent for too long."""
        ...

    def pause(self) -> None:
        """Take no more from the upstream: the client does not take it."""
        ...

    def resume(self) -> None:
        """Go on."""
        ...

    def cancel(self) -> None:
        """Let go of everything: the client has gone."""
        ...


Carry = Callable[["FrontDoor", Head, Onward], Carriage | None]
"""Begins to carry a plain request; None where that is for the others to do."""
Receive = Callable[["FrontDoor", bytes], int]
"""Answers the plain POST that bytes begin with, or begins to, and tells how long that was; 0 as above."""


Stay = Callable[["FrontDoor", str], bool]
"""Lets a connection follow a room; False where that is for the others to refuse."""


@dataclass(slots=True)
class Frame:
    """What all front doors of one listener share; without a `prompt` everything is aiohttp's."""

    listener: Listener
    bounds: Bounds
    clock: Clock
    prompt: Prompt | None = None
    carry: Carry | None = None
    stay: Stay | None = None
    receive: Receive | None = None
    buffer: bytearray = field(default_factory=lambda: bytearray(PIECE_BYTES))


class FrontDoor(asyncio.BufferedProtocol):
    """One connection of a client."""

    __slots__ = (
        "_carriage",
        "_fields",
        "_frame",
        "_inner",
        "_is_half_closed",
        "_is_paused",
        "_later",
        "_memo",
        "_rests_since_s",
        "_seat",
        "_stuck",
        "address",
        "transport",
    )

    def __init__(self, frame: Frame, seat: Seat, address: str) -> None:
        """Serve the connection of `address` that has `seat`."""
        self._frame = frame
        self._seat = seat
        self.address = address
        self._memo = frame.prompt.memo(address) if frame.prompt is not None else {}
        self._inner: SeatedConnection | None = None
        self._carriage: Carriage | None = None
        self._fields: Fields | None = None  # of the request before: the next one mostly brings the same
        self._later = b""  # what came while something else had to be finished first
        self._stuck: tuple[float, int] | None = None  # since when what is written must wait, and how much it was
        self._rests_since_s: float | None = None
        self._is_paused = self._is_half_closed = False
        self.transport: asyncio.Transport

    # --- bytes come in

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to be looked at."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is one in all but name
        self._seat.guest = self

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the next read goes: all of one event loop share a buffer, for each read is copied out."""
        return self._frame.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Answer what was read, or hand it on."""
        data = bytes(memoryview(self._frame.buffer)[:nbytes])
        self._rests_since_s = None
        inner = self._inner
        if self._carriage is not None or self._later:
            self._hold(data)
        elif inner is not None and not inner.is_between:
            inner.data_received(data)
        elif self._is_paused:
            self._hold(data)
        elif (ready := self._memo.get(data)) is not None and not self._frame.listener.is_leaving:
            ready.times += 1
            self.transport.write(ready.answer)
        else:
            self._read(data)

    def eof_received(self) -> bool | None:
        """Go on for a client that will send nothing more but may still be reading; see `Connection.eof_received`."""
        if self._carriage is None:
            return None if self._inner is None else self._inner.eof_received()
        if self.transport.get_extra_info("sslcontext"):
            return None
        self._is_half_closed = True
        asyncio.get_running_loop().call_later(HALF_CLOSED_S, self._end_half_closed)
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave the seat, and let go of what was under way."""
        self._seat.leave()
        self._later = b""
        if self._carriage is not None:
            self._carriage.cancel()
            self._carriage = None
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Let nothing more be written: the client has not taken what was."""
        self._is_paused = True
        if self._carriage is not None:
            self._carriage.pause()
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Note that the client has taken what waited."""
        self._is_paused, self._stuck = False, None
        if self._carriage is not None:
            self._carriage.resume()
        if self._inner is not None:
            self._inner.resume_writing()
        if self._later and self._carriage is None:
            self._go_on()

    def keep_busy(self, carriage: Carriage) -> None:
        """Let what comes next wait until this is over."""
        self._carriage = carriage

    # --- what a carriage says when it is over

    def carried(self, *, is_kept: bool) -> None:
        """Go on after a whole answer, or end with it."""
        self._carriage = None
        if is_kept and not self._is_half_closed:
            self._go_on()
        else:
            self.transport.close()

    def take_back(self, head: Head, fault: WaitroomError) -> None:
        """Let aiohttp answer a request of which nothing could be carried: it words the fault for who asks."""
        self._within().foregone = fault
        self.hand_over(head.raw)

    def hand_over(self, raw: bytes) -> None:
        """Let aiohttp answer a request of which nothing was answered here, and what came after it."""
        self._carriage = None
        data, self._later = raw + self._later, b""
        self.transport.resume_reading()
        self._within().data_received(data)

    def give_away(self) -> tuple[asyncio.Transport, Seat, Frame]:
        """Return what another protocol goes on with; aiohttp's side of the connection ends, and not the connection."""
        if self._inner is not None:
            self._inner.transport = None
            self._inner.connection_lost(None)
        return self.transport, self._seat, self._frame

    def break_off(self) -> None:
        """Cut the connection, so that half an answer is never taken for the whole."""
        self.transport.abort()

    # --- what the sweep asks, see `connections.Guest`

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request of which nothing, or not all, has come."""
        if self._carriage is not None or self._later:
            return False
        return self._inner is None or self._inner.is_idle

    @property
    def is_leaving(self) -> bool:
        """Whether an answer is the last of its connection now."""
        return self._frame.listener.is_leaving or self._is_half_closed

    def hang_up(self) -> None:
        """End it; what the client has not taken by now it never will."""
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        elif self._inner is not None:
            self._inner.hang_up()
        else:
            self.transport.close()

    def look(self, now_s: float) -> str | None:
        """End it if the client lets us wait too long, or the upstream what is carried."""
        if self._reads_too_slowly(now_s):
            self.transport.abort()
            return "slow-reader"
        if self._carriage is not None:
            self._carriage.look(now_s)
            return None
        if self._inner is not None and (why := self._inner.look(now_s)) is not None:
            return why
        if not self.is_idle:
            self._rests_since_s = None
        elif self._rests_since_s is None:
            self._rests_since_s, self._fields = now_s, None
        elif now_s - self._rests_since_s > self._frame.bounds.keepalive_s:
            self.hang_up()
        return None

    # ---

    def _read(self, data: bytes) -> None:
        """Answer one plain request after the other; from the first that is none, all is aiohttp's."""
        while data:
            taken_bytes = self._take(data)
            if not taken_bytes:
                self._within().data_received(data)
                return
            data = data[taken_bytes:]
            if data and (self._is_paused or self._carriage is not None):
                self._hold(data)
                return

    def _take(self, data: bytes) -> int:
        """Answer the plain request that `data` begins with, or begin to; return its length, 0 if it is for aiohttp."""
        frame = self._frame
        if frame.prompt is None or frame.listener.is_leaving:
            return 0
        if data.startswith(b"POST "):
            return 0 if frame.receive is None else frame.receive(self, data)
        head = plain_head(data, self._fields)
        if head is None:
            return 0
        self._fields = head.fields
        answer = frame.prompt.answer(head, self.address, frame.clock.now_ms())
        if isinstance(answer, Ready):
            self.transport.write(frame.prompt.given(self._memo, head.raw, answer))
            return head.size
        if isinstance(answer, Follow):
            return len(data) if frame.stay is not None and frame.stay(self, answer.room) else 0
        if answer is not None and frame.carry is not None:
            self._carriage = frame.carry(self, head, answer)
        return 0 if self._carriage is None else head.size

    def _hold(self, data: bytes) -> None:
        self._later += data
        self.transport.pause_reading()

    def _go_on(self) -> None:
        """Take up what came meanwhile, as soon as the client takes what was written."""
        if self._later and not self._is_paused:
            data, self._later = self._later, b""
            self.transport.resume_reading()
            self._read(data)

    def _within(self) -> SeatedConnection:
        """Return aiohttp's side of this connection; it is made when it is needed first."""
        inner = self._inner
        if inner is None:
            frame = self._frame
            inner = self._inner = seated(frame.listener, self.address, frame.bounds, frame.clock)
            inner.connection_made(self.transport)
            if self._is_paused:
                inner.pause_writing()
        return inner

    def _end_half_closed(self) -> None:
        if self._carriage is not None and not self._carriage.has_begun:
            self.transport.abort()

    def _reads_too_slowly(self, now_s: float) -> bool:
        if not (self._is_paused or self.transport.is_closing()):
            return False
        left_bytes, bounds = self.transport.get_write_buffer_size(), self._frame.bounds
        if self._stuck is None:
            self._stuck = now_s, left_bytes
        since_s, then_bytes = self._stuck
        waited_s = now_s - since_s
        if waited_s <= bounds.write_timeout_s:
            return False
        if then_bytes - left_bytes >= waited_s * max(1, bounds.min_bytes_per_s):
            self._stuck = now_s, left_bytes  # a fresh start: what was taken at once earns no rest for long
            return False
        return True
