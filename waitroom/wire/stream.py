"""A connection that follows the pulse: no request comes on it any more, and each pulse is written as it was made.

It costs what a connection costs, and nothing beside. Who does not take a pulse gets no other one until they have; for
too long, and the connection ends. The kernel watches for who has vanished without a word.
"""

import asyncio
from functools import lru_cache

from waitroom.gate.events import BEAT, chunk, come_back, event, head
from waitroom.gate.followers import Followers
from waitroom.gate.pulses import Told
from waitroom.kernel.errors import WaitroomError
from waitroom.kernel.sockets import keep_little
from waitroom.wire.connections import Seat
from waitroom.wire.frame import Frame
from waitroom.wire.front_door import FrontDoor

_REMEMBERED = 64
"""How many pulses are kept as they are written: as many rooms have one."""
_BEAT, _END = chunk(BEAT), b"0\r\n\r\n"


class Streams:
    """Turns connections into streams."""

    def __init__(self, followers: Followers) -> None:
        """Let them be among `followers`."""
        self.followers = followers
        self.written = lru_cache(_REMEMBERED)(lambda told: chunk(event(told)))

    def follow(self, door: FrontDoor, room: str) -> bool:
        """Let the connection of `door` follow `room`; False where it cannot, and somebody else says why."""
        if self.followers.is_leaving:
            return False
        stream = Stream(self, room)
        try:
            told = self.followers.follow(room, stream)
        except WaitroomError:
            return False
        stream.begin(told, *door.give_away())
        return True


class Stream(asyncio.BufferedProtocol):
    """One connection that follows a room."""

    __slots__ = ("_frame", "_has_missed", "_is_behind", "_room", "_seat", "_since_s", "_streams", "_transport")

    def __init__(self, streams: Streams, room: str) -> None:
        """Follow `room`, once there is a connection."""
        self._streams = streams
        self._room = room
        self._is_behind = self._has_missed = False
        self._since_s: float | None = None  # it has been seen to be behind
        self._transport: asyncio.Transport
        self._seat: Seat
        self._frame: Frame

    def begin(self, told: Told, transport: asyncio.Transport, seat: Seat, frame: Frame) -> None:
        """Have the connection from now on; write the head, and the pulse as it is."""
        self._transport, self._seat, self._frame = transport, seat, frame
        seat.guest = self
        transport.set_protocol(self)
        transport.set_write_buffer_limits(1)  # a transport of TLS takes 0 for what it always has
        keep_little(transport, frame.bounds.write_timeout_s)
        opening = head(frame.clock.now_ms() // 1000) + chunk(come_back())
        transport.write(opening + self._streams.written(told))

    # --- what the followers are told

    def tell(self, news: Told) -> None:
        """Write the newest pulse; who has not taken the last one gets it when they have."""
        if self._is_behind:
            self._has_missed = True
        else:
            self._transport.write(self._streams.written(news))

    def beat(self) -> None:
        """Write a comment."""
        if not self._is_behind:
            self._transport.write(_BEAT)

    def farewell(self) -> None:
        """Say when to come back, and end."""
        if self._is_behind:
            self._transport.abort()
        else:
            self._transport.write(chunk(come_back()) + _END)
            self._transport.close()

    # --- what the connection says

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where to put what is not looked at."""
        return self._frame.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read no more: after an answer that is the last one, nothing is a request (RFC 9112 §9.6)."""
        self._transport.pause_reading()

    def eof_received(self) -> None:
        """End: who sends no more looks as who is gone."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """Leave."""
        self._streams.followers.leave(self._room, self)
        self._seat.leave()

    def pause_writing(self) -> None:
        """Note that what was written is not taken yet."""
        self._is_behind = True

    def resume_writing(self) -> None:
        """Go on, with the newest pulse if one was missed."""
        self._is_behind, self._since_s = False, None
        if self._has_missed:
            self._has_missed = False
            self.tell(self._streams.followers.pulses.told(self._room))

    # --- what the sweep asks, see `connections.Guest`

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request: never again."""
        return False

    def hang_up(self) -> None:
        """End it."""
        self._transport.abort()

    def look(self, now_s: float) -> str | None:
        """End it if the client takes nothing."""
        if not self._is_behind:
            return None
        if self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s > self._frame.bounds.write_timeout_s:
            self._transport.abort()
            return "slow-reader"
        return None
