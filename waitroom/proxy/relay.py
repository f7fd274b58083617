"""Write an answer to the visitor as the upstream worded it: no header added, altered or moved."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http import HttpVersion11, StreamWriter

from waitroom.kernel.errors import UpstreamUnavailable
from waitroom.proxy.headers import RawHeaders, client_headers


@dataclass(frozen=True, slots=True)
class Framing:
    """How an answer goes to the visitor: its length where that is told, else in chunks or to the connection's end."""

    status: int
    length: int | None
    is_chunked: bool
    is_kept: bool


def answer_head(reason: bytes, headers: RawHeaders, framing: Framing, *, is_modern: bool = True) -> bytes:
    """Return the head of a relayed answer; it `is_modern` to who speaks HTTP/1.1."""
    lines = [b"HTTP/1.%d %d %s" % (is_modern, framing.status, reason)]
    lines += [name + b": " + value for name, value in headers]
    if framing.is_chunked:
        lines.append(b"Transfer-Encoding: chunked")
    elif framing.length is not None and framing.status not in {101, 204}:
        lines.append(b"Content-Length: %d" % framing.length)
    if framing.status == 101:
        lines += [b"Connection: Upgrade", b"Upgrade: websocket"]
    elif not framing.is_kept and is_modern:
        lines.append(b"Connection: close")
    elif framing.is_kept and not is_modern:
        lines.append(b"Connection: keep-alive")
    return b"\r\n".join([*lines, b"", b""])


class RelayedAnswer(web.StreamResponse):
    """A response whose head is bytes that we were given.

    aiohttp's own would add Date, Server and Content-Type, and drop bytes that are not UTF-8. It also runs
    `on_response_prepare`, which this does not: what is to be added to a relayed answer is given to it.
    """

    def __init__(
        self, status: int, reason: bytes, headers: Sequence[tuple[bytes, bytes]], *, content_length: int | None
    ) -> None:
        """Keep the head; `content_length` is None where only the end of the body tells its length."""
        super().__init__(status=status, reason=reason.decode("latin-1"))
        self._raw_reason = reason
        self._raw_headers = headers
        self._raw_length = content_length
        self._relayed: web.BaseRequest | None = None
        self._is_broken = False
        self._ends_with_connection = False

    @property
    def has_body(self) -> bool:
        """Whether this answer, to that request, has a body at all (RFC 9110 §6.4.1)."""
        assert self._relayed is not None, "prepare first"
        return self._relayed.method != "HEAD" and self.status not in {101, 204, 304}

    async def _start(self, request: web.BaseRequest) -> AbstractStreamWriter:
        writer = request._payload_writer  # as the base class does; there is no other way to the connection
        assert isinstance(writer, StreamWriter)
        self._req = self._relayed = request
        self._payload_writer = writer
        is_chunked = self._raw_length is None and self.has_body and request.version >= HttpVersion11
        self._ends_with_connection = self._raw_length is None and self.has_body and not is_chunked
        may_keep = self._keep_alive is not False and not self._ends_with_connection and self.status != 101
        self._keep_alive = may_keep and request.keep_alive
        if is_chunked:
            writer.enable_chunking()
        # Kept until the first piece of the body, so that small answers travel in one segment; see `send_head`.
        writer._headers_buf = self._head(request, is_chunked)
        writer._headers_written = False
        return writer

    def send_head(self) -> None:
        """Send the head now: the body may be long in coming."""
        assert isinstance(self._payload_writer, StreamWriter)
        self._payload_writer.send_headers()

    def break_off(self) -> None:
        """Cut the visitor's connection, so that half an answer is never taken for the whole."""
        self._is_broken = True
        transport = self._relayed.transport if self._relayed is not None else None
        if transport is None:
            return
        if self._ends_with_connection and (sock := transport.get_extra_info("socket")) is not None:
            # Where the end of the connection is the end of the body, only a reset tells half from whole.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    async def write_eof(self, data: bytes = b"") -> None:
        """Finish the answer, unless it was broken off."""
        if self._is_broken:
            raise ConnectionResetError("the answer was broken off")
        await super().write_eof(data)

    def _head(self, request: web.BaseRequest, is_chunked: bool) -> bytes:
        framing = Framing(self.status, self._raw_length, is_chunked=is_chunked, is_kept=bool(self._keep_alive))
        return answer_head(self._raw_reason, self._raw_headers, framing, is_modern=request.version >= HttpVersion11)


@lru_cache(256)
def told_reason(reason: str) -> bytes:
    """Return the bytes of a reason as the upstream wrote it; aiohttp lets through what is none.

    Raises:
        UpstreamUnavailable: 502, it holds control characters.
    """
    if any((character < " " and character != "\t") or character == "\x7f" for character in reason):
        raise UpstreamUnavailable("control characters in the reason of the answer")
    return reason.encode("utf-8", "surrogateescape")


def tell_interim(request: web.BaseRequest, status: int, reason: str, headers: RawHeaders) -> None:
    """Pass on what the upstream says before its answer (RFC 9110 §15.2), as far as this visitor can understand it.

    100 is between the upstream and us: a visitor who waits for it is told by `Upload`.

    Raises:
        UpstreamUnavailable: 502, a head that cannot be carried, also where it would go no further.
    """
    head, transport = interim_head(status, told_reason(reason), headers), request.transport
    if status == 100 or request.version < HttpVersion11 or transport is None or transport.is_closing():
        return
    transport.write(head)


def interim_head(status: int, reason: bytes, headers: RawHeaders) -> bytes:
    """Return an interim answer as the visitor gets it."""
    return answer_head(reason, client_headers(headers).headers, Framing(status, None, is_chunked=False, is_kept=True))


class VisitorLeft(Exception):  # an event, not an error
    """The visitor hung up, or takes nothing any more."""


async def copy_body(content: StreamReader, answer: RelayedAnswer, *, idle_timeout_s: float) -> None:
    """Carry the body as it comes, no faster than the visitor takes it.

    Raises:
        VisitorLeft: nothing could be written for `idle_timeout_s`, or the connection is gone.
        aiohttp.ClientError, OSError: the upstream broke off, or stalled.
    """
    piece = content.read_nowait()
    if not piece:
        answer.send_head()
    while not content.at_eof():
        if piece:
            await written(answer.write(piece), idle_timeout_s)
        piece = await content.readany()
    await written(answer.write_eof(piece), idle_timeout_s)


async def written(writing: Awaitable[None], idle_timeout_s: float) -> None:
    """Wait for a write towards the visitor, but not for ever.

    Raises:
        VisitorLeft: it cannot be done.
    """
    try:
        async with asyncio.timeout(idle_timeout_s):
            await writing
    except (ConnectionError, TimeoutError) as fault:
        raise VisitorLeft from fault
