"""An origin that logs raw bytes and answers from a script, and an edge in front of it: real sockets on both sides."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path

from aiohttp import web

from waitroom.kernel.answers import Handler, errors_become_answers
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.proxy.forward import Forwarder, OnHead
from waitroom.proxy.headers import identify
from waitroom.proxy.strict import odd_requests_are_refused, server_log
from waitroom.proxy.upstream import UpstreamLimits, connected

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
OK_HEAD = OK.removesuffix(b"ok")

Writer = asyncio.StreamWriter
Script = Callable[["Seen", asyncio.StreamReader, Writer], Awaitable[None]]


@dataclass(slots=True)
class Seen:
    """One request as it arrived at the origin."""

    head: bytes
    body: bytes
    connection: int

    @property
    def target(self) -> bytes:
        return self.head.split(b" ", 1)[1].rsplit(b" ", 1)[0].split(b" HTTP/1.1\r\n")[0]

    @property
    def headers(self) -> list[tuple[str, str]]:
        lines = self.head.decode("latin-1").split("\r\n")[1:]
        return [(name, value) for name, _, value in (line.partition(": ") for line in lines if line)]

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass
class Origin:
    """Scripts by path (without the query); a path without one is answered `OK`."""

    scripts: dict[bytes, bytes | Script] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    closed: list[int] = field(default_factory=list)
    url: str = ""
    reads_body: bool = True
    serving: set[Writer] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.connections += 1
        number = self.connections
        self.serving.add(writer)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                script = self.scripts.get(head.split(b" ")[1].split(b"?")[0], OK_HEAD if head[:5] == b"HEAD " else OK)
                seen = Seen(head, b"", number)
                self.seen.append(seen)
                if self.reads_body:
                    seen.body = await _body(reader, head)
                if isinstance(script, bytes):
                    writer.write(script)
                    if b"Connection: close" in script:
                        break
                else:
                    await script(seen, reader, writer)
                if writer.is_closing():
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.closed.append(number)
            await hang_up(writer)
            self.serving.discard(writer)

    def only(self) -> Seen:
        assert len(self.seen) == 1, self.seen
        return self.seen[0]


async def _body(reader: asyncio.StreamReader, head: bytes) -> bytes:
    low = head.lower()
    if b"\r\ncontent-length: " in low:
        return await reader.readexactly(int(low.split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0]))
    body = b""
    if b"\r\ntransfer-encoding: chunked" in low:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += await reader.readexactly(size)
            await reader.readuntil(b"\r\n")
        await reader.readuntil(b"\r\n")
    return body


@asynccontextmanager
async def origin() -> AsyncIterator[Origin]:
    """Serve on a free port while the block lasts."""
    made = Origin()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, limit=1 << 20)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        while made.serving:
            for writer in made.serving:
                writer.transport.abort()
            await asyncio.sleep(0.001)


async def hang_up(writer: Writer) -> None:
    """Close, and wait until it is done."""
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@dataclass
class Edge:
    """The proxy in an aiohttp server, as the application runs it."""

    port: int = 0
    scheme: str = "http"
    trusted: tuple[str, ...] = ()
    waitroom_pass: str | None = "signed.pass"  # no secret
    on_head: OnHead | None = None
    handled: int = 0
    done: int = 0
    visitors: list[Writer] = field(default_factory=list)
    closes: list[int | None] = field(default_factory=list)
    forwarder: Forwarder | None = None

    async def open(self) -> tuple[asyncio.StreamReader, Writer]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        self.visitors.append(writer)
        return reader, writer

    async def talk(self, request: bytes) -> bytes:
        """Send bytes, return all that comes back until the edge closes."""
        reader, writer = await self.open()
        writer.write(request)
        async with asyncio.timeout(60):
            return await reader.read(-1)

    def leave(self) -> None:
        assert self.forwarder is not None
        self.forwarder.leave()

    async def head(self, request: bytes) -> bytes:
        """Send bytes, return the head of the answer."""
        reader, writer = await self.open()
        writer.write(request)
        async with asyncio.timeout(60):
            return await reader.readuntil(b"\r\n\r\n")

    async def get(self, target: bytes = b"/", *headers: bytes, method: bytes = b"GET") -> bytes:
        return await self.talk(request(target, *headers, method=method))


def request(target: bytes = b"/", *headers: bytes, method: bytes = b"GET", body: bytes = b"") -> bytes:
    """Return a request that asks to close, its header lines as given."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: shop.example", b"Connection: close", *headers, b"", body]
    return b"\r\n".join(lines)


async def unused(request: web.Request) -> web.Response:
    raise AssertionError("the middleware answers")


@asynccontextmanager
async def edge(
    url: str, limits: UpstreamLimits | None = None, *, clock: Clock | None = None, ca_file: Path | None = None
) -> AsyncIterator[Edge]:
    """Serve the proxy before `url` on a free port while the block lasts."""
    made = Edge()
    limits, clock = limits or UpstreamLimits(), clock or SystemClock()
    async with connected("store", url, limits, clock=clock, ca_file=ca_file) as upstream:
        made.forwarder = forwarder = Forwarder(upstream)

        @web.middleware
        async def forward(request: web.Request, handler: Handler) -> web.StreamResponse:
            # not in a route: no pattern of aiohttp's matches a target like `http://shop.example`
            made.handled += 1
            networks = [ip_network(network) for network in made.trusted]
            raw = request.raw_headers
            identity = identify(
                request.remote or "", raw, networks, scheme=made.scheme, waitroom_pass=made.waitroom_pass
            )
            try:
                return await forwarder.forward(request, identity, made.on_head)
            finally:
                made.done += 1

        async def not_yet(request: web.Request) -> None:
            return None

        app = web.Application(middlewares=[errors_become_answers, odd_requests_are_refused, forward])
        app.router.add_route("*", "/{tail:(?s:.*)}", unused, expect_handler=not_yet)
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            auto_decompress=False,
            access_log=None,
            logger=server_log(),
            shutdown_timeout=1,
            max_field_size=65536,
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        made.port = runner.addresses[0][1]
        try:
            yield made
        finally:
            for writer in made.visitors:
                await hang_up(writer)
            await runner.cleanup()
