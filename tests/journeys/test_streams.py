"""Following a room, over real processes: what ops change is with everybody, and a worker that leaves says so."""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest

from tests.matrix.proxies import ours_before
from tests.whole_site import WholeSite, worker_behind

pytestmark = pytest.mark.journey

LIMIT_S = 60
MANY = 1_000
ROOM = "hard"
"""Where nobody else is."""


class Stream:
    """A connection that follows."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @property
    def local_port(self) -> int:
        return int(self.writer.get_extra_info("sockname")[1])

    async def until(self, word: str) -> None:
        """Read until an event has `word` in it."""
        async with asyncio.timeout(LIMIT_S):
            while word.encode() not in (line := await self.reader.readline()):
                assert line, "the stream has ended"


async def follow(port: int, room: str = ROOM) -> Stream:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4096)
    writer.write(f"GET /.waitroom/{room}/events HTTP/1.1\r\nHost: queue.example\r\n\r\n".encode())
    stream = Stream(reader, writer)
    await stream.until("data: ")
    return stream


@asynccontextmanager
async def following(port: int, count: int, room: str = ROOM) -> AsyncIterator[list[Stream]]:
    """Give so many streams; they end with the block."""
    found: list[Stream] = []
    try:
        while len(found) < count:
            found += await asyncio.gather(*[follow(port, room) for _ in range(min(50, count - len(found)))])
        yield found
    finally:
        for stream in found:
            stream.writer.close()
        for stream in found:
            with suppress(OSError):
                await stream.writer.wait_closed()


async def say(site: WholeSite, text: str) -> None:
    await asyncio.to_thread(site.ops, "message", {"text": text}, room=ROOM)


async def all_hear(streams: Iterable[Stream], word: str) -> None:
    await asyncio.gather(*[stream.until(word) for stream in streams])


def memory_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * 4096


async def test_what_ops_change_is_with_the_streams_of_every_worker(site: WholeSite) -> None:
    async with AsyncExitStack() as stack:
        streams = await stack.enter_async_context(following(site.port, 4))
        while len({worker_behind(site, stream.local_port) for stream in streams}) < 2:
            streams = [*streams, *await stack.enter_async_context(following(site.port, 4))]
            assert len(streams) < MANY, "one worker takes them all"
        await say(site, "soon, on every worker")
        began_s = time.monotonic()
        await all_hear(streams, "soon, on every worker")
        sys.stdout.write(f"the last of {len(streams)} streams had it after {time.monotonic() - began_s:.2f} s\n")
        await say(site, "")


async def test_a_thousand_streams_cost_little_and_all_hear(site: WholeSite) -> None:
    async with following(site.port, 20):
        pass
    workers = site.workers()
    before = sum(map(memory_bytes, workers))
    async with following(site.port, MANY) as streams:
        each = (sum(map(memory_bytes, workers)) - before) / MANY
        sys.stdout.write(f"a stream takes {each / 1024:.1f} KB of the workers\n")
        await counted(site, MANY)
        await say(site, "to a thousand")
        await all_hear(streams, "to a thousand")
        await say(site, "")

    assert each < 20_000
    await counted(site, 0)


async def test_a_websocket_hears_the_same(site: WholeSite) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{site.url}/.waitroom/{ROOM}/ws") as socket:
        first = await socket.receive_json(timeout=LIMIT_S)
        await say(site, "by websocket")
        async with asyncio.timeout(LIMIT_S):
            while (await socket.receive_json())["message"] != "by websocket":
                pass
        await say(site, "")

    assert (first["room"], first["generation"]) == (ROOM, site.pulse(ROOM)["generation"])


async def test_a_worker_that_leaves_tells_every_stream_when_to_come_back(tmp_path: Path, valkey_url: str) -> None:
    with ours_before(tmp_path, 9, f"{valkey_url}?db=9") as (port, pid):
        async with following(port, 200, "queue") as streams, aiohttp.ClientSession() as session:
            socket = await session.ws_connect(f"http://127.0.0.1:{port}/.waitroom/queue/ws")
            await socket.receive_json(timeout=LIMIT_S)
            os.kill(pid, signal.SIGTERM)
            async with asyncio.timeout(LIMIT_S):
                async for message in socket:  # first: who does not answer a farewell is not waited for
                    assert "room" in json.loads(message.data)
                ends = [await stream.reader.read(-1) for stream in streams]

    told = [re.search(rb"\n\n\r\nd\r\nretry: (\d{4})\n\n\r\n0\r\n\r\n$", b"\n" + end) for end in ends]
    assert all(told)
    assert len({one[1] for one in told if one}) > 100, "not all at once"
    assert socket.close_code == 1012


async def counted(site: WholeSite, count: int) -> None:
    """Wait until the metrics say that so many follow."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(LIMIT_S):
        while True:
            async with session.get(f"{site.ops_url}/metrics") as answer:
                if f'waitroom_streams{{room="{ROOM}"}} {count}.0' in await answer.text():
                    return
            await asyncio.sleep(0.1)
