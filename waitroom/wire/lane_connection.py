"""One connection of the fast lane to an upstream, whose answers llhttp reads."""

import asyncio
from typing import Protocol, cast

import httptools

from waitroom.kernel.errors import UpstreamUnavailable, WaitroomError
from waitroom.wire.plain_answers import PlainAnswer, plain_answer

RawHeaders = list[tuple[bytes, bytes]]
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Load(Protocol):
    """The request that is under way on a connection; one of `on_end` and `on_broken` is the last it hears."""

    def on_plain(self, answer: PlainAnswer) -> bool:
        """Take the head of a plain answer; return whether a body follows."""
        ...

    def on_head(self, status: int, reason: bytes, headers: RawHeaders) -> bool:
        """Take the head of an answer, interim ones (1xx) too; return whether a body follows.

        Raises:
            WaitroomError: it cannot be carried.
        """
        ...

    def on_body(self, piece: bytes) -> None:
        """Take a piece of the body."""
        ...

    def on_read(self) -> None:
        """Hear that all that was read at once has been told."""
        ...

    def on_end(self) -> None:
        """Hear that the answer was whole, and that the connection is free."""
        ...

    def on_broken(self, why: Exception, *, was_silent: bool) -> None:
        """Hear that nothing more will come, or nothing that could be understood; and whether nothing had come."""
        ...


class _Unasked(Exception):
    """The upstream went on after its answer."""


class LaneConnection(asyncio.BufferedProtocol):
    """A connection that carries one request after the other; `pool.Pooled`, and the protocol of an llhttp parser."""

    def __init__(self, buffer: bytearray, now_s: float) -> None:
        """Stand ready to be connected; each read is copied out of `buffer`, which others use too."""
        self._buffer = buffer
        self.born_s = self.rests_since_s = now_s
        self.is_used = False
        self._transport: asyncio.Transport | None = None
        self._parser = self._fresh_parser()
        self._load: Load | None = None
        self._reason = b""
        self._headers: RawHeaders = []
        self._is_sound = True
        self._left_bytes = 0  # of the body of a plain answer
        self._is_silent = True  # nothing of an answer has come
        self._is_in_body = False
        self._is_interim = False
        self._is_whole = False
        self._is_spent = False  # the parser waits for a body that the answer to a HEAD has not

    @property
    def is_fit(self) -> bool:
        """Whether another request may go over it."""
        return self._is_sound and self._transport is not None and not self._transport.is_closing()

    def ask(self, load: Load, request: bytes) -> None:
        """Send a request; its answer is told to `load`."""
        assert self._transport is not None, "it is connected, and fit"
        self._load = load
        self._is_silent, self._is_whole = True, False
        self._left_bytes = 0
        self._transport.write(request)

    def close(self) -> None:
        """End it; what was under way hears nothing more."""
        self._load, self._is_sound = None, False
        if self._transport is not None:
            self._transport.abort()

    def pause(self) -> None:
        """Read no more for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be connected."""
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read an answer; what comes unasked ends the connection, for it would be taken for the next visitor's."""
        data, load = bytes(memoryview(self._buffer)[:nbytes]), self._load
        if load is None:
            self.close()
            return
        if self._left_bytes:
            self._splice(load, data)
        elif self._is_silent and (answer := plain_answer(data)) is not None:
            self._is_silent = False
            self._left_bytes = (answer.length or 0) if load.on_plain(answer) else 0
            self._is_whole = not self._left_bytes
            if len(data) > answer.size:
                self._splice(load, data[answer.size :])
        else:
            self._parse(data)
        if self._load is load:
            load.on_read()
            if self._is_whole:
                self._end(load)

    def connection_lost(self, exc: BaseException | None) -> None:
        """Hear that it is gone, which is also the end of an answer that has no other."""
        self._is_sound = False
        load = self._load
        if load is not None and exc is None and self._is_in_body and _is_unframed(self._headers):
            self._end(load)
        else:
            self._break(exc if isinstance(exc, Exception) else ConnectionResetError("the upstream hung up"))

    # --- the protocol of the parser

    def on_message_begin(self) -> None:
        """Begin to read an answer."""
        if self._is_whole:
            raise _Unasked
        self._reason, self._headers = b"", []
        self._is_silent = self._is_in_body = False

    def on_status(self, reason: bytes) -> None:
        """Read a piece of the reason."""
        self._reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header; a trailer is left out, as in `proxy/`."""
        if not self._is_in_body:
            self._headers.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        """Tell the head."""
        status, load = self._parser.get_status_code(), self._load
        assert load is not None, "whose answer it is"
        self._is_in_body, self._is_interim = True, status < 200
        if not load.on_head(status, self._reason, self._headers) and not self._is_interim:
            self._is_whole = self._is_spent = True
            self._is_sound = self._is_sound and self._parser.should_keep_alive()

    def on_body(self, piece: bytes) -> None:
        """Tell a piece of the body."""
        if self._is_whole:
            raise _Unasked
        assert self._load is not None, "whose answer it is"
        self._load.on_body(piece)

    def on_message_complete(self) -> None:
        """Note that the answer is whole."""
        if self._is_interim:
            self._is_in_body = False
        else:
            self._is_whole, self._is_spent = True, False
            self._is_sound = self._is_sound and self._parser.should_keep_alive()

    # ---

    def _fresh_parser(self) -> httptools.HttpResponseParser:
        """Return a parser that takes what aiohttp's takes, so that nobody hears 502 for coming this way."""
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(
            lenient_headers=True, lenient_optional_cr_before_lf=True, lenient_spaces_after_chunk_size=True
        )
        return parser

    def _splice(self, load: Load, data: bytes) -> None:
        """Hand on what belongs to the body of a plain answer; more than that makes the connection unfit."""
        if len(data) > self._left_bytes:
            data, self._is_sound = data[: self._left_bytes], False
        self._left_bytes -= len(data)
        self._is_whole = not self._left_bytes
        if data:
            load.on_body(data)

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_sound = False
            self._break(UpstreamUnavailable("switched protocols unasked"))
        except httptools.HttpParserError as fault:
            self._is_sound = False
            if not self._is_whole:
                self._break(fault)

    def _end(self, load: Load) -> None:
        self._load, self._is_in_body = None, False
        if self._is_spent:
            self._parser, self._is_spent = self._fresh_parser(), False
        load.on_end()

    def _break(self, why: Exception) -> None:
        load, self._load = self._load, None
        if load is not None:
            cause = why.__context__
            load.on_broken(cause if isinstance(cause, WaitroomError) else why, was_silent=self._is_silent)
        if self._transport is not None:
            self._transport.abort()


def _is_unframed(headers: RawHeaders) -> bool:
    return not any(name.lower() in _FRAMING for name, _ in headers)
