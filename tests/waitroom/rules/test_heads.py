"""Which heads are plain, what is read of them, and everything that is left to a reader that knows more."""

import pytest

from waitroom.rules import heads
from waitroom.rules.heads import Fields, Head, plain_fields, plain_head

HOST = b"Host: shop.example"


def asked(*lines: bytes, first: bytes = b"GET /a?b=c HTTP/1.1", host: bytes = HOST) -> bytes:
    """Return a whole head of these lines."""
    return b"\r\n".join([first, *([host] if host else []), *lines, b"", b""])


def read(data: bytes) -> Head:
    found = plain_head(data)
    assert found is not None
    return found


def test_a_plain_request_is_read_as_it_is_written() -> None:
    head = read(asked(b"accept:  text/html ", b"X-Other: 1", b"COOKIE: a=1; b"))

    assert (head.method, head.target) == ("GET", "/a?b=c")
    assert head.fields.host == "shop.example"
    assert head.headers == {"Host": "shop.example", "Accept": "text/html", "Cookie": "a=1; b"}
    assert head.fields.lines == [HOST, b"accept:  text/html ", b"X-Other: 1", b"COOKIE: a=1; b"]


def test_values_are_found_as_in_a_whole_request() -> None:
    headers = read(asked(b"cookie: a=1")).headers

    assert headers.getall("Cookie", []) == ["a=1"]
    assert headers.getall("Accept", ["x"]) == ["x"]
    assert "Cookie" in headers
    assert headers.get("Accept", "") == ""


@pytest.mark.parametrize(
    "line",
    [
        b"Accept: */*",
        b"Connection: keep-alive",
        b"connection:Keep-Alive",
        b"X-Empty:",
        b"X!#$%&'*+-.^_`|~9: 1",
        b'X: a:b, c;d="e"',
        b"TE: trailers",
        b"Keep-Alive: timeout=5",
        b"Proxy-Connection: keep-alive",
        b"Authorization: Basic eDp5",
        b"Authorization: Waitroomy x",
        b"X-Long: " + b"a" * 15_000,
    ],
)
@pytest.mark.parametrize("first", [b"GET / HTTP/1.1", b"HEAD /x HTTP/1.1", b'GET /a|b{c}^`"<>\\[;%zz HTTP/1.1'])
def test_what_everybody_reads_alike_is_plain(first: bytes, line: bytes) -> None:
    assert plain_head(asked(line, first=first)) is not None


@pytest.mark.parametrize(
    "first",
    [
        b"POST / HTTP/1.1",
        b"get / HTTP/1.1",
        b"PURGE / HTTP/1.1",
        b"OPTIONS * HTTP/1.1",
        b"CONNECT shop.example:443 HTTP/1.1",
        b"GET / HTTP/1.0",
        b"GET / HTTP/1.2",
        b"GET / HTTP/2.0",
        b"GET / http/1.1",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET\t/ HTTP/1.1",
        b"GET /a b HTTP/1.1",
        b"GET /a\tb HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET /a\x00 HTTP/1.1",
        b"GET /a\x7f HTTP/1.1",
        b"GET /caf\xe9 HTTP/1.1",
        b"GET /a\nX: b HTTP/1.1",
        b"GET /a\rb HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET x HTTP/1.1",
        b"GET http://shop.example/ HTTP/1.1",
        b"GET ?x HTTP/1.1",
        b"",
        b"\r\nGET / HTTP/1.1",
    ],
)
def test_any_other_first_line_is_for_somebody_else(first: bytes) -> None:
    assert plain_head(asked(first=first)) is None


@pytest.mark.parametrize(
    "line",
    [
        # a body, or what might be one
        b"Content-Length: 0",
        b"content-length:5",
        b"Transfer-Encoding: chunked",
        b"TRANSFER-ENCODING: gzip, chunked",
        b"Transfer-Encoding:\x0bchunked",
        b"Transfer-Encoding : chunked",
        # more than an answer
        b"Expect: 100-continue",
        b"Upgrade: websocket",
        b"Upgrade: h2c",
        b"HTTP2-Settings: AA",
        b"Sec-WebSocket-Key1: x",
        b"Connection: close",
        b"Connection: Upgrade",
        b"Connection: keep-alive, X-Named",
        b"Connection: cookie",
        b"Connection:",
        # two readings
        b"X: a\x00b",
        b"X: a\x01b",
        b"X: a\tb",
        b"X:\ta",
        b"X: a\x7fb",
        b"X: caf\xe9",
        b"X: \xc3\xa9",
        b"X: a\rb",
        b"X: a\nY: b",
        b"X: a\r\n b",
        b"X: a\r\n\tb",
        b" X: a",
        b"X : a",
        b"X\t: a",
        b"X Y: a",
        b": a",
        b"nothing",
        b"X\xe9: a",
        b"X(: a",
        # what stands once
        HOST,
        b"Host: other.example",
        b"host: shop.example",
        # words of ours
        b"Waitroom-Pass: x",
        b"waitroom_pass: x",
        b"WaitroomX: x",
        b"Authorization: Waitroom x.y",
        b"authorization: waitroom",
        b"Authorization:WAITROOM  x",
    ],
)
def test_a_line_that_is_not_plain_leaves_the_request_to_somebody_else(line: bytes) -> None:
    assert plain_head(asked(line)) is None
    assert plain_head(asked(b"X: y", line, b"Z: y")) is None
    assert plain_head(asked(b"X: y", host=line + b"\r\n" + HOST)) is None


