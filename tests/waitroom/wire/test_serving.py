"""A listener that ends on a signal and lets what runs end."""

import asyncio
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from tests.doors import GET, Client
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.ports import listening
from waitroom.kernel.units import Address
from waitroom.wire.connections import Bounds
from waitroom.wire.serving import Served, Serving, _affordable, serve_until_told


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_and_the_answer_under_way_is_finished(told: signal.Signals) -> None:
    held, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        held.set()
        await go_on.wait()
        return web.Response(text="finished")

    app = web.Application()
    app.router.add_get("/", slow)
    async with serving(app) as (port, served), aiohttp.ClientSession() as session:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(session.get(f"http://127.0.0.1:{port}/"))
            await held.wait()
            os.kill(os.getpid(), told)
            await asyncio.sleep(0)
            go_on.set()

        assert await asked.result().text() == "finished"
        await served


async def test_a_client_that_keeps_its_connection_loses_no_request_when_we_leave() -> None:
    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    async with serving(app) as (port, served):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        client = Client(reader, writer)
        client.send(GET)
        await client.answer()
        os.kill(os.getpid(), signal.SIGTERM)
        while await is_open(port):
            await asyncio.sleep(0.01)

        client.send(GET)
        answer = await client.rest()

        assert b"hello" in answer
        assert b"Connection: close" in answer
        writer.close()
        await writer.wait_closed()
        await served


def test_no_more_connections_are_promised_than_files_may_be_open(caplog: pytest.LogCaptureFixture) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    assert _affordable(Bounds(max_connections=100)).max_connections == 100
    if hard != resource.RLIM_INFINITY:
        assert _affordable(Bounds(max_connections=hard)).max_connections < hard
        assert "raise ulimit" in caplog.text
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    return True


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[tuple[int, "asyncio.Task[None]"]]:
    """Serve `app` until a signal; give its port, and what ends when it does."""
    sockets, ready = listening(Address("127.0.0.1", 0), setting="listen"), asyncio.Event()
    port = sockets[0].getsockname()[1]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            serve_until_told(Served(app), sockets, Serving(20), clock=SystemClock(), ready=ready.set)
        )
        await ready.wait()
        yield port, task
