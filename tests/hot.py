"""One edge behind two doors, with the hot path and without: the same rooms, clock, keys, pages and store for both."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Any

from tests.doors import Client, Doors, doors_of
from tests.edges import EASY, HTML
from tests.fakes import FakeClock
from tests.origin import OK, Origin, Seen, Writer, origin
from tests.wire import settle
from waitroom.config import build
from waitroom.edge import Edge, edge_built
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Ticket
from waitroom.wire.connections import Bounds
from waitroom.wire.serving import Served

NAVIGATION = tuple(f"{name}: {value}".encode() for name, value in HTML.items())
HEALTHZ = b"GET /.waitroom/healthz HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"
"""Asked last: its answer says that everything before was taken for what it is, and then the connection ends."""


_NONCE = re.compile(rb"(nonce[-=]\"?)[\w-]{16}")
_LENGTH_OF_A_PAGE = re.compile(rb"Content-Length: 3\d\d\d\b")
_OF_A_PAGE, _DIGITS = re.compile(rb"<!doctype.*?</html>", re.DOTALL), re.compile(rb"\d+")

EVENT = {
    "name": "opening",
    "prequeue_start_time": datetime(2020, 1, 1, tzinfo=UTC),
    "event_start_time": datetime(2099, 1, 1, tzinfo=UTC),
    "event_end_time": datetime(2099, 1, 2, tzinfo=UTC),
}
ROOMS: list[dict[str, Any]] = [
    {"name": "drop", "paths": ["/drop/"], "exempt_paths": ["/drop/feed"], "events": [EVENT], "challenge": EASY},
    {"name": "open", "paths": ["/open/"], "queueing_method": "passthrough"},
    {"name": "shut", "paths": ["/shut/"], "queueing_method": "reject"},
    {"name": "full", "paths": ["/full/"], "events": [EVENT], "max_waiting": 1, "queueing_status_code": 503},
    {"name": "away", "hosts": ["away.example"], "paths": ["/away/"], "upstream": "other", "events": [EVENT]},
]


def get(target: bytes = b"/", *headers: bytes, method: bytes = b"GET", host: bytes = b"shop.example") -> bytes:
    """Return a request that keeps its connection, its header lines as given."""
    return b"\r\n".join([b"%b %b HTTP/1.1" % (method, target), b"Host: " + host, *headers, b"", b""])


@dataclass
class Site:
    """The edge, its two doors, and what stands behind."""

    edge: Edge
    served: Served
    clock: FakeClock
    store: Origin
    other: Origin
    hot: Doors
    cold: Doors

    @property
    def both(self) -> tuple[Doors, Doors]:
        return self.hot, self.cold

    def pass_cookie(self, room: str = "drop", session: str = "s" * 20, *, expires_in_s: float = 280) -> bytes:
        """Return the header line of somebody who is in."""
        expires_ms = self.edge.rooms.now_ms() + round(expires_in_s * 1000)
        return b"Cookie: " + self.edge._line.issue(room, session, expires_ms).cookie.partition(";")[0].encode()

    def ticket_cookie(self, room: str = "drop", *, is_slow: bool = False) -> bytes:
        """Return the header line of somebody who waits."""
        now_ms, line = self.edge.rooms.now_ms(), self.edge._line
        ticket = line.slow_ticket(room) if is_slow else Ticket(room, "opening", "main", "t" * 20, now_ms, 0.5)
        return f"Cookie: {line.cookies.ticket_name(room)}={line.cookies.sign_ticket(ticket)}".encode()

    async def fill(self, room: str) -> None:
        """Let as many wait in `room` as one that may hold a single visitor holds."""
        ticket = Ticket(room, "opening", "main", "f" * 20, self.edge.rooms.now_ms(), 0.5)
        await self.edge.rooms.join(ticket, is_new=True, committed=self.edge._line.snapshot(room).commitment)
        await self.edge.ticker.step()

    async def advance(self, seconds: float) -> None:
        """Let time go by, with a look at the rooms and at the connections."""
        await self.clock.advance(seconds)
        await self.edge.ticker.step()
        await self.served.turn()
        for doors in self.both:
            await doors.connections.sweep()

    async def forget(self) -> None:
        """Let nothing be ready: what comes is looked at."""
        await self.served.turn()

    def lane(self, upstream: str = "store") -> Any:
        """Return the connections to an upstream that rest, of the fast lane."""
        return self.edge.lane._tracks[upstream].pool._resting

    @property
    def carried(self) -> int:
        """How many answers went by the fast lane since the last pouring, of all upstreams."""
        return sum(len(track.pool._resting) for track in self.edge.lane._tracks.values())

    def seen(self) -> list[Seen]:
        """Return what arrived, and forget it."""
        found = [*self.store.seen, *self.other.seen]
        self.store.seen.clear()
        self.other.seen.clear()
        return found


class Held:
    """A script that waits until it may answer."""

    def __init__(self, answer: bytes = OK) -> None:
        self.answer, self.may_answer = answer, asyncio.Event()

    async def __call__(self, seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        await self.may_answer.wait()
        writer.write(self.answer)


async def heard(client: Client, pieces: bytes | list[bytes], *, is_half_closed: bool = False) -> bytes:
    """Send `pieces` one after the other; return all that comes back until the connection ends."""
    for piece in [pieces] if isinstance(pieces, bytes) else pieces:
        client.send(piece)
        if not isinstance(pieces, bytes):
            with suppress(ConnectionError):
                await client.writer.drain()
            await settle()
    if is_half_closed:
        client.writer.write_eof()
    return await client.rest()


def sure(raw: bytes) -> list[bytes]:
    """Return what of answers is the same each time: a page has a nonce, and tries again after a while that varies."""
    raw = _NONCE.sub(rb"\1", raw)
    if b"waiting room</title>" not in raw:
        raw = _OF_A_PAGE.sub(lambda page: _DIGITS.sub(b"", page[0]), _LENGTH_OF_A_PAGE.sub(b"", raw))
    return [line for line in raw.split(b"\r\n") if not line.startswith(b"Date: ")]


@asynccontextmanager
async def site(
    redis: ScriptRunner,
    keys: Keys,
    *,
    rooms: list[dict[str, Any]] | None = None,
    edge: dict[str, Any] | None = None,
    upstream: dict[str, Any] | None = None,
    bounds: Bounds | None = None,
    trusted: tuple[str, ...] = (),
) -> AsyncIterator[Site]:
    """Give an edge with its two doors, before two stores that answer from scripts."""
    clock = FakeClock(SystemClock().now_ms())  # rooms go by the clock of Redis
    async with AsyncExitStack() as stack:
        store, other = [await stack.enter_async_context(origin()) for _ in range(2)]
        written = {
            "edge": {"trusted_proxies": list(trusted)} | (edge or {}),
            "upstreams": [
                {"name": "store", "url": store.url} | (upstream or {}),
                {"name": "other", "url": other.url},
            ],
            "routes": [{"hosts": ["away.example"], "paths": ["/"], "upstream": "other"}],
            "rooms": rooms or ROOMS,
        }
        built = await stack.enter_async_context(edge_built(build(written, {}), keys, redis, clock))
        await built.ticker.step()
        served = built.served
        assert served.prompt is not None
        networks = tuple(ip_network(one) for one in trusted)
        hot, cold = [
            await stack.enter_async_context(doors_of(one, clock, bounds=bounds, trusted=networks))
            for one in (served, Served(built.application))
        ]
        found = Site(built, served, clock, store, other, hot, cold)
        try:
            yield found
        finally:
            for script in store.scripts.values():
                if isinstance(script, Held):
                    script.may_answer.set()
            await served.turn()
