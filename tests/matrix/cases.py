"""The table: every request and answer that a proxy must get right, as bytes.

The rows are those of the research that the proxy was built from: one row, one way to get it wrong.
"""

import gzip
from dataclasses import dataclass
from enum import Enum

from tests.matrix.wire import Step

ANY = -1
"""The status is whatever the moment makes it: the answer may have begun."""
HOST = b"Host: shop.example"
CLOSE = b"Connection: close"
GZIPPED = gzip.compress(b"the same again, " * 64, mtime=0)


class Kind(Enum):
    """What is asked of a proxy."""

    PLAIN = "carry it as it is"
    ODD_REQUEST = "two servers could read it differently: as strict as the strictest"
    ODD_ANSWER = "two readers could take it differently: as strict as the strictest"


@dataclass(frozen=True, slots=True)
class Case:
    """One exchange: what the client says, what the origin answers, which status we give."""

    row: int
    name: str
    steps: tuple[bytes | Step, ...]
    answer: bytes
    status: int = 200
    kind: Kind = Kind.PLAIN
    target: bytes = b""
    """How the target arrives, where that is not as it was sent."""
    forged: bytes = b""
    """What must not reach the origin."""

    @property
    def sent(self) -> bytes:
        return b"".join(step for step in self.steps if isinstance(step, bytes))


def get(target: bytes = b"/", *headers: bytes, method: bytes = b"GET", version: bytes = b"HTTP/1.1") -> bytes:
    """Return a request without a body."""
    return b"\r\n".join([b"%s %s %s" % (method, target, version), HOST, CLOSE, *headers, b"", b""])


def post(body: bytes, *headers: bytes, method: bytes = b"POST") -> bytes:
    """Return a request with a body and the length of it."""
    return get(b"/", *headers, b"Content-Length: %d" % len(body), method=method) + body


