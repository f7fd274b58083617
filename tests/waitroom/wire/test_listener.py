"""What somebody gets who does not speak HTTP, or whose bytes the parser refuses."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from tests.doors import GET, doors
from tests.wire import Reply, send
from waitroom.proxy.strict import server_log
from waitroom.wire import listener as listeners
from waitroom.wire.listener import Listener

HEAD = b"Host: shop.example\r\nConnection: close\r\n"


async def echo(request: web.Request) -> web.Response:
    return web.Response(text=(await request.read()).decode())


class Slow:
    """A handler that waits until it is told to answer, and remembers whether it was let do so."""

    def __init__(self) -> None:
        self.may_answer, self.was_cancelled = asyncio.Event(), asyncio.Event()

    async def answer(self, request: web.Request) -> web.Response:
        try:
            await self.may_answer.wait()
        except asyncio.CancelledError:
            self.was_cancelled.set()
            raise
        return await echo(request)


@pytest.fixture
async def slow() -> AsyncIterator[tuple[Slow, int]]:
    made = Slow()
    async with listening(made.answer) as port:
        yield made, port


@pytest.fixture
async def port() -> AsyncIterator[int]:
    async with listening(echo) as port:
        yield port


@asynccontextmanager
async def listening(answer: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    listener = Listener(app, access_log=None, logger=server_log(), max_line_size=8190, handler_cancellation=True)
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


POST = b"POST /x HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\n"


async def say(port: int, *pieces: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Send `pieces`, then say that nothing more will come."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in pieces:
        writer.write(piece)
        await writer.drain()
    writer.write_eof()
    return reader, writer


async def test_a_client_that_sends_no_more_is_answered(slow: tuple[Slow, int]) -> None:
    handler, port = slow
    reader, writer = await say(port, POST + b"hi")
    handler.may_answer.set()

    async with asyncio.timeout(60):
        assert (await reader.read(-1)).endswith(b"\r\n\r\nhi")  # and then the connection ends
    writer.close()


async def test_each_of_several_requests_is_answered_when_no_more_follow(slow: tuple[Slow, int]) -> None:
    handler, port = slow
    reader, writer = await say(port, (POST + b"hi") * 3)
    handler.may_answer.set()

    async with asyncio.timeout(60):
        assert (await reader.read(-1)).count(b"HTTP/1.1 200 OK") == 3
    writer.close()


async def test_who_has_left_is_not_waited_for_long(slow: tuple[Slow, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "HALF_CLOSED_S", 0.05)
    handler, port = slow
    _, writer = await say(port, POST + b"hi")
    writer.close()

    async with asyncio.timeout(60):
        await handler.was_cancelled.wait()


async def test_who_leaves_within_a_body_has_left(slow: tuple[Slow, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "HALF_CLOSED_S", 3600)
    handler, port = slow
    reader, writer = await say(port, POST + b"h")

    async with asyncio.timeout(60):
        assert await reader.read(-1) == b""
    writer.close()
    assert not handler.may_answer.is_set()


async def test_who_says_nothing_at_all_is_let_go(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listeners, "HALF_CLOSED_S", 3600)
    reader, writer = await say(port)

    async with asyncio.timeout(60):
        assert await reader.read(-1) == b""
    writer.close()


async def test_an_absolute_target_without_a_path_has_a_route(port: int) -> None:
    reply = await send(port, b"GET http://shop.example?x HTTP/1.1\r\n" + HEAD + b"\r\n")

    assert reply.status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HEAD + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    ],
)
async def test_a_line_that_is_too_long_is_told_as_that(port: int, data: bytes) -> None:
    reply = await send(port, data)

    assert (reply.status, reply.kind) == (431, "header-too-large")


async def test_who_leaves_lets_each_answer_be_the_last_of_its_connection() -> None:
    async with doors() as found:
        client = await found.open(GET)
        assert b"Connection: close" not in await client.answer()
        await found.listener.take_leave()

        client.send(GET)

        assert b"Connection: close" in await client.rest()


async def test_what_follows_an_upgrade_that_nobody_knows_is_not_waited_for_in_vain() -> None:
    asking = GET.replace(b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
    async with doors() as found:
        replies = await found.says(asking + GET)

    assert replies.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in replies
    assert replies.count(b"HTTP/1.1 ") == 1
