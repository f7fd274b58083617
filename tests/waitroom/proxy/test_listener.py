"""What somebody gets who does not speak HTTP, or whose bytes the parser refuses."""

import logging
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from tests.wire import Reply, send
from waitroom.proxy.listener import Listener
from waitroom.proxy.strict import server_log

HEAD = b"Host: shop.example\r\nConnection: close\r\n"


async def echo(request: web.Request) -> web.Response:
    return web.Response(text=(await request.read()).decode())


@pytest.fixture
async def port() -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    listener = Listener(app, access_log=None, logger=server_log(), max_line_size=8190)
    await listener.setup()
    try:
        await web.TCPSite(listener, "127.0.0.1", 0).start()
        yield listener.addresses[0][1]
    finally:
        await listener.cleanup()


def is_a_problem(reply: Reply) -> bool:
    return (reply.status, reply.kind) == (400, "malformed-request")


async def test_what_is_well_formed_is_served_as_ever(port: int) -> None:
    reply = await send(port, b"POST /x HTTP/1.1\r\n" + HEAD + b"Content-Length: 2\r\n\r\nhi")

    assert (reply.status, reply.body) == (200, b"hi")


@pytest.mark.parametrize(
    "data",
    [
        b"FOO / HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"get / HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"Cookie : wr_drop_ticket=a-secret\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n" + HEAD + b"\r\n",
        b"POST / HTTP/1.1\r\n" + HEAD + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        b"POST / HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
        b"hello\r\n\r\n",
    ],
)
async def test_what_is_no_http_gets_a_problem_that_repeats_nothing(
    port: int, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    reply = await send(port, data)

    assert is_a_problem(reply), reply
    assert b"a-secret" not in reply.body
    assert "aiohttp" not in str(reply.headers)
    assert "a-secret" not in caplog.text
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("expectation", [b"the-moon", b"\xff\xfe"])
async def test_an_unknown_expectation_is_a_problem_that_repeats_nothing(port: int, expectation: bytes) -> None:
    reply = await send(
        port, b"POST / HTTP/1.1\r\n" + HEAD + b"Expect: " + expectation + b"\r\nContent-Length: 0\r\n\r\n"
    )

    assert (reply.status, reply.kind) == (417, "unknown-expectation")
    assert expectation not in reply.body