@pytest.mark.parametrize(
    "name",
    [
        *("Accept", "Accept-Encoding", "Authorization", "Cookie", "If-None-Match", "Sec-Fetch-Mode"),
        *("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Uri"),
        *("X-Original-Method", "X-Original-Uri"),
        *("Content-Type", "Content-Location", "Content-Range", "ETag", "Max-Forwards", "Server", "User-Agent"),
    ],
)
def test_what_is_read_or_may_stand_once_does_not_stand_twice(name: str) -> None:
    line = name.encode() + b": 1"

    assert plain_head(asked(line)) is not None
    assert plain_head(asked(line, b"X: y", line)) is None
    assert plain_head(asked(line, line.lower())) is None
    assert plain_head(asked(line, name.upper().encode() + b": 2")) is None


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"Host:",
        b"Host: a b",
        b"Host: shop.example/x",
        b"Host: user@shop.example",
        b"Host: shop.example,other.example",
        b"Host: shop.example:x",
        b"Host: shop.example:123456",
        b"Host: " + b"a" * 254,
        b"Host: [::1",
        b"Host: shop..\x00",
        b"X-Host: shop.example",
    ],
)
def test_without_one_valid_host_it_is_for_somebody_else(host: bytes) -> None:
    assert plain_head(asked(b"X: y", host=host)) is None


@pytest.mark.parametrize("host", [b"shop.example:8080", b"127.0.0.1", b"[::1]:80", b"a_b.example", b"xn--a.example"])
def test_a_host_may_be_any_that_stores_have(host: bytes) -> None:
    assert read(asked(host=b"Host: " + host)).fields.host == host.decode()


def test_nothing_is_read_before_it_is_whole() -> None:
    data = asked(b"Cookie: wr_drop_pass=abc", b"Accept: text/html")

    assert [cut for cut in range(len(data)) if plain_head(data[:cut]) is not None] == []
    assert plain_head(data) is not None


@pytest.mark.parametrize("end", [b"\n\n", b"\r\r", b"\n\r\n", b"\r\n\n", b"\r\n\r", b"\r\n \r\n"])
def test_only_an_empty_line_ends_it(end: bytes) -> None:
    assert plain_head(b"GET / HTTP/1.1\r\nHost: a\r\nX: y" + end) is None


@pytest.mark.parametrize(
    "rest", [b"GET /next HTTP/1.1\r\nHost: b\r\n\r\n", b"\r\n", b"\x00\xff", b"POST / HTTP/1.1\r\n"]
)
def test_what_follows_is_not_touched(rest: bytes) -> None:
    data = asked(b"Accept: */*")
    head = read(data + rest)

    assert (head.size, head.raw) == (len(data), data)
    assert (data + rest)[head.size :] == rest


@pytest.mark.parametrize(
    "data",
    [
        asked(b"X: " + b"a" * 17_000),
        asked(*[b"X-%d: y" % number for number in range(120)]),
        b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n\r\n",
    ],
    ids=["a line of 17,000", "120 lines", "a target of 17,000"],
)
def test_who_says_very_much_is_heard_elsewhere(data: bytes) -> None:
    assert plain_head(data) is None


def test_the_fields_of_the_request_before_are_the_same_where_the_bytes_are() -> None:
    first = read(asked(b"Cookie: a=1"))
    again = plain_head(asked(b"Cookie: a=1", first=b"HEAD /other HTTP/1.1"), first.fields)
    other = plain_head(asked(b"Cookie: a=2"), first.fields)

    assert again is not None
    assert again.fields is first.fields
    assert (again.method, again.target) == ("HEAD", "/other")
    assert other is not None
    assert other.headers["Cookie"] == "a=2"


def test_what_is_remembered_of_lines_is_bounded_and_nothing_about_one_visitor() -> None:
    heads.OF_THE_EDGE.known.clear()
    for number in range(3 * heads._REMEMBERED):
        assert plain_head(asked(b"X-%d: y" % number)) is not None
    assert len(heads.OF_THE_EDGE.known) <= heads._REMEMBERED

    heads.OF_THE_EDGE.known.clear()
    for line in (b"Cookie: a=1", b"Authorization: Basic x", b'If-None-Match: "x"', b"X-Forwarded-For: 10.0.0.1"):
        assert plain_head(asked(line)) is not None
    assert plain_head(asked(b"X-Long: " + b"a" * 600)) is not None
    assert set(heads.OF_THE_EDGE.known) == {HOST}


def test_a_line_that_is_known_is_judged_as_before() -> None:
    for _ in range(2):
        assert plain_head(asked(b"Connection: close")) is None
        assert read(asked(b"Accept: a/b")).headers["Accept"] == "a/b"
        assert plain_head(asked(b"Accept: a/b", b"Accept: a/b")) is None


def test_fields_alone_need_a_host_too() -> None:
    assert plain_fields(b"Accept: */*") is None
    assert isinstance(plain_fields(HOST), Fields)
