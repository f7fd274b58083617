"""Attacks on time and number, against a whole worker: only who attacks suffers, and a shopper is served meanwhile."""

import asyncio
import os
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import eventually
from tests.origin import OK, Origin, Seen, Writer, origin
from tests.wire import Reply, request, send, whole_reply
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.redis import RedisSettings, connected
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind, RoomRules
from waitroom.store.rooms import Rooms

LIMIT_S = 60
IDLE = int(os.environ.get("IDLE", "1000"))
CONFIG = """
[edge]
listen = "127.0.0.1:{port}"
header_timeout = "1s"
write_timeout = "1s"
drain_timeout = "1s"
{more}
[[upstreams]]
name = "store"
url = "{store}"
[[rooms]]
name = "drop"
paths = ["/drop/"]
"""


@dataclass
class Worker:
    """One worker, as the machine runs it: uvloop and all."""

    port: int
    pid: int

    async def shop(self) -> Reply:
        """Ask as a shopper does, for a page of the store."""
        return await send(self.port, request("GET /shop"), limit_s=LIMIT_S)

    @property
    def memory_bytes(self) -> int:
        line = next(one for one in Path(f"/proc/{self.pid}/status").read_text().splitlines() if one.startswith("VmRSS"))
        return int(line.split()[1]) * 1024

    @property
    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))


@asynccontextmanager
async def worker(valkey_url: str, store: Origin, more: str = "") -> AsyncIterator[Worker]:
    port = free_loopback().port
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "waitroom.toml"
        file.write_text(CONFIG.format(port=port, store=store.url, more=more))
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAITROOM_", "REDIS_"))}
        kept |= {"WAITROOM_SECRET": "s" * 32, "REDIS_URL": f"{valkey_url}?db=3"}
        with (Path(folder) / "log").open("wb") as log:
            argv = [sys.executable, "-m", "waitroom", "_worker", "-c", str(file)]
            process = subprocess.Popen(argv, env=kept, stdout=log, stderr=log)
        try:
            await eventually(lambda: "listening" in (Path(folder) / "log").read_text(), within_s=LIMIT_S)
            yield Worker(port, process.pid)
        finally:
            process.terminate()
            await eventually(lambda: process.poll() is not None, within_s=LIMIT_S)


@pytest.fixture
async def store() -> AsyncIterator[Origin]:
    async with origin() as made:
        yield made


async def ended(reader: asyncio.StreamReader) -> bytes:
    """Return what an attacker still hears, once they are cut off."""
    heard = b""
    async with asyncio.timeout(LIMIT_S):
        with suppress(ConnectionError):
            while piece := await reader.read(65536):
                heard += piece
    return heard


async def closed(*writers: asyncio.StreamWriter) -> None:
    for writer in writers:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def trickle(writer: asyncio.StreamWriter, piece: bytes) -> None:
    """Send `piece` again and again, until that ends."""
    with suppress(OSError):
        while not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.1)


async def test_slow_headers_are_cut_off_and_shoppers_are_served(valkey_url: str, store: Origin) -> None:
    async with worker(valkey_url, store) as edge:
        attackers = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(50)]
        async with asyncio.TaskGroup() as group:
            for _, writer in attackers:
                writer.write(b"GET /shop HTTP/1.1\r\nHost: shop.example\r\n")
                group.create_task(trickle(writer, b"X: y\r\n"))
            assert (await edge.shop()).status == 200

            heard = [await ended(reader) for reader, _ in attackers]
            await closed(*(writer for _, writer in attackers))

        assert [whole_reply(one).status for one in heard] == [408] * 50
        assert len(store.seen) == 1


async def test_slow_bodies_hold_nothing_of_the_store(valkey_url: str, store: Origin) -> None:
    async with worker(valkey_url, store) as edge:
        attackers = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(50)]
        for _, writer in attackers:
            writer.write(b"POST /shop HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 1000\r\n\r\nx")

        assert (await edge.shop()).status == 200
        assert len(store.seen) == 1, "a small body is read whole before the store is asked"
        await closed(*(writer for _, writer in attackers))


