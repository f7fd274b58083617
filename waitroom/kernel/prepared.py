"""Answers made ahead of time: the bytes, their compressed forms and their ETag are worked out once, not per visitor."""

import gzip
import re
import sys
from collections.abc import Mapping, Sequence
from email.utils import formatdate
from functools import lru_cache
from hashlib import blake2b

import brotli
from aiohttp import web
from multidict import CIMultiDict

from waitroom.kernel.answers import json_answer, json_body, problem
from waitroom.kernel.asking import Asking
from waitroom.kernel.errors import WaitroomError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_SMALL_BYTES = 200
"""Below this a compressed form saves nothing that a packet would notice."""
_LARGE_BYTES = 4096
"""Above this brotli's last step is worth its time: what is large is made once a minute, not with every tick."""
_MOST_READY = 64
"""How many readings of one answer are kept as bytes: browsers know a handful of ways to ask."""
_QVALUE = re.compile(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?")
"""RFC 9110 §12.4.2; a weight of any other shape counts as a refusal."""


class Prepared:
    """One answer, the same for everybody, never with a cookie."""

    def __init__(
        self,
        body: bytes,
        content_type: str,
        *,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        compress: bool = True,
    ) -> None:
        """Work out the ETag and the compressed forms of `body`."""
        self.body = body
        self.status = status
        self.etag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
        self._headers = CIMultiDict({"Content-Type": content_type, "Vary": "Accept-Encoding"})
        self._headers.update(headers or {})
        self._ready: dict[tuple[str, str, bool], tuple[int, bytes]] = {}
        self._encoded: dict[str, bytes] = {}
        if compress and len(body) > _SMALL_BYTES:
            self._encoded = {
                "br": brotli.compress(body, quality=11 if len(body) > _LARGE_BYTES else 9),
                "zstd": zstd.compress(body, 19),
                "gzip": gzip.compress(body, 9, mtime=0),
            }

    def answer(self, request: Asking) -> web.Response:
        """Return the form that `request` can read, or 304 when it has it already (RFC 9110 §13.1.2)."""
        headers = self._headers.copy()
        body, encoding = self.body, pick_encoding(request.headers.get("Accept-Encoding", ""), self._encoded)
        etag = self.etag
        if encoding:
            body = self._encoded[encoding]
            etag = f'{self.etag[:-1]}-{encoding}"'
        headers["ETag"] = etag
        if self.status == 200 and _has_it(request.headers.get("If-None-Match", ""), etag):
            del headers["Content-Type"]  # a 304 describes no body (RFC 9110 §15.4.5)
            return web.Response(status=304, headers=headers)
        if encoding:
            headers["Content-Encoding"] = encoding
        return web.Response(status=self.status, body=body, headers=headers)

    def on_the_wire(self, request: Asking, now_s: int, *, is_head: bool = False) -> bytes:
        """Return the same answer as bytes, put together once a second for all who ask alike; a HEAD gets no body."""
        accepted, held = request.headers.get("Accept-Encoding", ""), request.headers.get("If-None-Match", "")
        asked = (accepted, held, is_head)
        ready = self._ready.get(asked)
        if ready is None or ready[0] != now_s:
            if len(self._ready) >= _MOST_READY:
                self._ready.clear()
            ready = self._ready[asked] = now_s, on_the_wire(self.answer(request), now_s, is_head=is_head)
        return ready[1]

    def size_bytes(self, encoding: str) -> int:
        """Return how many bytes the body takes over the wire in `encoding` ("br", "gzip" or "identity")."""
        return len(self._encoded.get(encoding, self.body))


def on_the_wire(answer: web.Response, now_s: int | None, *, is_head: bool = False, is_last: bool = False) -> bytes:
    """Return a whole answer as the bytes that aiohttp would send for it over HTTP/1.1.

    `now_s` (seconds since 1970) becomes its Date; None for bytes that are kept for ever. The connection is kept, unless
    this `is_last` on it.
    """
    body = answer.body or b""
    assert isinstance(body, bytes), "an answer made ahead of time is whole"
    lines = _head_lines(answer)
    if answer.status not in {204, 304}:
        lines.append(f"Content-Length: {len(body)}")
    if now_s is not None:
        lines.append(f"Date: {_date(now_s)}")
    if is_last:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + (b"" if is_head else body)


def json_on_the_wire(
    data: object, now_s: int, *, status: int = 200, cookies: Sequence[str] = (), is_last: bool = False
) -> bytes:
    """Return the bytes of `json_answer`, what is always the same of them put together once; `cookies` go along."""
    ours = "".join([f"Set-Cookie: {cookie}\r\n" for cookie in cookies])
    return filled(f"{_json_head(status)}{ours}", json_body(data), now_s, is_last=is_last)


def filled(start: str, body: bytes, now_s: int, *, is_last: bool = False) -> bytes:
    """Return the bytes of an answer of which `start` is the beginning, as `start_of` made it."""
    end = "Connection: close\r\n\r\n" if is_last else "\r\n"
    return f"{start}Content-Length: {len(body)}\r\nDate: {_date(now_s)}\r\n{end}".encode() + body


def start_of(answer: web.Response) -> str:
    """Return what is the same in all answers like `answer`, whatever is in them."""
    return "".join([f"{line}\r\n" for line in _head_lines(answer)])


def problem_on_the_wire(fault: WaitroomError, now_s: int, *, is_last: bool = False) -> bytes:
    """Return the bytes of `problem`, which a flood of the same gets from memory."""
    if fault.extra:
        return on_the_wire(problem(fault), now_s, is_last=is_last)
    return _problem(fault.status, fault.kind, fault.public, fault.retry_after_s, now_s, is_last)


@lru_cache
def _problem(status: int, kind: str, public: str, retry_after_s: int | None, now_s: int, is_last: bool) -> bytes:
    fault = WaitroomError(kind, status=status, kind=kind, public=public, retry_after_s=retry_after_s)
    return on_the_wire(problem(fault), now_s, is_last=is_last)


@lru_cache
def _json_head(status: int) -> str:
    return start_of(json_answer(None, status=status))


def _head_lines(answer: web.Response) -> list[str]:
    return [f"HTTP/1.1 {answer.status} {answer.reason}", *(f"{n}: {v}" for n, v in answer.headers.items())]


@lru_cache(maxsize=4)
def _date(now_s: int) -> str:
    return formatdate(now_s, usegmt=True)


def pick_encoding(accepted: str, made: Mapping[str, bytes]) -> str | None:
    """Return the best encoding that was `made` and is `accepted` (RFC 9110 §12.5.3), or None for the plain form."""
    weights = dict(_weight(part) for part in accepted.lower().split(",") if part.strip())
    others = weights.get("*", 0.0)
    best = max(made, key=lambda name: weights.get(name, others), default=None)  # the first of equals
    if best is None or weights.get(best, others) <= 0 or weights.get(best, others) < weights.get("identity", 0.0):
        return None
    return best


def _weight(part: str) -> tuple[str, float]:
    name, _, parameters = part.strip().partition(";")
    _, _, weight = parameters.strip().partition("q=")
    return name.strip(), _number(weight.strip()) if weight else 1.0


def _number(weight: str) -> float:
    return float(weight) if _QVALUE.fullmatch(weight) else 0.0


def _has_it(if_none_match: str, etag: str) -> bool:
    held = [part.strip().removeprefix("W/") for part in if_none_match.split(",")]
    return etag in held or held == ["*"]
