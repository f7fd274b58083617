"""Fifty who read or take slowly, and a worker whose memory stays flat; no answer is fetched for who has left."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.matrix.proxies import ours_before

PEERS = 50
MOST_GROWTH_BYTES = 20 * 1024 * 1024
PIECE = b"x" * 65_536
TASTE_BYTES = 1024 * 1024
"""What each of them moves before it stops: together two and a half times what the worker may grow by."""
LIMIT_S = 60

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


@dataclass
class Store:
    """Sends without end to whoever asks, takes a little of what is sent to it, and counts who is there."""

    port: int = 0
    moved: int = 0
    there: set[Writer] = field(default_factory=set)

    async def serve(self, reader: Reader, writer: Writer) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.there.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            if head.startswith(b"GET /small"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
            elif head.startswith(b"GET "):
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
                while True:
                    writer.write(PIECE)
                    await writer.drain()
                    self.moved += len(PIECE)
            else:
                taste = await reader.readexactly(TASTE_BYTES)
                self.moved += len(taste)
                reader._transport.pause_reading()  # type: ignore[attr-defined]  # no more is taken
                await until_gone(writer.get_extra_info("socket"))
        self.there.discard(writer)
        writer.transport.abort()


async def until_gone(peer: socket.socket) -> None:
    """Wait until the other side has hung up, without taking what it still sends."""
    established = 1
    while peer.fileno() >= 0 and peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == established:
        await asyncio.sleep(0.05)


pytestmark = pytest.mark.journey


@pytest.fixture
async def site(tmp_path: Path, valkey_url: str) -> AsyncIterator["Site"]:
    store = Store()
    server = await asyncio.start_server(store.serve, "127.0.0.1", 0, limit=65_536)
    store.port = server.sockets[0].getsockname()[1]
    with ours_before(tmp_path, store.port, f"{valkey_url}?db=9") as (port, pid):
        yield Site(store, port, pid)
    server.close()
    for writer in store.there:
        writer.transport.abort()
    while store.there:
        await asyncio.sleep(0.05)


@dataclass
class Site:
    """A store behind one worker."""

    store: Store
    port: int
    pid: int

    def memory_bytes(self) -> int:
        return int(Path(f"/proc/{self.pid}/statm").read_text("ascii").split()[1]) * 4096

    @asynccontextmanager
    async def visitor(self) -> AsyncIterator[tuple[Reader, Writer]]:
        """Give a connection that takes little on its own account, so that what waits, waits in the worker."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16_384)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=16_384)
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def settled(figure: Callable[[], int]) -> None:
    """Wait until `figure` stands still."""
    async with asyncio.timeout(LIMIT_S):
        before = -1
        while before != figure():
            before = figure()
            await asyncio.sleep(1)


async def small(site: Site) -> None:
    async with site.visitor() as (reader, writer):
        writer.write(b"GET /small HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n")
        assert (await reader.read(-1)).endswith(b"ok")


async def warmed(site: Site) -> int:
    """Let the worker meet as many visitors as will come; return what memory that takes."""
    for _ in range(4):
        async with asyncio.TaskGroup() as group:
            for _ in range(PEERS):
                group.create_task(small(site))
    return site.memory_bytes()


async def test_fifty_slow_readers_of_an_endless_answer_take_no_memory_and_leave_nothing_behind(site: Site) -> None:
    before = await warmed(site)
    stop = asyncio.Event()

    async def reads_a_little() -> None:
        async with site.visitor() as (reader, writer):
            writer.write(b"GET /endless HTTP/1.1\r\nHost: shop.example\r\n\r\n")
            await reader.readexactly(TASTE_BYTES)
            await stop.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(PEERS):
            group.create_task(reads_a_little())
        await settled(lambda: site.store.moved)
        grown, waiting = site.memory_bytes() - before, len(site.store.there)
        stop.set()

    assert waiting == PEERS
    assert site.store.moved >= PEERS * TASTE_BYTES
    assert grown < MOST_GROWTH_BYTES
    async with asyncio.timeout(LIMIT_S):  # and who has left is not worked for
        while site.store.there:
            await asyncio.sleep(0.05)


async def test_fifty_uploads_to_a_slow_store_take_no_memory(site: Site) -> None:
    before = await warmed(site)
    sent = 0

    async def uploads() -> None:
        nonlocal sent
        async with site.visitor() as (_, writer):
            writer.write(b"POST /upload HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2147483648\r\n\r\n")
            while True:
                writer.write(PIECE)
                await writer.drain()
                sent += len(PIECE)

    async with asyncio.TaskGroup() as group:
        uploading = [group.create_task(uploads()) for _ in range(PEERS)]
        async with asyncio.timeout(LIMIT_S):
            while site.store.moved < PEERS * TASTE_BYTES:
                await asyncio.sleep(0.05)
        await settled(lambda: sent)
        grown, waiting = site.memory_bytes() - before, len(site.store.there)
        for upload in uploading:
            upload.cancel()

    assert waiting == PEERS
    assert grown < MOST_GROWTH_BYTES