async def test_slow_readers_are_cut_off_and_shoppers_are_served(valkey_url: str, store: Origin) -> None:
    async def large(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        size = 64 << 20
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        with suppress(OSError):
            for _ in range(size >> 16):
                writer.write(b"x" * 65536)
                await writer.drain()

    store.scripts[b"/large"] = large
    async with worker(valkey_url, store, 'min_transfer_per_s = "64KiB"') as edge:
        with ExitStack() as sockets:
            for _ in range(20):
                one = sockets.enter_context(socket.socket())
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.setblocking(False)
                await asyncio.get_running_loop().sock_connect(one, ("127.0.0.1", edge.port))
                await asyncio.get_running_loop().sock_sendall(one, request("GET /large"))
            await eventually(lambda: len(store.seen) == 20, within_s=LIMIT_S)
            assert (await edge.shop()).status == 200

            await eventually(lambda: len(store.closed) >= 20, within_s=LIMIT_S)  # nothing is fetched for them any more
        assert (await edge.shop()).status == 200


async def test_thousands_of_idle_connections_cost_little_and_keep_nobody_out(valkey_url: str, store: Origin) -> None:
    """Half of them have asked once, by the hot path, and half never; `make soak` holds ten thousand."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    idle = IDLE if hard == resource.RLIM_INFINITY else min(IDLE, hard - 1000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, idle + 1000), hard))
    try:
        more = f"max_connections = {idle}\nmax_connections_per_address = {idle}"
        async with worker(valkey_url, store, more) as edge:
            assert (await edge.shop()).status == 200
            before = edge.memory_bytes
            with ExitStack() as sockets:
                for number in range(idle - 1):
                    one = sockets.enter_context(idler(edge.port, number))
                    if number % 2:
                        one.sendall(b"GET /.waitroom/drop/pulse HTTP/1.1\r\nHost: shop.example\r\n\r\n")
                        assert one.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
                    if number % 200 == 0:
                        assert (await edge.shop()).status == 200
                each = (edge.memory_bytes - before) / idle
                for number in range(idle // 10):  # and more than there are seats for: who is idle gives way
                    sockets.enter_context(idler(edge.port, number))

                assert (await edge.shop()).status == 200
            sys.stdout.write(f"{idle} idle connections: {each:.0f} bytes each\n")
            assert each < 16_384
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def idler(port: int, number: int) -> socket.socket:
    """Return a connection from one of many addresses of this machine: each has only so many ports."""
    return socket.create_connection(
        ("127.0.0.1", port), timeout=LIMIT_S, source_address=(f"127.0.0.{2 + number % 20}", 0)
    )


async def test_who_holds_every_connection_with_requests_is_told_from_the_rest_by_address(
    valkey_url: str, store: Origin
) -> None:
    go_on = asyncio.Event()

    async def held(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        await go_on.wait()
        writer.write(OK)

    store.scripts[b"/held"] = held
    more = "max_connections = 200\nmax_connections_per_address = 20"
    async with worker(valkey_url, store, more) as edge:
        attackers = [
            await asyncio.open_connection("127.0.0.1", edge.port, local_addr=("127.0.0.2", 0)) for _ in range(20)
        ]
        for _, writer in attackers:
            writer.write(request("GET /held"))
        await eventually(lambda: len(store.seen) == 20, within_s=LIMIT_S)
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, local_addr=("127.0.0.2", 0))
        refused = whole_reply(await ended(reader))

        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert (await edge.shop()).status == 200
        go_on.set()
        await closed(writer, *(writer for _, writer in attackers))


async def test_without_the_parser_in_c_nothing_starts(valkey_url: str, tmp_path: Path) -> None:
    file = tmp_path / "waitroom.toml"
    file.write_text(CONFIG.format(port=free_loopback().port, store="http://127.0.0.1:9", more=""))
    settings = {"WAITROOM_SECRET": "s" * 32, "REDIS_URL": f"{valkey_url}?db=3", "AIOHTTP_NO_EXTENSIONS": "1"}
    argv = [sys.executable, "-m", "waitroom", "_worker", "-c", str(file)]
    refused = subprocess.run(argv, env=os.environ | settings, capture_output=True, text=True, timeout=60, check=False)

    assert refused.returncode == 2
    assert "aiohttp: its C parser is missing" in refused.stderr


EVENTS = b"GET /.waitroom/drop/events HTTP/1.1\r\nHost: shop.example\r\n\r\n"


async def says(valkey_url: str, text: str) -> None:
    """Let ops say something to everybody who waits."""
    async with connected(RedisSettings(f"{valkey_url}?db=3", max_connections=1, timeout_ms=5000)) as runner:
        rooms = Rooms(runner, [RoomRules("drop")], Keys([b"s" * 32]), SystemClock())
        await rooms.control("drop", Change(ChangeKind.MESSAGE, text), who="ops")


async def test_who_follows_and_does_not_read_is_cut_off_and_the_others_hear_it_all(
    valkey_url: str, store: Origin
) -> None:
    async with worker(valkey_url, store) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(EVENTS)
        await reader.readuntil(b"data: ")
        before = edge.memory_bytes
        with ExitStack() as sockets:
            open_before = edge.open_files
            for _ in range(100):
                one = sockets.enter_context(socket.socket())
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                one.connect(("127.0.0.1", edge.port))
                one.sendall(EVENTS)
            await eventually(lambda: edge.open_files == open_before + 100, within_s=LIMIT_S)
            words = 0
            while edge.open_files > open_before:
                words += 1
                await says(valkey_url, f"{words} " + "x" * 480)
                await asyncio.wait_for(reader.readuntil(f'"message":"{words} '.encode()), LIMIT_S)
                assert words < 100, "nobody is cut off"
            grown = edge.memory_bytes - before
        assert (await edge.shop()).status == 200
        await closed(writer)

    assert grown < 100 * 20_000


async def test_what_is_sent_after_a_request_for_events_is_never_a_request_and_never_kept(
    valkey_url: str, store: Origin
) -> None:
    flood = b"GET /shop HTTP/1.1\r\nHost: shop.example\r\n\r\n" * 20_000
    async with worker(valkey_url, store) as edge:
        attackers = [await asyncio.open_connection("127.0.0.1", edge.port) for _ in range(50)]
        before = edge.memory_bytes
        for _, writer in attackers:
            writer.write(EVENTS + flood)
        for reader, _ in attackers:
            await reader.readuntil(b"data: ")
        await says(valkey_url, f"to all, {os.urandom(4).hex()}")
        heard = [await asyncio.wait_for(reader.readuntil(b'"message":"to all, '), LIMIT_S) for reader, _ in attackers]
        assert (await edge.shop()).status == 200
        grown = edge.memory_bytes - before
        for _, writer in attackers:
            writer.transport.abort()
        await closed(*(writer for _, writer in attackers))

    assert not any(b"HTTP/1.1" in one for one in heard)
    assert len(store.seen) == 1, "the shopper's own"
    assert grown < 50 * 20_000


async def test_who_holds_every_stream_of_an_address_or_of_the_worker_keeps_no_shopper_out(
    valkey_url: str, store: Origin
) -> None:
    more = "max_connections = 100\nmax_connections_per_address = 20\nmax_streams = 30"
    async with worker(valkey_url, store, more) as edge:
        streams = [await follows(edge, f"127.0.0.{2 + number // 20}") for number in range(30)]
        too_many_here = await send(edge.port, EVENTS.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, local_addr=("127.0.0.2", 0))
        too_many_there = whole_reply(await ended(reader))

        assert (too_many_here.status, too_many_here.kind) == (503, "too-many-streams")
        assert (too_many_there.status, too_many_there.kind) == (503, "busy")
        assert (await edge.shop()).status == 200
        await closed(writer, *streams)


async def follows(edge: Worker, address: str) -> asyncio.StreamWriter:
    reader, writer = await asyncio.open_connection("127.0.0.1", edge.port, local_addr=(address, 0))
    writer.write(EVENTS)
    await asyncio.wait_for(reader.readuntil(b"data: "), LIMIT_S)
    return writer


V2 = b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xcb\x00\x71\x07\xc0\x00\x02\x01\x9c\x40\x01\xbb"
V1 = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n"


@pytest.mark.parametrize("header", [V1, V2], ids=["version 1", "version 2"])
@pytest.mark.parametrize("trusted", ["127.0.0.0/8", "192.0.2.0/24"])
async def test_who_announces_whom(valkey_url: str, store: Origin, header: bytes, trusted: str) -> None:
    more = f'proxy_protocol = "required"\ntrusted_proxies = ["{trusted}"]'
    async with worker(valkey_url, store, more) as edge:
        reader, writer = await asyncio.open_connection("127.0.0.1", edge.port)
        writer.write(header + request("GET /shop", "X-Forwarded-For: 198.51.100.1"))
        heard = await ended(reader)
        await closed(writer)

    if trusted == "127.0.0.0/8":
        assert whole_reply(heard).status == 200
        assert store.only().all("X-Forwarded-For") == ["203.0.113.7"], "whom the balancer names is not one itself"
    else:
        assert (heard, store.seen) == (b"", [])


async def test_one_address_does_not_fill_an_idle_room(valkey_url: str, store: Origin) -> None:
    async with worker(valkey_url, store) as edge:
        ask = request("GET /drop/", "Accept: text/html", "Sec-Fetch-Mode: navigate")
        replies = [await send(edge.port, ask, limit_s=LIMIT_S) for _ in range(30)]

        assert {reply.status for reply in replies} == {200}
        assert 0 < len(store.seen) <= 21, "the others see the waiting page, and may do the work"


HAPROXY = """
defaults
  mode http
  timeout connect 10s
  timeout client 60s
  timeout server 60s
frontend shop
  bind 127.0.0.1:{port}
  default_backend room
backend room
  server room 127.0.0.1:{edge} send-proxy-v2
"""


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="no haproxy on this machine")
async def test_haproxy_announces_its_clients(valkey_url: str, store: Origin, tmp_path: Path) -> None:
    more = 'proxy_protocol = "required"\ntrusted_proxies = ["127.0.0.1/32"]'
    async with worker(valkey_url, store, more) as edge:
        port = free_loopback().port
        (tmp_path / "haproxy.cfg").write_text(HAPROXY.format(port=port, edge=edge.port))
        haproxy = subprocess.Popen(["haproxy", "-db", "-f", str(tmp_path / "haproxy.cfg")])
        try:
            await eventually(lambda: is_open(port), within_s=LIMIT_S)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.9", 0))
            writer.write(request("GET /shop"))
            heard = await ended(reader)
            await closed(writer)
        finally:
            haproxy.terminate()
            haproxy.wait(30)

    assert whole_reply(heard).status == 200
    assert store.only().all("X-Forwarded-For") == ["127.0.0.9"]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on this machine")
async def test_curl_announces_itself(valkey_url: str, store: Origin) -> None:
    more = 'proxy_protocol = "required"\ntrusted_proxies = ["127.0.0.0/8"]'
    async with worker(valkey_url, store, more) as edge:
        argv = ["curl", "--silent", "--haproxy-protocol", f"http://127.0.0.1:{edge.port}/shop"]
        curl = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
        told, _ = await curl.communicate()

    assert told == b"ok"


def is_open(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
