"""Read messages of HTTP/1.1 as they lie on the wire, for who has to tell two of them apart."""

import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum

Fields = list[tuple[bytes, bytes]]


class Step(Enum):
    """What a client does between two pieces that it sends."""

    AWAIT_CONTINUE = "read until something comes; go on only if it is 100 Continue"
    HALF_CLOSE = "say that nothing more will be sent"


class End(Enum):
    """How a connection ended for who was reading."""

    CLOSED = "closed"
    RESET = "reset"
    SILENT = "neither, within the time we had"


@dataclass(slots=True)
class Message:
    """A request or an answer, taken apart; `is_whole` says whether its framing was kept to the end."""

    first: bytes = b""
    fields: Fields = field(default_factory=list)
    body: bytes = b""
    trailers: Fields = field(default_factory=list)
    is_whole: bool = True
    is_chunked: bool = False
    rest: bytes = b""

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]


@dataclass(slots=True)
class Reply:
    """What a client got: what came before the answer, the answer, and how it ended."""

    interim: list[Message] = field(default_factory=list)
    answer: Message | None = None
    end: End = End.CLOSED

    @property
    def status(self) -> int:
        return _status(self.answer) if self.answer else 0


def talk(port: int, steps: Sequence[bytes | Step], *, silence_s: float) -> tuple[bytes, End]:
    """Say `steps` to a port; return all that came back, and how it ended."""
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.settimeout(silence_s)
        try:
            heard = _say(client, steps)
        except TimeoutError:
            return b"", End.SILENT
        while True:
            try:
                piece = client.recv(65_536)
            except ConnectionResetError:
                return heard, End.RESET
            except TimeoutError:
                return heard, End.SILENT
            if not piece:
                return heard, End.CLOSED
            heard += piece


def _say(client: socket.socket, steps: Sequence[bytes | Step]) -> bytes:
    """Go through `steps`; return what was heard on the way."""
    heard = b""
    with suppress(BrokenPipeError, ConnectionResetError):  # what was said before that may still be read
        for step in steps:
            if step is Step.HALF_CLOSE:
                client.shutdown(socket.SHUT_WR)
            elif step is Step.AWAIT_CONTINUE:
                heard += client.recv(65_536)
                if not heard.startswith(b"HTTP/1.1 100"):
                    return heard
            elif isinstance(step, bytes):
                client.sendall(step)
    return heard


def read_reply(raw: bytes, end: End, *, is_head: bool) -> Reply:
    """Take apart what came back."""
    reply = Reply(end=end)
    while raw.startswith(b"HTTP/") and b"\r\n\r\n" in raw:
        message = _head(raw)
        status = _status(message)
        if 100 <= status < 200 and status != 101:
            raw = message.rest
            message.rest = b""
            reply.interim.append(message)
            continue
        if is_head or status in {101, 204, 304}:
            reply.answer = message
        else:
            reply.answer = read_body(message, ends_with_connection=True, is_clean=end is End.CLOSED)
        break
    return reply


def read_request(raw: bytes) -> Message:
    """Take apart one request."""
    return read_body(_head(raw), ends_with_connection=False, is_clean=True)


def read_body(message: Message, *, ends_with_connection: bool, is_clean: bool) -> Message:
    """Take the body out of what follows the head of `message`."""
    raw, message.rest = message.rest, b""
    lengths = message.all(b"content-length")
    if b"chunked" in b"".join(message.all(b"transfer-encoding")).lower():
        _unchunk(message, raw)
    elif lengths:
        size = int(lengths[0])
        message.body, message.rest = raw[:size], raw[size:]
        message.is_whole = len(message.body) == size
    elif ends_with_connection:
        message.body, message.is_whole = raw, is_clean
    else:
        message.rest = raw
    return message


def _head(raw: bytes) -> Message:
    head, _, rest = raw.partition(b"\r\n\r\n")
    first, *lines = head.split(b"\r\n")
    return Message(first, _fields(lines), rest=rest)


def _status(message: Message) -> int:
    code = message.first.split(b" ")[1]
    return int(code) if code.isdigit() else 0


def _fields(lines: Sequence[bytes]) -> Fields:
    return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in lines)]


def _unchunk(message: Message, raw: bytes) -> None:
    message.is_chunked, message.is_whole = True, False
    while b"\r\n" in raw:
        told, _, raw = raw.partition(b"\r\n")
        size = int(told.split(b";")[0], 16)
        if size == 0:
            end = 0 if raw.startswith(b"\r\n") else raw.find(b"\r\n\r\n")
            if end < 0:
                return
            message.trailers = _fields(raw[:end].split(b"\r\n")) if end else []
            message.rest, message.is_whole = raw[end + (4 if end else 2) :], True
            return
        message.body += raw[:size]
        raw = raw[size + 2 :]
