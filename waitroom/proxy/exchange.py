"""One request and its answer on one connection, as bytes: nothing is added, followed, or remembered of a visitor."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import aiohttp
from aiohttp import StreamReader
from aiohttp.http import RawResponseMessage, StreamWriter
from multidict import CIMultiDictProxy

from waitroom.kernel.errors import WaitroomError
from waitroom.proxy.pool import Connection
from waitroom.proxy.uploads import Upload

HEAD_LINE_BYTES = 65_536
"""The longest header line of an answer: stores pile up cookies and policies."""
HEAD_LINES = 512
BUFFER_BYTES = 32_768
"""What of an answer waits in memory for its visitor, about."""
_MOST_INTERIM = 16

RawHeaders = Sequence[tuple[bytes, bytes]]
OnInterim = Callable[[int, str, RawHeaders], None]
"""Told of what comes before the answer, such as 103: status, reason, headers."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request as it goes to the upstream, byte for byte; a body without Content-Length goes in chunks."""

    method: str
    target: str
    headers: RawHeaders
    body: Upload | bytes | None = None
    is_upgrade: bool = False
    on_interim: OnInterim | None = None

    @property
    def may_change(self) -> bool:
        """Whether it may change something at the upstream, so that it must never be sent twice."""
        return self.method not in {"GET", "HEAD", "OPTIONS"} or self.body is not None or self.is_upgrade


class Answer:
    """What came back: the head, and the body while it comes."""

    def __init__(
        self,
        message: RawResponseMessage,
        content: StreamReader,
        connection: Connection,
        sending: "asyncio.Task[None] | None",
    ) -> None:
        """Hold the head; `sending` may still be carrying the request's body."""
        self.status: int = message.code
        self.reason: str = message.reason
        self.headers: CIMultiDictProxy[str] = message.headers
        self.raw_headers: RawHeaders = message.raw_headers
        self.content = content
        self.connection = connection
        self._sending = sending
        self._is_returned = False

    @property
    def is_event_stream(self) -> bool:
        """Whether it lasts."""
        return self.headers.get("Content-Type", "").lower().startswith("text/event-stream")

    @property
    def is_over(self) -> bool:
        """Whether it is here whole, so that the connection may serve somebody else by now."""
        return self._is_returned

    def return_when_over(self, give_back: Callable[[Connection], None]) -> None:
        """Give the connection back as soon as both bodies are through, however slow the visitor reads."""
        if self.status != 101:
            self.content.on_eof(lambda: self._return(give_back))

    def end(self) -> None:
        """Be done with it: what is not through by now goes no further."""
        if self._sending is not None:
            self._sending.cancel()
        if not self._is_returned:
            self.connection.close()

    def _return(self, give_back: Callable[[Connection], None]) -> None:
        if self._sending is None or self._sending.done():
            self._is_returned = True
            give_back(self.connection)


async def begin(connection: Connection, ask: Ask, *, silence_s: float) -> Answer:
    """Send `ask` and return its answer as soon as that has begun.

    Raises:
        aiohttp.ClientError, aiohttp.http.HttpProcessingError, OSError: the upstream is gone, or says no HTTP.
        TimeoutError: it was silent for `silence_s`.
    """
    connection.set_response_params(
        skip_payload=ask.method == "HEAD",
        read_until_eof=True,
        auto_decompress=False,
        read_timeout=silence_s,
        read_bufsize=BUFFER_BYTES,
        max_line_size=HEAD_LINE_BYTES,
        max_field_size=HEAD_LINE_BYTES,
        max_headers=HEAD_LINES,
    )
    sending = _send(connection, ask)
    try:
        return Answer(*await _final(connection, ask), connection, sending)
    except BaseException:
        if sending is not None:
            sending.cancel()
        connection.abort()
        raise


async def _final(connection: Connection, ask: Ask) -> tuple[RawResponseMessage, StreamReader]:
    """Return the answer itself, having told what came before it."""
    for _ in range(_MOST_INTERIM):
        message, content = await connection.read()
        if message.code >= 200 or message.code == 101:
            return message, content
        if ask.on_interim is not None:
            ask.on_interim(message.code, message.reason, message.raw_headers)
    raise aiohttp.ClientPayloadError("no end of interim answers")


def _send(connection: Connection, ask: Ask) -> "asyncio.Task[None] | None":
    """Send the head with what body is there; return the task that carries the rest."""
    transport = connection.transport
    if transport is None:
        raise aiohttp.ServerDisconnectedError
    if not isinstance(ask.body, Upload):
        transport.write(_head(ask, is_chunked=False) + (ask.body or b""))
        connection.start_timeout()
        return None
    writer = StreamWriter(connection, asyncio.get_running_loop())
    is_chunked = not any(name == b"Content-Length" for name, _ in ask.headers)
    if is_chunked:
        writer.enable_chunking()
    writer._headers_buf = _head(ask, is_chunked=is_chunked)  # goes with the first piece
    return asyncio.get_running_loop().create_task(_carry(connection, ask.body, writer), name="upload")


async def _carry(connection: Connection, body: Upload, writer: StreamWriter) -> None:
    """Carry a body piece by piece; what goes wrong with it ends the exchange (see `Upload.fault`)."""
    is_sent = False
    try:
        with suppress(WaitroomError, aiohttp.ClientError, OSError):
            async for piece in body:
                await writer.write(piece)
            await writer.write_eof()
            is_sent = True
    finally:
        if is_sent:
            connection.start_timeout()
        else:
            connection.set_exception(aiohttp.ClientConnectionError("the body could not be sent"))


def _head(ask: Ask, *, is_chunked: bool) -> bytes:
    lines = [f"{ask.method} {ask.target} HTTP/1.1".encode("ascii")]
    lines += [name + b": " + value for name, value in ask.headers]
    if is_chunked:
        lines.append(b"Transfer-Encoding: chunked")
    return b"\r\n".join([*lines, b"", b""])
