"""Speak HTTP as an attacker does: bytes on a socket, with no client that tidies them up first."""

import asyncio
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from multidict import CIMultiDict

_NAMES_A_FAULT = re.compile(rb"Traceback|\b[A-Z][A-Za-z]+(?:Error|Exception|Warning)\b|site-packages|\.py\b")


@dataclass(frozen=True)
class Reply:
    """What came back, whole."""

    status: int
    headers: "CIMultiDict[str]"
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]

    @property
    def kind(self) -> str:
        """The slug of the problem, or nothing."""
        is_problem = self.content_type == "application/problem+json"
        return str(self.json()["type"]).removeprefix("urn:waitroom:problem:") if is_problem else ""


async def settle(rounds: int = 4) -> None:
    """Let what was sent arrive: both ends live in this loop."""
    for _ in range(rounds):
        await asyncio.sleep(0)


async def until_quiet(reader: asyncio.StreamReader, waits: Callable[[], int]) -> tuple[bytes, bool]:
    """Return what comes until the connection ends, or nobody is left who could say more; and which it was.

    `waits` says how much of our patience each moment of silence takes, of 100.
    """
    raw, quiet = b"", 0
    while quiet < 100:
        with suppress(TimeoutError):
            try:
                async with asyncio.timeout(0.002):
                    piece = await reader.read(65536)
            except ConnectionError:  # asyncio keeps what came before it to itself
                return raw + bytes(reader._buffer), True  # type: ignore[attr-defined]  # there is no other way
            if not piece:
                return raw, True
            raw, quiet = raw + piece, 0
            continue
        quiet += waits()
    return raw, False


def request(line: str, *headers: str | bytes, body: bytes | None = None, host: str = "shop.example") -> bytes:
    """Return a request whose connection ends after it; what is in `headers` is sent byte for byte."""
    given = [header if isinstance(header, bytes) else header.encode("latin-1") for header in headers]
    length = [] if body is None else [b"Content-Length: %d" % len(body)]
    head = [f"{line} HTTP/1.1".encode("latin-1"), f"Host: {host}".encode(), b"Connection: close", *length, *given]
    return b"\r\n".join([*head, b"", body or b""])


async def send(port: int, data: bytes, *, limit_s: float = 20) -> Reply:
    """Send `data` to a port of this machine and return the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        async with asyncio.timeout(limit_s):
            await writer.drain()
            return whole_reply(await reader.read(-1))
    finally:
        writer.close()


def faults_of(reply: Reply) -> list[str]:
    """Return what an answer of ours must never be or say, whatever was asked."""
    faults = []
    if reply.status == 500:
        faults.append("a 500")
    if found := _NAMES_A_FAULT.search(reply.body):
        faults.append(f"it tells of its inside: {found[0]!r}")
    if reply.status >= 400 and reply.content_type not in {"application/problem+json", "text/html"}:
        faults.append(f"a refusal as {reply.content_type!r}")
    if reply.status in {425, 429, 503} and not reply.headers.get("Retry-After", "").isdigit():
        faults.append("nobody says when to come back")
    if reply.content_type == "application/problem+json" and reply.body and reply.json()["status"] != reply.status:
        faults.append("two different statuses")
    return faults


def whole_reply(raw: bytes) -> Reply:
    """Return the answer that `raw` is."""
    assert raw, "hung up without a word"
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = CIMultiDict((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        body = _unchunked(body)
    return Reply(int(first.split()[1]), headers, body)


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        whole, body = whole + body[: int(size, 16)], body[int(size, 16) + 2 :]
    return whole
