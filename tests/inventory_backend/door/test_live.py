"""Stock as it changes: one event a change, bounded in number and in what is kept for each, and an end in order."""

import asyncio
import json
import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from prometheus_client import REGISTRY

from inventory_backend.app import run
from inventory_backend.door import live
from tests.till import SIGNER, Shop, config, shop
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.units import Address


@pytest.fixture
async def drop(tmp_path: Path, redis_url: str) -> AsyncIterator[Shop]:
    """Give a till whose catalogue is read when the test says so, with room for three that watch."""
    async with shop(few(tmp_path, redis_url), with_jobs=False) as found:
        yield found


def few(folder: Path, redis_url: str) -> Any:
    return config(folder, redis_url, tables={"server": {"max_streams": 3}})


async def watching(drop: Shop, stack: AsyncExitStack) -> aiohttp.ClientResponse:
    return await stack.enter_async_context(drop.session.get(f"{drop.url}/sales/drop/events"))


async def told(stream: aiohttp.ClientResponse) -> str:
    """Return the next block of a stream; empty at its end."""
    async with asyncio.timeout(60):
        block = b""
        while line := await stream.content.readline():
            block += line
            if line == b"\n":
                break
    return block.decode()


async def sneakers(stream: aiohttp.ClientResponse) -> int:
    """Return how many sneakers the next event has."""
    kind, data, _ = (await told(stream)).split("\n", 2)
    assert kind == "event: sale"
    found = json.loads(data.removeprefix("data: "))
    return next(int(one["available"]) for one in found["skus"] if one["sku"] == "sneaker")


async def everything(reader: asyncio.StreamReader) -> None:
    """Read for ever, but begin only when it is too late."""
    async with asyncio.timeout(60):
        while REGISTRY.get_sample_value("waitroom_till_streams"):
            await asyncio.sleep(0.02)
        while True:
            await reader.readexactly(4_000_000)


async def test_the_sale_is_told_now_and_whenever_it_changes(drop: Shop) -> None:
    async with AsyncExitStack() as stack:
        streams = [await watching(drop, stack) for _ in range(2)]
        for stream in streams:
            assert (stream.status, stream.headers["Cache-Control"]) == (200, "no-store")
            assert (await told(stream)).startswith("retry: ")
            assert await sneakers(stream) == 10

        for left in (9, 8):
            await drop.shopper(f"s{left}").reserve()
            await drop.till.jobs.catalogue.refresh()
            await drop.till.jobs.catalogue.refresh()
            assert [await sneakers(stream) for stream in streams] == [left, left], "once a change, and the same for all"


async def test_the_event_is_the_document_byte_for_byte(drop: Shop) -> None:
    async with AsyncExitStack() as stack, drop.session.get(f"{drop.url}/sales/drop") as answer:
        stream = await watching(drop, stack)
        await told(stream)
        assert (await told(stream)).encode() == b"event: sale\ndata: " + await answer.read() + b"\n\n"


async def test_where_nothing_happens_there_is_a_sign_of_life(drop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_SILENCE_S", 0.01)
    async with AsyncExitStack() as stack:
        stream = await watching(drop, stack)
        await told(stream)
        await sneakers(stream)
        assert [await told(stream) for _ in range(3)] == [": still here\n\n"] * 3


async def test_more_than_there_is_room_for_are_told_when_to_come_back(drop: Shop) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await watching(drop, stack)
        async with drop.session.get(f"{drop.url}/sales/drop/events") as refused:
            assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
            assert (await refused.json(content_type=None))["type"] == "urn:waitroom:problem:too-many-streams"
        assert (await drop.shopper().reserve()).status == 201, "who buys is not kept out"


async def test_who_has_gone_takes_no_room(drop: Shop) -> None:
    """Come and go as often as you like: nobody is kept out by streams that have ended."""
    for _ in range(10):
        async with AsyncExitStack() as stack:
            stream = await watching(drop, stack)
            assert stream.status == 200
            await told(stream)
            stream.close()


def test_those_who_watch_leave_open_files_for_those_who_buy(caplog: pytest.LogCaptureFixture) -> None:
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert live.affordable(10) == 10
        if found[1] != resource.RLIM_INFINITY:
            assert live.affordable(found[1]) < found[1]
            assert "raise ulimit" in caplog.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, found)


async def test_a_sale_that_is_not_there_is_no_stream(drop: Shop) -> None:
    async with drop.session.get(f"{drop.url}/sales/gold/events") as refused:
        assert refused.status == 404
    async with drop.session.head(f"{drop.url}/sales/drop/events") as refused:
        assert refused.status == 405, "nothing would ever be sent"


async def test_who_does_not_read_is_cut_and_keeps_nobody_waiting(drop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "_WRITE_LIMIT_S", 0.05)
    monkeypatch.setattr(live, "_SILENCE_S", 0.0)
    monkeypatch.setattr(live.Live, "_event", lambda *_: b"data: " + b"x" * 1_000_000 + b"\n\n")
    monkeypatch.setattr(drop.till.jobs.catalogue, "document", lambda _: object())  # another one at each look
    reader, writer = await asyncio.open_connection(*drop.url.removeprefix("http://").split(":"), limit=1024)
    writer.write(b"GET /sales/drop/events HTTP/1.1\r\nHost: x\r\n\r\n")
    await reader.readline()

    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await everything(reader)
    writer.close()


async def test_a_stream_ends_after_a_while_and_its_browser_comes_back(
    drop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_LONGEST_S", 0.0)
    async with AsyncExitStack() as stack:
        stream = await watching(drop, stack)
        assert (stream.status, await told(stream)) == (200, "")


async def test_all_end_in_order_when_the_till_stops(tmp_path: Path, redis_url: str, unused_tcp_port: int) -> None:
    chosen = few(tmp_path, redis_url)
    server = chosen.server.model_copy(update={"listen": Address("127.0.0.1", unused_tcp_port)})
    running = asyncio.gather(run(chosen.model_copy(update={"server": server}), SIGNER, SystemClock()))
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        stream = None
        while stream is None:
            try:
                stream = await session.get(f"http://127.0.0.1:{unused_tcp_port}/sales/drop/events")
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)
        await told(stream)
        await sneakers(stream)

        os.kill(os.getpid(), signal.SIGTERM)
        assert await told(stream) == "", "ended whole, not cut"
        await running
