"""Which answers are plain, what of them goes on, and that all of it is what the proxy says of each header."""

import pytest

from waitroom.proxy.headers import client_headers
from waitroom.wire import plain_answers
from waitroom.wire.plain_answers import PlainAnswer, plain_answer

LENGTH = b"Content-Length: 5"


def head(*lines: bytes, first: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return b"\r\n".join([first, *lines, b"", b""])


def read(data: bytes) -> PlainAnswer:
    found = plain_answer(data)
    assert found is not None
    return found


def test_a_plain_answer_is_read_as_it_is_written() -> None:
    data = head(b"Content-Type: text/html", b"content-LENGTH: 0005", b"X-A:  1 ", b"Set-Cookie: a=1", b"Set-Cookie: b")
    found = read(data + b"hello and more")

    assert (found.status, found.reason, found.length, found.size) == (200, b"OK", 5, len(data))
    assert found.block == b"Content-Type: text/html\r\nX-A: 1\r\nSet-Cookie: a=1\r\nSet-Cookie: b\r\n"
    assert found.raw_headers[2] == (b"X-A", b"1")


@pytest.mark.parametrize("first", [b"HTTP/1.1 404 Not Found", b"HTTP/1.1 299 Very  Odd", b"HTTP/1.1 503 "])
def test_a_status_keeps_its_reason(first: bytes) -> None:
    found = read(head(LENGTH, first=first))

    assert b"HTTP/1.1 %d %b" % (found.status, found.reason) == first


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
def test_what_has_no_body_needs_no_length(status: bytes) -> None:
    assert read(head(first=b"HTTP/1.1 " + status)).length is None
    assert read(head(LENGTH, first=b"HTTP/1.1 " + status)).length == 5


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.0 200 OK",
        b"HTTP/1.2 200 OK",
        b"HTTP/2.0 200 OK",
        b"http/1.1 200 OK",
        b"HTTP/1.1 200",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 101 Switching Protocols",
        b"HTTP/1.1 103 Early Hints",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 600 x",
        b"HTTP/1.1 999 x",
        b"HTTP/1.1 abc OK",
        b"HTTP/1.1 200 a\tb",
        b"HTTP/1.1 200 caf\xe9",
        b"HTTP/1.1 200 a\x00",
        b"HTTP/1.1 200 a\rb",
        b"SSH-2.0-x",
        b"",
        b"\r\nHTTP/1.1 200 OK",
    ],
)
def test_any_other_first_line_is_for_llhttp(first: bytes) -> None:
    assert plain_answer(head(LENGTH, first=first)) is None


@pytest.mark.parametrize(
    "line",
    [
        # framing that is not one length
        b"Content-Length: 5",
        b"Content-Length: 6",
        b"Content-Length: 5, 5",
        b"Content-Length: +5",
        b"Content-Length: -5",
        b"Content-Length: 0x5",
        b"Content-Length:",
        b"Content-Length: 9999999999999999",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding: gzip",
        # what is for us, or for the connection
        b"Connection: close",
        b"Connection: X-A",
        b"Connection: keep-alive, X-A",
        b"Upgrade: h2c",
        b"Waitroom-Command: revoke",
        b"waitroom-anything: x",
        b"Content-Type: text/event-stream",
        b"content-type:TEXT/EVENT-STREAM; charset=utf-8",
        # what has two readings
        b"X: a\tb",
        b"X: a\x00b",
        b"X: a\x0bb",
        b"X: a\x7fb",
        b"X: a\rb",
        b"X: a\nY: b",
        b"X: caf\xe9",
        b"X: a\r\n b",
        b" X: a",
        b"X : a",
        b"Content-Length : 5",
        b"X Y: a",
        b": a",
        b"nothing",
    ],
)
def test_a_line_that_is_not_plain_leaves_the_answer_to_llhttp(line: bytes) -> None:
    assert plain_answer(head(LENGTH, line)) is None
    assert plain_answer(head(line, b"X: y", LENGTH)) is None


def test_a_body_without_a_length_is_for_llhttp() -> None:
    assert plain_answer(head(b"X: y")) is None
    assert plain_answer(head()) is None


@pytest.mark.parametrize(
    "line",
    [
        b"Date: then",
        b"server:S/1",
        b"X-Empty:",
        b"X!#$%&'*+-.^_`|~9: 1",
        b"Proxy-Connection: x",
        b"Proxy-Authenticate: x",
        b"TE: x",
        b"Trailer: X-T",
        b"HTTP2-Settings: AA",
        b"Connection: Keep-Alive",
        b"Set-Cookie: a=1; Path=/",
        b"Set-Cookie: wr_drop_pass=x",
        b"set-cookie:  __Host-wr_drop_pass=x",
        b"Waitroom_Pass: x",
        b"CDN-Cache-Control: max-age=9",
        b"X: " + b"a" * 3000,
    ],
)
def test_what_goes_on_is_what_the_proxy_lets_go_on(line: bytes) -> None:
    for _ in range(2):  # and again, once it is known
        found = read(head(line, LENGTH))
        name, _, value = line.partition(b":")
        kept = client_headers([(name, value.strip())]).headers
        assert found.block == b"".join(b"%b: %b\r\n" % pair for pair in kept)
        assert client_headers(found.raw_headers).headers == kept


def test_nothing_is_read_before_it_is_whole() -> None:
    data = head(b"X: y", LENGTH)

    assert [cut for cut in range(len(data)) if plain_answer(data[:cut]) is not None] == []


def test_who_says_very_much_is_heard_by_llhttp() -> None:
    assert plain_answer(head(b"X: " + b"a" * 17_000, LENGTH)) is None
    assert plain_answer(head(*[b"X-%d: y" % number for number in range(120)], LENGTH)) is None


def test_what_is_remembered_is_bounded_and_no_cookie_is() -> None:
    plain_answers._known_lines.clear()
    plain_answers._known_statuses.clear()
    for number in range(3 * plain_answers._REMEMBERED):
        assert plain_answer(head(b"X-%d: y" % number, LENGTH)) is not None
        assert plain_answer(head(LENGTH, first=b"HTTP/1.1 200 %d" % number)) is not None
    assert len(plain_answers._known_lines) <= plain_answers._REMEMBERED
    assert len(plain_answers._known_statuses) <= plain_answers._REMEMBERED

    plain_answers._known_lines.clear()
    assert plain_answer(head(b"Set-Cookie: of=one visitor", b"X: " + b"a" * 600, LENGTH)) is not None
    assert set(plain_answers._known_lines) == {LENGTH}
