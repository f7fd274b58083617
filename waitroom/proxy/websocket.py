"""Join a visitor's websocket with the upstream's, byte for byte, until either side closes.

The bytes of the frames pass as they are: subprotocols, extensions, pings, close codes and the size of messages are
between the two ends. A side that vanishes without a close frame vanishes for the other side too, and so does one whose
close frame says what may not travel (1005, 1006, 1015, 2999). What is held in memory is bounded by back-pressure,
whatever a frame's size.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress

import aiohttp
from aiohttp import StreamReader, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpVersion11, StreamWriter

from waitroom.kernel.errors import UpstreamUnavailable
from waitroom.proxy.exchange import Answer
from waitroom.proxy.relay import RelayedAnswer

BUFFER_BYTES = 65_536
GOODBYE = b"\x88\x02" + (1012).to_bytes(2, "big")
"""A close frame: service restart."""
_CLOSE, _LONGEST_CLOSE_FRAME = 0x8, 2 + 4 + 125
_CLOSE_CODES = frozenset({1000, 1001, 1002, 1003, *range(1007, 1015)})
_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455 §1.3


def is_websocket(request: web.BaseRequest) -> bool:
    """Tell whether this is a whole websocket handshake (RFC 6455 §4.1); anything less is a plain request."""
    headers = request.headers
    options = {option.strip().lower() for option in headers.get("Connection", "").split(",")}
    return (
        request.method == "GET"
        and request.version == HttpVersion11
        and "upgrade" in options
        and headers.get("Upgrade", "").strip().lower() == "websocket"
        and headers.get("Sec-WebSocket-Version", "") == "13"
        and len(headers.getall("Sec-WebSocket-Key", [])) == 1
        and _is_key(headers["Sec-WebSocket-Key"])
        and not request.body_exists
    )


def handshake_headers() -> list[tuple[bytes, bytes]]:
    """Return what asks the upstream to switch; the rest of the handshake is the visitor's own."""
    return [(b"Connection", b"Upgrade"), (b"Upgrade", b"websocket")]


def check_switch(request: web.BaseRequest, answer: Answer) -> None:
    """Make sure that the upstream has really switched to this websocket.

    Raises:
        UpstreamUnavailable: 502, it said 101 and meant something else.
    """
    expected = base64.b64encode(hashlib.sha1(request.headers["Sec-WebSocket-Key"].encode() + _MAGIC).digest())  # noqa: S324  # RFC 6455 wants SHA-1
    has_switched = answer.connection.upgraded and answer.headers.get("Upgrade", "").lower() == "websocket"
    if not has_switched or answer.headers.get("Sec-WebSocket-Accept", "").encode() != expected:
        raise UpstreamUnavailable("no valid websocket handshake in the answer")


async def join(
    request: web.BaseRequest,
    answer: Answer,
    response: RelayedAnswer,
    *,
    idle_timeout_s: float,
    leaving: asyncio.Event,
) -> None:
    """Carry bytes both ways until one side is done, both are silent for `idle_timeout_s`, or we are `leaving`."""
    upstream = answer.connection
    upstream.read_timeout = None
    from_upstream = StreamReader(upstream, BUFFER_BYTES)
    from_visitor = StreamReader(request.protocol, BUFFER_BYTES)
    to_upstream = StreamWriter(upstream, asyncio.get_running_loop())
    down, up = _Frames(response.write), _Frames(to_upstream.write)
    response.send_head()
    request.protocol.keep_alive(False)
    request.protocol.set_parser(_Feed(from_visitor))  # type: ignore[arg-type]  # it needs only these two methods
    upstream.set_parser(_Feed(from_upstream), from_upstream)
    try:
        async with asyncio.timeout(idle_timeout_s) as silence:
            await _either(
                _pump(from_visitor, up, silence, idle_timeout_s),
                _pump(from_upstream, down, silence, idle_timeout_s),
                down.say_goodbye(leaving),
            )
    except TimeoutError:
        response.break_off()
    finally:
        _flush(from_visitor, up, upstream)
        _flush(from_upstream, down, request.protocol)


