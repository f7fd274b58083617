"""Requests with two readings, as raw bytes over a real socket."""

import asyncio

import pytest

from tests.origin import Edge, Origin, request
from waitroom.proxy.strict import c_parser_present, server_log


def test_the_c_parser_is_there() -> None:
    assert c_parser_present()


async def status(edge: Edge, raw: bytes) -> int:
    answer = await edge.talk(raw)
    return int(answer.split(b" ")[1])


POST = b"POST / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    "raw",
    [
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nab",
        POST + b"Content-Length: 2, 2\r\n\r\nab",
        POST + b"Content-Length: +2\r\n\r\nab",
        POST + b"Content-Length: 0x2\r\n\r\nab",
        POST + b"Content-Length : 2\r\n\r\nab",
        POST + b"X: a\r\n b\r\n\r\n",
        POST + b"X: a\x00b\r\n\r\n",
        b"POST / HTTP/1.0\r\nHost: shop.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: shop.example\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: shop.example\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
        b"GET http://other.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"GET http://user@shop.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"GET ftp://shop.example/ HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"GET /a#b HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"GET /caf\xe9 HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"GET /caf\xc3\xa9 HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"TRACE / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"CONNECT shop.example:443 HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: shop.example\r\n\r\n",
        POST + b"Expect: 200-ok\r\n\r\n",
        POST + b"Content-Type: text/a\r\nContent-Type: text/b\r\n\r\n",
    ],
)
async def test_a_request_with_two_readings_never_reaches_the_origin(edge: Edge, origin: Origin, raw: bytes) -> None:
    assert 400 <= await status(edge, raw) <= 505
    assert origin.seen == []


@pytest.mark.parametrize("line", [b"GET / HTTP/2.0", b"GET / HTTP/0.9"])
async def test_a_version_that_we_do_not_speak_is_refused_in_one_that_we_do(edge: Edge, line: bytes) -> None:
    answer = await edge.head(line + b"\r\nHost: shop.example\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 505 ")


@pytest.mark.parametrize("host", [b"shop.example", b"shop.example:8080", b"127.0.0.1", b"[::1]:8080", b"a_b.local"])
async def test_an_ordinary_host_passes_as_it_is(edge: Edge, origin: Origin, host: bytes) -> None:
    assert await status(edge, b"GET / HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n") == 200
    assert origin.only().all("Host") == [host.decode()]


@pytest.mark.parametrize(
    ("target", "sent"),
    [(b"http://shop.example/a%2fb?c", b"/a%2fb?c"), (b"HTTP://SHOP.example", b"/"), (b"http://shop.example?x", b"/?x")],
)
async def test_an_absolute_target_for_this_host_becomes_plain(
    edge: Edge, origin: Origin, target: bytes, sent: bytes
) -> None:
    assert await status(edge, request(target)) == 200
    assert origin.only().target == sent


async def test_a_second_request_hidden_in_a_body_is_not_taken_for_one(edge: Edge, origin: Origin) -> None:
    hidden = b"GET /hidden HTTP/1.1\r\nHost: shop.example\r\n\r\n"

    await edge.talk(request(b"/", b"Content-Length: %d" % len(hidden), method=b"POST", body=hidden))

    await asyncio.sleep(0)
    assert origin.only().body == hidden


async def test_what_strangers_send_is_not_logged_as_our_error(edge: Edge, caplog: pytest.LogCaptureFixture) -> None:
    await status(edge, b"\x16\x03\x01 not http\r\n\r\n")

    assert caplog.records == []


async def test_what_is_our_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    server_log().error("Error handling request", exc_info=RuntimeError("ours"))

    assert len(caplog.records) == 1
