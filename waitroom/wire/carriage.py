"""One plain request on its way to an upstream and back, step by step as bytes come in."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import httptools

from waitroom.gate.inside import Inside
from waitroom.gate.prompt import Onward
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import UpstreamUnavailable, WaitroomError
from waitroom.kernel.tasks import Errands
from waitroom.proxy.headers import UpstreamHead, client_headers, for_one_visitor
from waitroom.proxy.pool import Pool
from waitroom.proxy.relay import Framing, answer_head, interim_head, told_reason
from waitroom.proxy.slots import Slot, busy
from waitroom.proxy.upstream import Upstream
from waitroom.rules.heads import Head
from waitroom.wire.front_door import FrontDoor
from waitroom.wire.lane_connection import LaneConnection, RawHeaders
from waitroom.wire.plain_answers import PlainAnswer

log = logging.getLogger(__name__)

_MOST_INTERIM = 16

Seen = Callable[[int | None, float], None]
"""Tells the watch of a room what came of a request, and when."""


@dataclass(frozen=True, slots=True)
class Track:
    """The fast lane to one upstream."""

    upstream: Upstream
    pool: Pool[LaneConnection]
    inside: Inside
    errands: Errands
    clock: Clock


@dataclass(slots=True)
class Journey:
    """A request: as it came, where it goes, and as the upstream gets it."""

    head: Head
    onward: Onward
    request: bytes


class Carriage:
    """What is under way; the front door and the connection to the upstream call it."""

    __slots__ = (
        "_began_s",
        "_connection",
        "_door",
        "_held",
        "_interims",
        "_is_chunked",
        "_is_kept",
        "_is_paused",
        "_journey",
        "_out",
        "_seen",
        "_since_s",
        "_slot",
        "_track",
        "has_begun",
    )

    def __init__(self, track: Track, door: FrontDoor, journey: Journey, slot: Slot, seen: Seen | None) -> None:
        """Have `slot`, and tell `seen` what comes of it; nothing is sent yet."""
        self._track = track
        self._door = door
        self._journey = journey
        self._slot: Slot | None = slot
        self._seen = seen
        self._connection: LaneConnection | None = None
        self._began_s = self._since_s = track.clock.tick_s()
        self._held: tuple[int, bytes, UpstreamHead] | None = None  # a head that nothing was made of yet
        self._out = b""  # a head that waits for the first of the body, so that small answers travel in one segment
        self._interims = 0
        self._is_kept = True
        self._is_chunked = self._is_paused = self.has_begun = False

    def start(self) -> None:
        """Send the request, over a connection that rests if there is one."""
        pool = self._track.pool
        connection = pool.rested(pool.rest_s)
        if connection is not None:
            self._send(connection)
        else:
            _ = self._track.errands.begin(self._dial(), name="dial")

    # --- what the front door says

    def look(self, now_s: float) -> None:
        """Give up if the upstream has been silent for too long."""
        limits = self._track.upstream.limits
        silent_s = now_s - self._since_s
        if self._connection is None or self._is_paused:
            return
        if not self.has_begun and silent_s > limits.first_byte_timeout_s:
            self._fail(TimeoutError("no answer"))
        elif self.has_begun and silent_s > limits.idle_timeout_s:
            self._break_off(TimeoutError("no more of the answer"))

    def pause(self) -> None:
        """Take no more from the upstream: the client does not take it."""
        self._is_paused = True
        if self._connection is not None:
            self._connection.pause()

    def resume(self) -> None:
        """Go on."""
        self._is_paused, self._since_s = False, self._track.clock.tick_s()
        if self._connection is not None:
            self._connection.resume()

    def cancel(self) -> None:
        """Let go of everything: the client has gone."""
        self._let_go(None)

    # --- what the connection says, see `lane_connection.Load`

    def on_plain(self, answer: PlainAnswer) -> bool:
        """Take the head of a plain answer; it goes as it is, unless something goes along."""
        self._note(answer.status)
        if answer.keep_alive:
            self._track.pool.heed(answer.keep_alive)
        ours = self._additions(None)
        if ours or self._door.is_leaving:
            self._put_head(answer.status, answer.reason, client_headers(answer.raw_headers), ours)
        elif answer.length is None or answer.status == 204:
            self._out = b"HTTP/1.1 %d %b\r\n%b\r\n" % (answer.status, answer.reason, answer.block)
        else:
            told = answer.status, answer.reason, answer.block, answer.length
            self._out = b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n\r\n" % told
        self.has_begun = True
        return self._has_body(answer.status)

    def on_head(self, status: int, reason: bytes, headers: RawHeaders) -> bool:
        """Take a head; the answer's own is held until the first of its body is there."""
        told = told_reason(reason.decode("utf-8", "surrogateescape"))
        if status < 200:
            self._interim(status, told, headers)
            return False
        head = client_headers(headers)
        head.check_coding()
        if head.is_event_stream:
            self._take_long_slot()
        self._held, self.has_begun = (status, told, head), True
        return self._has_body(status)

    def on_body(self, piece: bytes) -> None:
        """Hand a piece of the body on."""
        out = self._head()
        self._door.transport.write(out + (b"%x\r\n%b\r\n" % (len(piece), piece) if self._is_chunked else piece))

    def on_read(self) -> None:
        """Send the head alone where the body is long in coming."""
        self._since_s = self._track.clock.tick_s()
        if out := self._head():
            self._door.transport.write(out)

    def on_end(self) -> None:
        """Finish the answer, and give everything back."""
        if self._is_chunked:
            self._door.transport.write(b"0\r\n\r\n")
        connection, self._connection = self._connection, None
        self._release()
        if connection is not None:
            if self._is_paused:  # by the last of the answer
                connection.resume()
            self._track.pool.give_back(connection)
        self._door.carried(is_kept=self._is_kept)

    def on_broken(self, why: Exception, *, was_silent: bool) -> None:
        """Ask once more where a connection that had rested was closed under the request; else it has failed."""
        connection, self._connection = self._connection, None
        if self.has_begun and self._held is None:
            self._break_off(why)
        elif was_silent and connection is not None and connection.is_used:
            _ = self._track.errands.begin(self._dial(), name="dial")
        else:
            self._fail(why)

    # ---

    async def _dial(self) -> None:
        """Send the request over a new connection."""
        track = self._track
        try:
            async with asyncio.timeout(track.upstream.limits.connect_timeout_s):
                connection = await track.pool.dial()
        except (OSError, TimeoutError) as fault:
            if self._slot is not None:
                self._fail(fault)
            return
        if self._slot is None:  # it is over: the client has gone
            track.pool.give_back(connection)
        elif connection.is_fit:
            self._send(connection)
        else:
            self._fail(ConnectionResetError("the upstream hung up at once"))

    def _send(self, connection: LaneConnection) -> None:
        self._since_s = self._track.clock.tick_s()
        self._connection = connection
        connection.ask(self, self._journey.request)

    def _interim(self, status: int, told: bytes, headers: RawHeaders) -> None:
        """Pass on what comes before the answer; 100 must be HTTP too, but is between the upstream and us."""
        self._interims += 1
        if status == 101 or self._interims > _MOST_INTERIM:
            raise UpstreamUnavailable("switched protocols unasked, or no end of interim answers")
        head = interim_head(status, told, headers)
        if status != 100:
            self._door.transport.write(head)

    def _note(self, status: int) -> None:
        """Count an answer, and tell the watch."""
        track, onward = self._track, self._journey.onward
        now_s = track.clock.tick_s()
        track.upstream.tally.answered(status, now_s - self._began_s)
        if onward.room:
            track.inside.carried(onward.room)
        if self._seen is not None:
            self._seen(status, now_s)

    def _has_body(self, status: int) -> bool:
        return self._journey.head.method != "HEAD" and status not in {204, 304}

    def _head(self) -> bytes:
        """Return the head that waited, b"" for none; only now is it obeyed: the answer did not break with it."""
        if self._held is not None:
            (status, told, head), self._held = self._held, None
            self._note(status)
            if head.keep_alive:
                self._track.pool.heed(head.keep_alive.decode("latin-1"))
            self._put_head(status, told, head, self._additions(head.command))
        out, self._out = self._out, b""
        return out

    def _put_head(self, status: int, reason: bytes, head: UpstreamHead, ours: RawHeaders) -> None:
        kept = for_one_visitor([*head.headers, *ours]) if ours else head.headers
        self._is_chunked = self._has_body(status) and head.content_length is None
        self._is_kept = not self._door.is_leaving
        framing = Framing(status, head.content_length, is_chunked=self._is_chunked, is_kept=self._is_kept)
        self._out = answer_head(reason, kept, framing)

    def _additions(self, command: str | None) -> RawHeaders:
        """Return what goes along about the pass of who is inside."""
        onward = self._journey.onward
        if onward.pass_ is None:
            return []
        added = self._track.inside.answered(self._journey.head, onward.room, onward.pass_, command)
        return [(name.encode("ascii"), value.encode()) for name, value in added]

    def _take_long_slot(self) -> None:
        """Leave the slot to plain requests: this one lasts."""
        if self._slot is not None:
            self._slot.release()
        self._slot = self._track.upstream.long_slots.take_now()
        if self._slot is None:
            raise busy()

    def _fail(self, why: Exception) -> None:
        """Let the doors behind word what went wrong: nothing of an answer has gone out."""
        fault = why if isinstance(why, WaitroomError) else self._translated(why)
        if isinstance(fault, UpstreamUnavailable):
            self._track.upstream.tally.answered(0, 0)
        self._let_go(fault.status)
        self._door.take_back(self._journey.head, fault)

    def _translated(self, why: Exception) -> UpstreamUnavailable:
        told = "no valid HTTP" if isinstance(why, httptools.HttpParserError) else f"{type(why).__name__}: {why}"
        status = 504 if isinstance(why, TimeoutError) else 502
        return UpstreamUnavailable(f"{self._track.upstream.name}: {told}", status=status)

    def _break_off(self, why: Exception) -> None:
        log.warning("answer broken off", extra={"upstream": self._track.upstream.name, "fault": repr(why)})
        self._let_go(None)
        self._door.break_off()

    def _let_go(self, status: int | None) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        self._release()
        if self._seen is not None:
            self._seen(status, self._track.clock.tick_s())

    def _release(self) -> None:
        slot, self._slot = self._slot, None
        if slot is not None:
            slot.release()