class _Feed:
    """What aiohttp takes for a parser: every byte goes into the stream, which holds the socket back when full."""

    def __init__(self, stream: StreamReader) -> None:
        self._stream = stream

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self._stream.feed_data(data)
        return False, b""

    def feed_eof(self) -> None:
        self._stream.feed_eof()


class _Frames:
    """What goes one way, followed just far enough to know where a frame ends and what a close frame says."""

    def __init__(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        self._send = send
        self._head = b""
        self._left_bytes: int | None = None  # of the payload; None while the head is not whole
        self._close_frame = b""
        self._has_closed = False
        self.is_legal = True

    async def write(self, piece: bytes) -> None:
        passed = self.follow(piece)
        if passed:
            await self._send(passed)

    async def say_goodbye(self, leaving: asyncio.Event) -> None:
        """Tell the visitor to come back (RFC 6455 §7.4, code 1012) once we leave, unless a frame is half sent."""
        await leaving.wait()
        if not (self._head or self._has_closed):
            with suppress(ConnectionError):
                await self._send(GOODBYE)

    def follow(self, piece: bytes) -> bytes:
        """Return what of `piece` may go on: a close frame only when it is whole, and never one that may not travel."""
        passed, at = bytearray(), 0
        while at < len(piece) and self.is_legal:
            if self._left_bytes is None:
                step = 1
                self._head += piece[at : at + 1]
                self._left_bytes = _payload_bytes(self._head)
            else:
                step = min(self._left_bytes, len(piece) - at)
                self._left_bytes -= step
            if self._head[0] & 0x0F == _CLOSE:
                self._close_frame += piece[at : at + step]
            else:
                passed += piece[at : at + step]
            at += step
            if self._left_bytes == 0 or len(self._close_frame) > _LONGEST_CLOSE_FRAME:
                passed += self._ended()
        return bytes(passed)

    def _ended(self) -> bytes:
        """Be done with this frame; return it, if it is a close frame that was held back."""
        frame, payload = self._close_frame, self._close_frame[len(self._head) :]
        if frame:
            self._has_closed, self.is_legal = True, _may_travel(self._head, payload)
        self._head, self._left_bytes, self._close_frame = b"", None, b""
        return frame if self.is_legal else b""


def _may_travel(head: bytes, payload: bytes) -> bool:
    """Tell whether a close frame says nothing, or what an end may say (RFC 6455 §7.4, and its registry at IANA)."""
    if not payload:
        return True
    mask = head[-4:] if head[1] & 0x80 else bytes(4)
    code = int.from_bytes(bytes(a ^ b for a, b in zip(payload[:2], mask, strict=False)), "big")
    return 2 <= len(payload) <= 125 and (code in _CLOSE_CODES or 3000 <= code <= 4999)


def _payload_bytes(head: bytes) -> int | None:
    """Return how long the payload of the frame is that begins with `head`; None while `head` is not whole."""
    if len(head) < 2:
        return None
    extra = {126: 2, 127: 8}.get(head[1] & 0x7F, 0)
    mask = 4 if head[1] & 0x80 else 0
    if len(head) < 2 + extra + mask:
        return None
    return int.from_bytes(head[2 : 2 + extra], "big") if extra else head[1] & 0x7F


async def _either(*pumps: Coroutine[None, None, None]) -> None:
    """Wait until one of `pumps` is done, and stop the rest."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(pump) for pump in pumps]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()


async def _pump(source: StreamReader, frames: _Frames, silence: asyncio.Timeout, idle_timeout_s: float) -> None:
    try:
        while frames.is_legal and (piece := await source.readany()):
            silence.reschedule(asyncio.get_running_loop().time() + idle_timeout_s)
            await frames.write(piece)
    except (aiohttp.ClientError, OSError):
        return  # a side that is gone is done


def _flush(source: StreamReader, frames: _Frames, target: BaseProtocol) -> None:
    """Hand over what one side said last, mostly its close frame, before the other is closed."""
    transport = target.transport
    if source.exception() is None and transport is not None and not transport.is_closing():
        rest = frames.follow(source.read_nowait())
        if rest:
            transport.write(rest)


def _is_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 16
    except (binascii.Error, ValueError):
        return False
