"""What a worker is, from the outside."""

import asyncio
import os
import signal

import aiohttp

from tests.edges import Store
from waitroom.app import run_edge
from waitroom.config import build
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys


async def test_a_worker_ends_on_sigterm_and_finishes_what_is_in_flight(
    redis: ScriptRunner, keys: Keys, store: Store, valkey_url: str
) -> None:
    listen = free_loopback()
    written = {
        "edge": {"listen": str(listen), "drain_timeout": "5s"},
        "upstreams": [{"name": "store", "url": store.url}],
        "rooms": [{"name": "drop", "paths": ["/drop/"], "queueing_method": "passthrough"}],
    }
    held, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        held.set()
        await go_on.wait()
        return aiohttp.web.Response(text="finished")

    store.answer = slow  # type: ignore[method-assign]  # this store takes its time
    async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as group:
        worker = group.create_task(run_edge(build(written, {}), keys, f"{valkey_url}?db=1"))
        while True:
            try:
                async with session.get(f"http://{listen}/.waitroom/readyz") as ready:
                    if ready.status == 200:
                        break
            except aiohttp.ClientError:
                await asyncio.sleep(0.02)
        asked = group.create_task(session.get(f"http://{listen}/drop/"))
        await held.wait()
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.1)
        go_on.set()
        answer = await asked

        assert await answer.text() == "finished"
        await worker
