"""Read the head of a plain request in few steps; whatever is not plain is left to a reader that knows everything.

Plain is a GET or HEAD of HTTP/1.1 without a body, in visible ASCII, whose headers all mean the same to everybody; or a
POST of that kind whose small body has come whole. What is not plain here is not therefore wrong: None says nothing but
"ask somebody else".
"""

import re
from collections.abc import Mapping

_LONGEST = 16_384
_MOST_LINES = 100
_REMEMBERED = 4096
_LONGEST_REMEMBERED = 512
"""A line that browsers repeat is read once; what is about one visitor is not remembered."""

_VISIBLE = bytes(range(0x20, 0x7F))
_LINE_ENDS = [b"\r\n" * count for count in range(_MOST_LINES)]
_METHODS = {b"GET": "GET", b"HEAD": "HEAD"}
_POST = {b"POST": "POST"}
ASKED = {**_METHODS, **_POST}
"""What may be asked in a plain way at all."""
_LENGTH = re.compile(r"[0-9]{1,4}")
MOST_BODY_BYTES = 4096
TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a header may be called (RFC 9110 §5.6.2)."""
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")

_READ = (
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Content-Encoding",
    "Content-Length",
    "Content-Type",
    "Cookie",
    "Host",
    "If-None-Match",
    "Origin",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Method",
    "X-Forwarded-Proto",
    "X-Forwarded-Uri",
    "X-Original-Method",
    "X-Original-Uri",
    *("Content-Location", "Content-Range", "Content-Type", "ETag", "Max-Forwards", "Server", "User-Agent"),
)
"""The last of them nobody reads here, but none of them may stand twice: aiohttp refuses a request where one does."""
_OF_ONE_VISITOR = frozenset({"Authorization", "Cookie", "If-None-Match", "X-Forwarded-For"})
_NOT_PLAIN = frozenset({b"expect", b"http2-settings", b"sec-websocket-key1", b"transfer-encoding", b"upgrade"})

_PLAIN, _ODD = ("", ""), ("odd", "")


class Named(dict[str, str]):
    """The headers that are read here, by their usual spelling; none of them stands twice."""

    def getall(self, name: str, default: list[str]) -> list[str]:
        """Return the values of `name`, or `default` where it does not stand."""
        return [self[name]] if name in self else default


class Fields:
    """The header lines of a plain request: as they came, and those that are read here.

    A connection's next request mostly brings the same, so whoever works something out of them may leave it here.
    """

    __slots__ = ("headers", "host", "lines", "onward", "passes", "text")

    def __init__(self, text: bytes, lines: list[bytes], headers: Named) -> None:
        """Hold what `plain_fields` found in `text`."""
        self.text = text
        self.lines = lines
        self.headers = headers
        self.host = headers["Host"]
        self.passes: dict[str, object] = {}
        self.onward: bytes | None = None


class Head:
    """A plain request."""

    __slots__ = ("fields", "headers", "line", "method", "target")

    def __init__(self, line: bytes, method: str, target: str, fields: Fields) -> None:
        """Hold the request `line` and what it says."""
        self.line = line
        self.method = method
        self.target = target
        self.fields = fields
        self.headers = fields.headers

    @property
    def size(self) -> int:
        """How many bytes it took."""
        return len(self.line) + len(self.fields.text) + 6

    @property
    def raw(self) -> bytes:
        """The bytes, as they came."""
        return b"%b\r\n%b\r\n\r\n" % (self.line, self.fields.text)


class Reading:
    """Which headers somebody reads; a line that was met before is known again by its bytes."""

    __slots__ = ("_names", "_of_one_visitor", "known")

    def __init__(self, *more: str) -> None:
        """Read what everybody does, and `more`, which is about one visitor."""
        self._names = {name.lower().encode(): name for name in (*_READ, *more)}
        self._of_one_visitor = _OF_ONE_VISITOR | {*more}
        self.known: dict[bytes, tuple[str, str]] = {}

    def learn(self, line: bytes) -> tuple[str, str]:
        """Return the name and value of a line that is read; `_PLAIN` for any other, `_ODD` for what is not."""
        raw, colon, rest = line.partition(b":")
        if not colon or not TOKEN.fullmatch(raw):
            return _ODD
        low, value = raw.lower(), rest.strip().decode("ascii")
        found = self._meaning(low, value)
        if found[0] not in self._of_one_visitor and len(line) <= _LONGEST_REMEMBERED:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            self.known[line] = found
        return found

    def _meaning(self, low: bytes, value: str) -> tuple[str, str]:
        name = self._names.get(low)
        if low in _NOT_PLAIN or (name is None and low.startswith(b"waitroom")):
            return _ODD
        if low == b"connection":
            return _PLAIN if value.lower() == "keep-alive" else _ODD
        if name is None:
            return _PLAIN
        is_odd = (name == "Host" and not _HOST.fullmatch(value)) or (
            name == "Authorization" and f"{value} "[:9].lower() == "waitroom "
        )
        return _ODD if is_odd else (name, value)


OF_THE_EDGE = Reading()


def plain_head(
    data: bytes,
    before: Fields | None = None,
    methods: Mapping[bytes, str] = _METHODS,
    reading: Reading = OF_THE_EDGE,
) -> Head | None:
    """Return the plain request at the beginning of `data`; None where it is not whole, or not plain.

    `before` are the fields of the request before on the same connection: where these are the same bytes, so are they.

    Source: RFC 9112 §3 and §5, read more strictly than they have to be.
    """
    end = data.find(b"\r\n\r\n", 0, _LONGEST)
    if end < 0:
        return None
    first = data.find(b"\r\n", 0, end)
    if first < 0:
        return None
    line, text = data[:first], data[first + 2 : end]
    method, _, rest = line.partition(b" ")
    target, _, version = rest.partition(b" ")
    if version != b"HTTP/1.1" or method not in methods or target[:1] != b"/":
        return None
    if line.translate(None, _VISIBLE) or b"#" in target:
        return None
    fields = before if before is not None and before.text == text else plain_fields(text, reading)
    if fields is None or ("Content-Length" in fields.headers and methods is _METHODS):
        return None
    return Head(line, methods[method], target.decode("ascii"), fields)


def plain_post(data: bytes, reading: Reading = OF_THE_EDGE) -> tuple[Head, bytes] | None:
    """Return the plain POST at the beginning of `data` and its body; None where they are not whole, or not plain."""
    head = plain_head(data, None, _POST, reading)
    if head is None:
        return None
    size = body_size(head)
    body = data[head.size : head.size + size]
    return (head, body) if len(body) == size <= MOST_BODY_BYTES else None


def body_size(head: Head) -> int:
    """Return how many bytes of body a head announces; more than `MOST_BODY_BYTES` where that is not plain."""
    length = head.headers.get("Content-Length", "0")
    return int(length) if _LENGTH.fullmatch(length) else MOST_BODY_BYTES + 1


def plain_lines(text: bytes) -> list[bytes] | None:
    """Return the lines of `text`; None where they are many, or hold anything but visible ASCII and blanks."""
    lines = text.split(b"\r\n")
    ends = len(lines) - 1
    return None if ends >= _MOST_LINES or text.translate(None, _VISIBLE) != _LINE_ENDS[ends] else lines


def plain_fields(text: bytes, reading: Reading = OF_THE_EDGE) -> Fields | None:
    """Return the header lines of `text`; None where they are not plain."""
    lines = plain_lines(text)
    if lines is None:
        return None
    headers = Named()
    known = reading.known.get
    for line in lines:
        name, value = known(line) or reading.learn(line)
        if name:
            if name == "odd" or name in headers:
                return None
            headers[name] = value
    return Fields(text, lines, headers) if "Host" in headers else None