def framed(*headers: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    """Return a POST whose headers say themselves how long it is."""
    return get(b"/", *headers, method=b"POST", version=version) + body


def answer(*headers: bytes, body: bytes = b"ok", first: bytes = b"200 OK") -> bytes:
    """Return an answer with a body and the length of it."""
    return bare(*headers, b"Content-Length: %d" % len(body), first=first) + body


def bare(*headers: bytes, first: bytes = b"200 OK") -> bytes:
    """Return the head of an answer."""
    return b"\r\n".join([b"HTTP/1.1 " + first, CLOSE, *headers, b"", b""])


def chunked(*pieces: bytes, trailers: bytes = b"") -> bytes:
    """Return a chunked body."""
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


CHUNKED = b"Transfer-Encoding: chunked"
OK = answer()


def carried(row: int, name: str, *steps: bytes | Step, gives: bytes = OK, status: int = 200) -> Case:
    """Return a case that is to be carried as it is."""
    return Case(row, name, steps, gives, status)


def odd(row: int, name: str, request: bytes, status: int = 400) -> Case:
    """Return a request with two readings."""
    return Case(row, name, (request,), OK, status, Kind.ODD_REQUEST)


def odd_answer(row: int, name: str, gives: bytes, status: int = 502) -> Case:
    """Return an answer with two readings."""
    return Case(row, name, (get(),), gives, status, Kind.ODD_ANSWER)


def forged(name: str, header: bytes, marker: bytes = b"6.6.6.6") -> Case:
    """Return a request that says what only a proxy may say."""
    return Case(25, f"forged {name}", (get(b"/", header),), OK, forged=marker)


def target(path: bytes, status: int = 200) -> Case:
    """Return a request for one target, to arrive byte for byte."""
    return Case(4, f"target {path[:40].decode('latin-1')}", (get(path),), OK, status)


COOKIES_AND_HEADERS = (
    carried(
        1, "three Set-Cookie", get(), gives=answer(b"Set-Cookie: a=1", b"X: y", b"set-cookie: b=2", b"Set-Cookie: c")
    ),
    carried(1, "two Cookie headers", get(b"/", b"Cookie: a=1", b"Cookie: b=2; c")),
    carried(
        2, "hop by hop, request", get(b"/", b"Keep-Alive: timeout=5", b"Proxy-Connection: x", b"TE: gzip", b"X: 1")
    ),
    carried(2, "hop by hop, answer", get(), gives=answer(b"Keep-Alive: timeout=5", b"Proxy-Connection: x", b"X: 1")),
    carried(2, "named by Connection, request", get(b"/", b"Connection: X-Named", b"X-Named: secret")),
    carried(2, "named by Connection, answer", get(), gives=answer(b"Connection: X-Named", b"X-Named: secret")),
    carried(2, "Connection names Content-Type", post(b"{}", b"Connection: Content-Type", b"Content-Type: text/json")),
    carried(2, "credentials for a proxy", get(b"/", b"Proxy-Authorization: Basic eDp5")),
    carried(3, "nothing added to a bare GET", get()),
    carried(3, "nothing added to a bare DELETE", get(method=b"DELETE")),
    carried(3, "nothing added to a bare POST", framed(b"Content-Length: 0")),
    carried(3, "nothing added to a POST", post(b"a=b")),
    carried(3, "own Accept and User-Agent", get(b"/", b"Accept: x/y", b"User-Agent: me", b"Accept-Encoding: zstd")),
    carried(3, "own Date and Server", get(), gives=answer(b"Date: then", b"Server: S/1", b"Content-Type: a/b")),
    carried(3, "same name twice, request", get(b"/", b"X-A: 1", b"X-B: 2", b"X-A: 3")),
    carried(3, "empty header, request", get(b"/", b"X-Empty:", b"X-Last: 1")),
    carried(3, "empty header, answer", get(), gives=answer(b"X-Empty:", b"X-Last: 1")),
    carried(3, "name with odd marks", get(b"/", b"X!#$%&'*+-.^_`|~9: 1")),
    carried(6, "bytes that are no UTF-8, request", get(b"/", b"X-L: caf\xe9", b"Cookie: n=\xe9t\xe9")),
    carried(6, "bytes that are no UTF-8, answer", get(), gives=answer(b"X-L: caf\xe9", b"Set-Cookie: n=\xe9")),
    carried(6, "UTF-8, both ways", get(b"/", b"X-L: \xc3\xa9"), gives=answer(b"X-L: \xc3\xa9")),
    carried(35, "header of 7,000 bytes", get(b"/", b"X-Long: " + b"a" * 7_000)),
    carried(35, "header of 9,000 bytes", get(b"/", b"X-Long: " + b"a" * 9_000)),
    carried(35, "header of 40,000 bytes", get(b"/", b"X-Long: " + b"a" * 40_000), status=431),
    carried(35, "header of 9,000 bytes, answer", get(), gives=answer(b"X-Long: " + b"a" * 9_000)),
)
TARGETS = (
    *map(
        target,
        (
            b"/x?",
            b"/?",
            b"/x??",
            b"/%3A%21%7E",
            b"/a/%2e%2e/b",
            b"/a/./b/../c",
            b"/%2f%2F",
            b"/%ZZ?q=%zz",
            b"//evil.example/x",
            b"/a;b=c/d",
            b"/a\\b",
            b'/a|b{c}^`"<>',
            b"/?q=a+b%20c&q=&=&&",
            b"/?a=b?c=d/e//f",
            b"/[x]?[y]=1",
            b"/%0a%0d%25",
            b"/%00",
            b"/caf%C3%A9%E9",
            b"/http://x/",
            b"/" + b"a" * 7_000,
        ),
    ),
    odd(5, "target of Latin-1 bytes", get(b"/caf\xe9")),
    odd(5, "target of UTF-8 bytes", get(b"/caf\xc3\xa9")),
    odd(4, "target with a fragment", get(b"/a#b")),
    Case(27, "absolute target", (get(b"http://shop.example/a%2fb?c"),), OK, target=b"/a%2fb?c"),
    Case(27, "absolute target, no path", (get(b"http://shop.example"),), OK, target=b"/"),
    Case(27, "absolute target, query only", (get(b"http://shop.example?x"),), OK, target=b"/?x"),
)
BODIES = (
    carried(7, "gzip, request", post(GZIPPED, b"Content-Encoding: gzip")),
    carried(
        7, "gzip, answer", get(b"/", b"Accept-Encoding: gzip"), gives=answer(b"Content-Encoding: gzip", body=GZIPPED)
    ),
    carried(7, "gzip unasked", get(), gives=answer(b"Content-Encoding: gzip", body=GZIPPED)),
    carried(8, "chunked, request", framed(CHUNKED, body=chunked(b"abc", b"de"))),
    carried(8, "chunked and empty, request", framed(CHUNKED, body=chunked())),
    carried(8, "chunk extension", framed(CHUNKED, body=b"3;a=b\r\nabc\r\n0\r\n\r\n")),
    carried(8, "length with zeros before", framed(b"Content-Length: 0003", body=b"abc")),
    carried(8, "length of an answer", get(), gives=answer(body=b"x" * 100_000)),
    carried(8, "chunked, answer", get(), gives=bare(CHUNKED) + chunked(b"abc", b"de")),
    carried(8, "length from the end, answer", get(), gives=bare() + b"abc"),
    carried(8, "body of a GET", get(b"/", b"Content-Length: 3") + b"abc"),
    carried(8, "body of a DELETE", post(b"abc", method=b"DELETE")),
    carried(9, "HEAD with a length", get(method=b"HEAD"), gives=bare(b"Content-Length: 5")),
    carried(9, "HEAD without a length", get(method=b"HEAD"), gives=bare()),
    carried(9, "HEAD of chunks", get(method=b"HEAD"), gives=bare(CHUNKED)),
    carried(9, "204", get(), gives=bare(first=b"204 No Content"), status=204),
    carried(9, "205", get(), gives=bare(b"Content-Length: 0", first=b"205 Reset Content"), status=205),
    carried(
        9, "304", get(b"/", b'If-None-Match: "x"'), gives=bare(b'ETag: "x"', first=b"304 Not Modified"), status=304
    ),
    carried(
        9,
        "304 with a length",
        get(),
        gives=bare(b"Content-Length: 5", b"ETag: x", first=b"304 Not Modified"),
        status=304,
    ),
    carried(
        9,
        "range",
        get(b"/", b"Range: bytes=1-2", b"If-Range: x"),
        gives=answer(b"Content-Range: bytes 1-2/9", b"Accept-Ranges: bytes", first=b"206 Partial Content"),
        status=206,
    ),
    carried(
        9,
        "range that cannot be met",
        get(b"/", b"Range: bytes=9-"),
        gives=answer(b"Content-Range: bytes */2", first=b"416 Range Not Satisfiable"),
        status=416,
    ),
    carried(10, "Expect", framed(b"Expect: 100-continue", b"Content-Length: 3"), Step.AWAIT_CONTINUE, b"abc"),
    carried(10, "Expect, body sent at once", framed(b"Expect: 100-continue", b"Content-Length: 3", body=b"abc")),
    odd(10, "Expect something else", framed(b"Expect: the-moon", b"Content-Length: 3", body=b"abc"), 417),
)
ANSWERS = (
    carried(11, "103", get(), gives=b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" + OK),
    carried(11, "102 twice", get(), gives=b"HTTP/1.1 102 Processing\r\n\r\n" * 2 + OK),
    carried(12, "trailers, request", framed(CHUNKED, b"Trailer: X-T", body=chunked(b"abc", trailers=b"X-T: 1\r\n"))),
    carried(
        12,
        "trailers, answer",
        get(b"/", b"TE: trailers"),
        gives=bare(CHUNKED, b"Trailer: X-T") + chunked(b"abc", trailers=b"X-T: 1\r\n"),
    ),
    carried(13, "299 with a reason", get(), gives=answer(first=b"299 Very  Odd"), status=299),
    carried(13, "599", get(), gives=answer(first=b"599 Beyond"), status=599),
    carried(13, "999", get(), gives=answer(first=b"999 Beyond"), status=999),
    carried(13, "no reason", get(), gives=answer(first=b"200 ")),
    carried(13, "reason of Latin-1 bytes", get(), gives=answer(first=b"404 caf\xe9"), status=404),
    carried(13, "500 of the store", get(), gives=answer(body=b"oh", first=b"500 No"), status=500),
    carried(23, "cut before its length", get(), gives=bare(b"Content-Length: 10") + b"abc"),
    carried(23, "cut between two chunks", get(), gives=bare(CHUNKED) + b"3\r\nabc\r\n"),
    carried(23, "cut in a chunk", get(), gives=bare(CHUNKED) + b"ff\r\nabc"),
    carried(23, "cut before the last line", get(), gives=bare(CHUNKED) + b"3\r\nabc\r\n0\r\n"),
    carried(41, "redirect", get(), gives=answer(b"Location: http://127.0.0.1:1/x", first=b"302 Found"), status=302),
)
CLIENTS = (
    carried(17, "half closed after a GET", get(), Step.HALF_CLOSE),
    carried(17, "half closed after a POST", post(b"abc"), Step.HALF_CLOSE),
    carried(17, "half closed after chunks", framed(CHUNKED, body=chunked(b"abc")), Step.HALF_CLOSE),
    Case(
        17,
        "half closed in a body",
        (framed(b"Content-Length: 9", body=b"abc"), Step.HALF_CLOSE),
        OK,
        ANY,
        Kind.ODD_REQUEST,
    ),
    carried(
        19, "upgrade to h2c", get(b"/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA")
    ),
    carried(19, "upgrade to nothing known", get(b"/", b"Connection: Upgrade", b"Upgrade: tls/9")),
    carried(19, "half a websocket handshake", get(b"/", b"Connection: Upgrade", b"Upgrade: websocket")),
    carried(28, "PURGE", get(method=b"PURGE")),
    carried(28, "PROPFIND", get(method=b"PROPFIND")),
    carried(28, "QUERY", get(method=b"QUERY")),
    carried(28, "OPTIONS", get(method=b"OPTIONS")),
    carried(28, "unknown method", get(method=b"BREW"), status=400),
    carried(40, "HTTP/1.0", get(version=b"HTTP/1.0")),
    carried(40, "HTTP/1.0, chunked answer", get(version=b"HTTP/1.0"), gives=bare(CHUNKED) + chunked(b"abc")),
    forged("X-Forwarded-For", b"X-Forwarded-For: 6.6.6.6"),
    forged("X-Forwarded-Host", b"X-Forwarded-Host: 6.6.6.6"),
    forged("X-Forwarded-Proto", b"X-Forwarded-Proto: 6.6.6.6"),
    forged("X-Forwarded-Prefix", b"X-Forwarded-Prefix: 6.6.6.6"),
    forged("X_Forwarded_For", b"X_Forwarded_For: 6.6.6.6"),
    forged("X-Real-IP", b"X-Real-IP: 6.6.6.6"),
    forged("Forwarded", b"Forwarded: for=6.6.6.6"),
    forged("X-Original-URL", b"X-Original-URL: /6.6.6.6"),
    forged("Proxy", b"Proxy: http://6.6.6.6/"),
)
ODD_REQUESTS = (
    odd(20, "CL and TE", framed(b"Content-Length: 5", CHUNKED, body=b"0\r\n\r\n")),
    odd(20, "TE and CL", framed(CHUNKED, b"Content-Length: 5", body=b"0\r\n\r\n")),
    odd(20, "TE twice", framed(CHUNKED, CHUNKED, body=chunked())),
    odd(20, "TE chunked, then identity", framed(CHUNKED, b"Transfer-Encoding: identity", body=chunked())),
    odd(20, "TE gzip, chunked", framed(b"Transfer-Encoding: gzip, chunked", body=chunked()), 501),
    odd(20, "TE chunked, chunked", framed(b"Transfer-Encoding: chunked, chunked", body=chunked())),
    odd(20, "TE identity", framed(b"Transfer-Encoding: identity", body=b"abc")),
    odd(20, "TE xchunked", framed(b"Transfer-Encoding: xchunked", body=chunked())),
    odd(20, "TE after a vertical tab", framed(b"Transfer-Encoding:\x0bchunked", body=chunked())),
    odd(20, "TE, blank before the colon", framed(b"Transfer-Encoding : chunked", body=chunked())),
    odd(20, "TE on HTTP/1.0", framed(CHUNKED, body=chunked(), version=b"HTTP/1.0")),
    odd(20, "CL twice, alike", framed(b"Content-Length: 2", b"Content-Length: 2", body=b"ab")),
    odd(20, "CL twice, different", framed(b"Content-Length: 2", b"Content-Length: 3", body=b"abc")),
    odd(20, "CL list", framed(b"Content-Length: 2, 2", body=b"ab")),
    odd(20, "CL +2", framed(b"Content-Length: +2", body=b"ab")),
    odd(20, "CL -2", framed(b"Content-Length: -2", body=b"ab")),
    odd(20, "CL 0x2", framed(b"Content-Length: 0x2", body=b"ab")),
    odd(20, "CL 0_2", framed(b"Content-Length: 0_2", body=b"ab")),
    odd(20, "CL empty", framed(b"Content-Length:", body=b"")),
    odd(20, "CL, blank before the colon", framed(b"Content-Length : 2", body=b"ab")),
    odd(20, "CL beyond 64 bits", framed(b"Content-Length: 99999999999999999999", body=b"ab")),
    odd(20, "folded header", get(b"/", b"X: a\r\n b")),
    odd(20, "NUL in a header", get(b"/", b"X: a\x00b")),
    odd(20, "control character in a header", get(b"/", b"X: a\x01b")),
    odd(20, "bare CR in a header", get(b"/", b"X: a\rb")),
    odd(20, "bare LF after a header", get(b"/", b"X: a\nY: b")),
    odd(20, "bare LF everywhere", get().replace(b"\r\n", b"\n")),
    odd(20, "blank before the first header", get().replace(b"\r\nHost", b"\r\n Host")),
    odd(20, "header without a colon", get(b"/", b"nothing")),
    odd(20, "header without a name", get(b"/", b": x")),
    odd(20, "blank in a name", get(b"/", b"X Y: x")),
    odd(20, "chunk size 0x3", framed(CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n")),
    odd(20, "chunk size +3", framed(CHUNKED, body=b"+3\r\nabc\r\n0\r\n\r\n")),
    odd(20, "chunk size -3", framed(CHUNKED, body=b"-3\r\nabc\r\n0\r\n\r\n")),
    odd(20, "chunk size 3_3", framed(CHUNKED, body=b"3_3\r\nabc\r\n0\r\n\r\n")),
    odd(20, "chunk size beyond 64 bits", framed(CHUNKED, body=b"fffffffffffffffff\r\nabc\r\n0\r\n\r\n")),
    odd(20, "chunk size ends with a bare LF", framed(CHUNKED, body=b"3\nabc\r\n0\r\n\r\n")),
    odd(20, "bare LF in a chunk extension", framed(CHUNKED, body=b"3;a\nb\r\nabc\r\n0\r\n\r\n")),
    odd(20, "chunk longer than its size", framed(CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n")),
    odd(20, "two blanks in the first line", get().replace(b"GET / ", b"GET  / "), 200),
    odd(20, "tab in the first line", get().replace(b"GET / ", b"GET\t/ ")),
    odd(20, "blank in the target", get(b"/a b")),
    odd(20, "empty line before the first", b"\r\n" + get(), 200),
    odd(20, "HTTP/2.0", get(version=b"HTTP/2.0"), 505),
    odd(20, "HTTP/1.2", get(version=b"HTTP/1.2")),
    odd(20, "HTTP/3.7", get(version=b"HTTP/3.7")),
    odd(20, "http/1.1 in small letters", get(version=b"http/1.1")),
    odd(20, "HTTP/0.9", b"GET /\r\n\r\n", 505),
    odd(27, "no Host", get().replace(HOST + b"\r\n", b"")),
    odd(27, "no Host in HTTP/1.0", get(version=b"HTTP/1.0").replace(HOST + b"\r\n", b"")),
    odd(27, "empty Host", get().replace(HOST, b"Host:")),
    odd(27, "two Hosts", get(b"/", HOST)),
    odd(27, "two different Hosts", get(b"/", b"Host: other.example")),
    odd(27, "blank in the Host", get().replace(HOST, b"Host: a b")),
    odd(27, "slash in the Host", get().replace(HOST, b"Host: shop.example/x")),
    odd(27, "user in the Host", get().replace(HOST, b"Host: user@shop.example")),
    odd(27, "comma in the Host", get().replace(HOST, b"Host: shop.example,other.example")),
    odd(27, "no number as the port of the Host", get().replace(HOST, b"Host: shop.example:x")),
    odd(27, "absolute target for another host", get(b"http://other.example/")),
    odd(27, "absolute target with a user", get(b"http://user@shop.example/")),
    odd(27, "absolute target of another scheme", get(b"ftp://shop.example/")),
    odd(28, "OPTIONS *", get(b"*", method=b"OPTIONS")),
    odd(28, "GET *", get(b"*")),
    odd(28, "target without a slash", get(b"x")),
    odd(28, "method in small letters", get(method=b"get")),
    odd(28, "TRACE", get(method=b"TRACE"), 405),
    odd(28, "CONNECT", get(b"shop.example:443", method=b"CONNECT"), 405),
)
ODD_ANSWERS = (
    odd_answer(22, "answer with CL and TE", bare(b"Content-Length: 2", CHUNKED) + chunked()),
    odd_answer(22, "answer with two equal CL", bare(b"Content-Length: 2", b"Content-Length: 2") + b"ok"),
    odd_answer(22, "answer with two different CL", bare(b"Content-Length: 2", b"Content-Length: 3") + b"oki"),
    odd_answer(22, "answer with CL -2", bare(b"Content-Length: -2") + b"ok"),
    odd_answer(22, "answer with TE gzip, chunked", bare(b"Transfer-Encoding: gzip, chunked") + chunked()),
    odd_answer(22, "answer with TE gzip", bare(b"Transfer-Encoding: gzip") + b"xx"),
    odd_answer(22, "answer with a folded header", answer(b"X: a\r\n b"), 200),
    odd_answer(22, "answer with NUL in a header", answer(b"X: a\x00b")),
    odd_answer(22, "answer with a bare CR in a header", answer(b"X: a\rb")),
    odd_answer(22, "answer with a blank before a colon", answer(b"X : a")),
    odd_answer(22, "answer with a blank after the name of its length", bare(b"Content-Length : 2") + b"ok"),
    odd_answer(22, "answer with a line that is no header", answer(b"nothing")),
    odd_answer(22, "answer with a bad chunk size", bare(CHUNKED) + b"zz\r\nabc\r\n0\r\n\r\n", ANY),
    odd_answer(22, "answer that switches unasked", bare(b"Upgrade: websocket", first=b"101 Switching Protocols")),
    odd_answer(22, "answer that is not HTTP", b"SSH-2.0-OpenSSH\r\n\r\n"),
    odd_answer(22, "answer of HTTP/2.0", OK.replace(b"HTTP/1.1", b"HTTP/2.0"), 200),
    odd_answer(22, "status of letters", answer(first=b"abc OK")),
    odd_answer(22, "status of two digits", answer(first=b"20 OK")),
    odd_answer(22, "nothing at all", b""),
    odd_answer(22, "half a head", b"HTTP/1.1 200 OK\r\nContent-Len"),
)
CASES = (*COOKIES_AND_HEADERS, *TARGETS, *BODIES, *ANSWERS, *CLIENTS, *ODD_REQUESTS, *ODD_ANSWERS)
