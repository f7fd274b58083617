"""One till behind two doors, with the hot path and without: the same checkout, ledger, stock and clock for both."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from aiohttp import web

from inventory_backend.app import Till, built
from inventory_backend.config import Config
from inventory_backend.door.front_door import FrontDoor
from tests.fakes import FakeClock
from tests.till import SIGNER
from tests.wire import settle, until_quiet
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.tokens import Pass

LIMIT_S = 20
_RID, _MOMENT = re.compile(rb"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), re.compile(rb"Date: [^\r]*\r\n")


@dataclass(frozen=True)
class Door:
    """One way into the till; who comes by it has a name of their own in the ledger."""

    name: str
    runner: web.AppRunner

    @property
    def port(self) -> int:
        return int(self.runner.addresses[0][1])

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way on any connection."""
        assert self.runner.server is not None
        for one in self.runner.server.connections:
            if one._request_count and (one._waiter is None or one._waiter.done()):
                return False
            if isinstance(one, FrontDoor) and (one._due is not None or one._later):
                return False
        return True

    async def open(self) -> "Caller":
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        return Caller(self, reader, writer)

    async def says(self, *pieces: bytes) -> tuple[bytes, bool]:
        """Send `pieces` one after the other; return what comes back, and whether the connection ended."""
        caller = await self.open()
        try:
            for piece in pieces:
                caller.writer.write(piece)
                await settle()
            return await caller.until_quiet()
        finally:
            caller.writer.close()


@dataclass(frozen=True)
class Caller:
    """The other end of a connection."""

    door: Door
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def answer(self) -> bytes:
        """Return one answer that has a Content-Length."""
        async with asyncio.timeout(LIMIT_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            found = re.search(rb"\r\nContent-Length: (\d+)", head)
            return head + await self.reader.readexactly(int(found[1]) if found else 0)

    async def until_quiet(self) -> tuple[bytes, bool]:
        """Return what comes until the connection ends, or until nobody is left who could say more; and which it was."""
        return await until_quiet(self.reader, lambda: 10 if self.door.is_idle else 1)


@dataclass(frozen=True)
class TwoDoors:
    """The till and its doors."""

    till: Till
    clock: FakeClock
    hot: Door
    cold: Door

    @property
    def both(self) -> tuple[Door, Door]:
        return self.hot, self.cold

    def shown(self, door: Door, shopper: str = "alice", *, room: str = "drop", lasts_ms: int = 60_000) -> bytes:
        """Return the pass of a shopper who comes by `door`."""
        now_ms = self.clock.now_ms()
        return SIGNER.sign(Pass(room, f"{shopper}-{door.name}", now_ms, now_ms + lasts_ms)).encode()

    def reserve(self, door: Door, shopper: str = "alice", *, key: str = "key", body: object = None) -> bytes:
        """Return a plain reserve."""
        wanted = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]} if body is None else body
        lines = [
            b"Host: shop.example",
            b"Content-Type: application/json",
            b"Waitroom-Pass: " + self.shown(door, shopper),
            b"Idempotency-Key: " + key.encode(),
        ]
        return post(json.dumps(wanted).encode(), *lines)


def post(body: bytes, *lines: bytes, target: bytes = b"/checkout/reserve") -> bytes:
    """Return a POST with `lines` and a `body` of the length that it announces."""
    return b"\r\n".join([b"POST %b HTTP/1.1" % target, *lines, b"Content-Length: %d" % len(body), b"", body])


def get(target: bytes, *lines: bytes, method: bytes = b"GET") -> bytes:
    """Return a request without a body."""
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: shop.example", *lines, b"", b""])


def sure(raw: bytes) -> bytes:
    """Return what of answers is the same for two shoppers and at two moments."""
    return _MOMENT.sub(b"", _RID.sub(b"RID", raw))


def statuses(raw: bytes) -> list[int]:
    """Return the statuses of answers."""
    return [int(found) for found in re.findall(rb"HTTP/1\.[01] (\d{3}) ", raw)]


@asynccontextmanager
async def two_doors(chosen: Config) -> AsyncIterator[TwoDoors]:
    """Give the till of `chosen` behind two doors, without its jobs."""
    clock = FakeClock(SystemClock().now_ms())
    async with built(chosen, SIGNER, clock) as till, AsyncExitStack() as stack:
        assert till.prompt is not None
        doors = []
        for name, one in (("hot", till), ("cool", replace(till, prompt=None))):
            runner = one.runner(drain_s=5)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            doors.append(Door(name, runner))
        yield TwoDoors(till, clock, *doors)


def pieces_of(data: bytes, cuts: Sequence[int]) -> Iterator[bytes]:
    """Return `data` in pieces that end at `cuts`."""
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
    start = 0
    for end in ends:
        if end > start:
            yield data[start:end]
            start = end
