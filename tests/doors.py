"""A listener with its bounds on a port of this machine, whose clock a test can turn."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiohttp import web
from prometheus_client import REGISTRY

from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.ports import listening
from waitroom.kernel.tasks import Loop, running
from waitroom.kernel.units import Address
from waitroom.proxy.inlet import PIECE_BYTES
from waitroom.proxy.strict import server_log
from waitroom.rules.visitors import Network
from waitroom.wire.accepting import Acceptor, Doorway
from waitroom.wire.connections import SWEEP_S, Bounds, Connections
from waitroom.wire.frame import Frame
from waitroom.wire.listener import Listener
from waitroom.wire.serving import Served

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
LAST_GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
LIMIT_S = 60

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


async def hello(request: web.Request) -> web.StreamResponse:
    """Say whom the request is from."""
    return web.Response(text=f"hello {request.remote}")


@dataclass
class Doors:
    """What listens, and who has come in."""

    port: int
    connections: Connections
    listener: Listener
    acceptor: Acceptor
    clients: "list[Client]" = field(default_factory=list)

    async def open(self, data: bytes = b"", host: str = "127.0.0.1") -> "Client":
        """Connect from this machine, and send `data`."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(host, 0))
        writer.write(data)
        self.clients.append(Client(reader, writer))
        return self.clients[-1]

    async def says(self, data: bytes = LAST_GET, host: str = "127.0.0.1") -> bytes:
        """Return all that comes back for `data` until the connection ends."""
        return await (await self.open(data, host)).rest()

    async def until(self, claim: Callable[[], bool]) -> None:
        """Wait until `claim()` is true."""
        async with asyncio.timeout(LIMIT_S):
            while not claim():
                await asyncio.sleep(0.005)


@dataclass
class Client:
    """The other end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def rest(self) -> bytes:
        """Return what comes until the connection ends, in whichever way."""
        found = b""
        async with asyncio.timeout(LIMIT_S):
            with suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    found += piece
        return found

    async def answer(self) -> bytes:
        """Return one answer with a Content-Length."""
        async with asyncio.timeout(LIMIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            return head + await self.reader.readexactly(length)

    def close(self) -> None:
        self.writer.close()


def cut(why: str) -> float:
    """Return how many connections were cut for that reason, since the process began."""
    return REGISTRY.get_sample_value("waitroom_connections_cut_total", {"why": why}) or 0.0


@asynccontextmanager
async def doors(
    answer: Answer = hello,
    *,
    bounds: Bounds | None = None,
    doorway: Doorway | None = None,
    trusted: tuple[Network, ...] = (),
    clock: Clock | None = None,
) -> AsyncIterator[Doors]:
    """Serve `answer` while the block lasts."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    listener = Listener(
        app, access_log=None, logger=server_log(), handler_cancellation=True, keepalive_timeout=600, shutdown_timeout=1
    )
    clock = clock or SystemClock()
    connections = Connections(bounds or Bounds(), trusted=trusted, clock=clock)
    frame = Frame(listener, connections.bounds, clock)
    async with opened(listener, connections, frame, doorway or Doorway()) as found:
        loops = [Loop("c", connections.sweep, SWEEP_S, 5), Loop("r", found.acceptor.sweep, SWEEP_S, 5)]
        async with running(*loops, clock=clock), guests_of(found):
            yield found


@asynccontextmanager
async def doors_of(
    served: Served, clock: Clock, *, bounds: Bounds | None = None, trusted: tuple[Network, ...] = ()
) -> AsyncIterator[Doors]:
    """Serve as a worker does, but for its signals and its clockwork."""
    listener = Listener(
        served.app,
        access_log=None,
        logger=server_log(),
        handler_cancellation=True,
        auto_decompress=False,
        keepalive_timeout=86_400.0,
        shutdown_timeout=1,
        max_line_size=16_384,
        read_bufsize=PIECE_BYTES,
        max_field_size=32_768,
    )
    connections = Connections(bounds or Bounds(), trusted=trusted, clock=clock)
    frame = Frame(listener, connections.bounds, clock, served.prompt, served.carry, served.stay, served.receive)
    async with opened(listener, connections, frame, Doorway()) as found, guests_of(found):
        yield found


@asynccontextmanager
async def opened(listener: Listener, connections: Connections, frame: Frame, doorway: Doorway) -> AsyncIterator[Doors]:
    """Listen on a port of this machine while the block lasts."""
    sockets = listening(Address("127.0.0.1", 0), setting="listen")
    port = sockets[0].getsockname()[1]
    await listener.setup()
    acceptor = Acceptor(sockets, frame, connections, doorway)
    acceptor.open()
    try:
        yield Doors(port, connections, listener, acceptor)
    finally:
        async with asyncio.timeout(LIMIT_S):
            await acceptor.close(1)
            connections.hang_up()
            await listener.cleanup()


@asynccontextmanager
async def guests_of(found: Doors) -> AsyncIterator[None]:
    """Show everybody out who came in while the block lasted."""
    try:
        yield
    finally:
        for client in found.clients:
            client.close()
            with suppress(OSError):
                await client.writer.wait_closed()
