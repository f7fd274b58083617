"""A listener that ends on a signal and lets what runs end."""

import asyncio
import os
import signal

import aiohttp
import pytest
from aiohttp import web

from waitroom.kernel.ports import free_loopback
from waitroom.proxy.serving import serve_until_told


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_and_the_answer_under_way_is_finished(told: signal.Signals) -> None:
    held, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        held.set()
        await go_on.wait()
        return web.Response(text="finished")

    app, listen = web.Application(), free_loopback()
    app.router.add_get("/", slow)
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        serving = group.create_task(serve_until_told(app, listen.host, listen.port, keepalive_s=5, drain_s=5))
        await asyncio.sleep(0.05)
        asked = group.create_task(session.get(f"http://{listen}/"))
        await held.wait()
        os.kill(os.getpid(), told)
        await asyncio.sleep(0)
        go_on.set()

        assert await (await asked).text() == "finished"
        await serving
