"""An edge whose visitors follow its room, in one process: real Redis, real connections, a clock that a test turns."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from tests.doors import LIMIT_S, Client, Doors, doors_of
from tests.edges import EASY
from tests.fakes import FakeClock
from waitroom.config import build
from waitroom.edge import Edge, edge_built
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind
from waitroom.wire.connections import Bounds
from waitroom.wire.serving import Served

EVENTS = b"GET /.waitroom/drop/events HTTP/1.1\r\nHost: shop.example\r\n\r\n"
ODD_EVENTS = b"GET /.waitroom/drop/events?x HTTP/1.1\r\nHost: shop.example\r\n\r\n"
"""The same, but not plain enough to be answered at once."""


@dataclass
class Followed(Doors):
    """A worker, as far as it is needed to be followed."""

    edge: Edge = None  # type: ignore[assignment]  # a dataclass that inherits defaults must have one
    served: Served = None  # type: ignore[assignment]  # as above
    clock: FakeClock = None  # type: ignore[assignment]  # as above

    async def step(self) -> None:
        """Let a tick pass, and what follows from it."""
        await self.edge.ticker.step()
        await self.edge.followers.step()

    async def say(self, text: str) -> None:
        """Let ops say something to everybody who waits, and let it be told."""
        await self.edge.rooms.control("drop", Change(ChangeKind.MESSAGE, text), who="ops")
        await self.step()

    async def follow(self, request: bytes = EVENTS, host: str = "127.0.0.1") -> Client:
        """Return a stream whose head and first event have been read."""
        client = await self.open(request, host)
        head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), LIMIT_S)
        assert head.startswith(b"HTTP/1.1 200 OK\r\n"), head
        assert (await heard(client))["room"] == "drop"
        return client


async def heard(client: Client) -> dict[str, Any]:
    """Return the next pulse of a stream."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            line = await client.reader.readline()
            assert line, "the stream has ended"
            if line.startswith(b"data: "):
                return dict(json.loads(line.removeprefix(b"data: ")))


def unchunked(body: bytes) -> bytes:
    """Return what travelled in chunks, all of it."""
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        piece, body = body[: int(size, 16)], body[int(size, 16) :]
        assert body.startswith(b"\r\n")
        whole, body = whole + piece, body[2:]
        if not piece:
            assert body == b""
            return whole
    raise AssertionError("it does not end")


@asynccontextmanager
async def followed(
    redis: ScriptRunner,
    keys: Keys,
    *,
    bounds: Bounds | None = None,
    edge: dict[str, Any] | None = None,
) -> AsyncIterator[Followed]:
    """Serve a room that can be followed, as a worker does, but for its signals and its clockwork."""
    clock = FakeClock(SystemClock().now_ms())  # rooms go by the clock of Redis
    written = {
        "edge": edge or {},
        "upstreams": [{"name": "store", "url": "http://127.0.0.1:9"}],
        "rooms": [{"name": "drop", "paths": ["/drop/"], "challenge": EASY}],
    }
    async with AsyncExitStack() as stack:
        built = await stack.enter_async_context(edge_built(build(written, {}), keys, redis, clock))
        await built.ticker.step()
        served = built.served
        doors = await stack.enter_async_context(doors_of(served, clock, bounds=bounds))
        parts = (doors.port, doors.connections, doors.listener, doors.acceptor, doors.clients)
        yield Followed(*parts, edge=built, served=served, clock=clock)
        await served.turn()
