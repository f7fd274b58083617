"""Read the head of a plain request in one pass; whatever is not plain is left to a reader that knows everything.

Plain is a GET or HEAD of HTTP/1.1 without a body, in visible ASCII, whose headers all mean the same to everybody. What
is not plain here is not therefore wrong: None says nothing but "ask somebody else".
"""

import re

_LONGEST = 16_384
_MOST_LINES = 100
_REMEMBERED = 4096
_LONGEST_REMEMBERED = 512
"""A line that browsers repeat is read once; what is about one visitor is not remembered."""

_VISIBLE = bytes(range(0x20, 0x7F))
_LINE_ENDS = [b"\r\n" * count for count in range(_MOST_LINES + 1)]
_METHODS = {b"GET": "GET", b"HEAD": "HEAD"}
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

_READ = {
    name.lower().encode(): name
    for name in (
        "Accept",
        "Accept-Encoding",
        "Authorization",
        "Cookie",
        "Host",
        "If-None-Match",
        "Sec-Fetch-Mode",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Method",
        "X-Forwarded-Proto",
        "X-Forwarded-Uri",
        "X-Original-Method",
        "X-Original-Uri",
    )
}
_OF_ONE_VISITOR = frozenset({"Authorization", "Cookie", "If-None-Match", "X-Forwarded-For"})
_NOT_PLAIN = frozenset({b"content-length", b"expect", b"http2-settings", b"transfer-encoding", b"upgrade"})

_PLAIN, _ODD = ("", ""), ("odd", "")
_known: dict[bytes, tuple[str, str]] = {}


class Named(dict[str, str]):
    """The headers that are read here, by their usual spelling; none of them stands twice."""

    def getall(self, name: str, default: list[str]) -> list[str]:
        """Return the values of `name`, or `default` where it does not stand."""
        return [self[name]] if name in self else default


class Head:
    """A plain request: its method, target and Host, its header lines as they came, and those that are read here."""

    __slots__ = ("headers", "host", "lines", "method", "target", "text")

    def __init__(self, method: str, target: str, text: bytes, lines: list[bytes], headers: Named) -> None:
        """Hold what `plain_head` found in `text`, which lacks the empty line at its end."""
        self.method = method
        self.target = target
        self.text = text
        self.lines = lines
        self.headers = headers
        self.host = headers["Host"]

    @property
    def size(self) -> int:
        """How many bytes it took."""
        return len(self.text) + 4

    @property
    def raw(self) -> bytes:
        """The bytes, as they came."""
        return self.text + b"\r\n\r\n"


def plain_head(data: bytes) -> Head | None:
    """Return the plain request at the beginning of `data`; None where it is not whole, or not plain.

    Source: RFC 9112 §3 and §5, read more strictly than they have to be.
    """
    end = data.find(b"\r\n\r\n", 0, _LONGEST)
    if end < 0:
        return None
    text = data[:end]
    lines = text.split(b"\r\n")
    count = len(lines) - 1
    if count > _MOST_LINES or text.translate(None, _VISIBLE) != _LINE_ENDS[count]:
        return None
    method, _, rest = lines[0].partition(b" ")
    target, _, version = rest.partition(b" ")
    if version != b"HTTP/1.1" or method not in _METHODS or target[:1] != b"/" or b"#" in target:
        return None
    headers = Named()
    known = _known.get
    del lines[0]
    for line in lines:
        name, value = known(line) or _learn(line)
        if name:
            if name == "odd" or name in headers:
                return None
            headers[name] = value
    if "Host" not in headers:
        return None
    return Head(_METHODS[method], target.decode("ascii"), text, lines, headers)


def _learn(line: bytes) -> tuple[str, str]:
    """Return the name and value of a header line that is read here; `_PLAIN` for any other, `_ODD` for what is not."""
    raw, colon, rest = line.partition(b":")
    if not colon or not _TOKEN.fullmatch(raw):
        return _ODD
    low, value = raw.lower(), rest.strip().decode("ascii")
    found = _meaning(low, value)
    if found[0] not in _OF_ONE_VISITOR and len(line) <= _LONGEST_REMEMBERED:
        if len(_known) >= _REMEMBERED:
            _known.clear()
        _known[line] = found
    return found


def _meaning(low: bytes, value: str) -> tuple[str, str]:
    if low in _NOT_PLAIN or low.startswith(b"waitroom"):
        return _ODD
    if low == b"connection":
        return _PLAIN if value.lower() == "keep-alive" else _ODD
    name = _READ.get(low)
    if name is None:
        return _PLAIN
    is_odd = (name == "Host" and not _HOST.fullmatch(value)) or (
        name == "Authorization" and f"{value} "[:9].lower() == "waitroom "
    )
    return _ODD if is_odd else (name, value)
