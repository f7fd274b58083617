"""Read the head of a plain answer in few steps; whatever is not plain is left to llhttp.

Plain is an answer in HTTP/1.1 whose head came whole, in visible ASCII, with one Content-Length or without a body, and
without anything meant for us. What becomes of its headers is what `proxy/headers.py` says of each.
"""

import re

from waitroom.proxy.headers import client_headers
from waitroom.rules.heads import TOKEN, plain_lines

_LONGEST = 16_384
_REMEMBERED, _LONGEST_REMEMBERED = 4096, 512
_MOST_KEEP_ALIVES = 64
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9]{2}) ([ -~]*)")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_WITHOUT_BODY = frozenset({204, 304})
_NOT_PLAIN = frozenset({b"transfer-encoding", b"upgrade"})

_known_lines: dict[bytes, bytes | int | None] = {}
_keep_alives: set[bytes] = set()
"""The lines seen that say how long a connection may rest: an upstream has one."""
_known_statuses: dict[bytes, tuple[int, bytes]] = {}


class PlainAnswer:
    """What a plain head says; `block` are the header lines that go to the visitor, each with its end."""

    __slots__ = ("block", "keep_alive", "length", "lines", "reason", "size", "status")

    def __init__(
        self, status: tuple[int, bytes], lines: list[bytes], block: bytes, length: int | None, size: int
    ) -> None:
        """Hold what `plain_answer` found; `length` is None where the head tells none, and there is no body."""
        self.status, self.reason = status
        self.lines = lines
        self.block = block
        self.length = length
        self.size = size
        self.keep_alive = (
            "" if _keep_alives.isdisjoint(lines) else next(filter(_keep_alives.__contains__, lines)).decode()
        )

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        """The headers as they came."""
        return [(name, value.strip()) for name, _, value in (line.partition(b":") for line in self.lines)]


def plain_answer(data: bytes) -> PlainAnswer | None:
    """Return the plain answer at the beginning of `data`; None where its head is not whole, or not plain."""
    end = data.find(b"\r\n\r\n", 0, _LONGEST)
    if end < 0:
        return None
    lines = plain_lines(data[:end])
    if lines is None:
        return None
    status = _known_statuses.get(lines[0]) or _learn_status(lines[0])
    del lines[0]
    kept = [_known_lines[line] if line in _known_lines else _learn(line) for line in lines]
    lengths = [found for found in kept if isinstance(found, int)]
    if status is None or None in kept or len(lengths) != (status[0] not in _WITHOUT_BODY or bool(lengths)):
        return None
    block = b"".join([found for found in kept if isinstance(found, bytes)])
    return PlainAnswer(status, lines, block, lengths[0] if lengths else None, end + 4)


def _learn(line: bytes) -> bytes | int | None:
    """Return what goes to the visitor of a header line, b"" for nothing; a length as a number; None for what is odd."""
    name, colon, rest = line.partition(b":")
    low, value = name.lower(), rest.strip()
    found: bytes | int | None
    if not colon or not TOKEN.fullmatch(name) or _is_odd(low, value):
        found = None
    elif low == b"content-length":
        found = int(value) if _LENGTH.fullmatch(value) else None
    else:
        kept = client_headers([(name, value)]).headers
        found = b"%b: %b\r\n" % kept[0] if kept else b""
    if low == b"keep-alive" and found is not None:
        if len(_keep_alives) >= _MOST_KEEP_ALIVES:
            return None
        _keep_alives.add(line)
    if low != b"set-cookie" and len(line) <= _LONGEST_REMEMBERED:
        if len(_known_lines) >= _REMEMBERED:
            _known_lines.clear()
        _known_lines[line] = found
    return found


def _is_odd(low: bytes, value: bytes) -> bool:
    if low == b"connection":
        return value.lower() != b"keep-alive"
    if low == b"content-type":
        return value.lower().startswith(b"text/event-stream")
    return low in _NOT_PLAIN or low.startswith(b"waitroom-")


def _learn_status(line: bytes) -> tuple[int, bytes] | None:
    found = _STATUS.fullmatch(line)
    if found is None:
        return None
    status = int(found[1]), found[2]
    if len(_known_statuses) < _REMEMBERED and len(line) <= _LONGEST_REMEMBERED:
        _known_statuses[line] = status
    return status
