"""Anything at all, sent to every endpoint of our own: never a fault, never an effect that was refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.edges import Store, front
from tests.fakes import FakeClock
from tests.till import config, gateway, shop
from tests.wire import Reply, faults_of, request, send
from waitroom.console.door import Console
from waitroom.console.guard import Guard
from waitroom.console.sign_ins import Role
from waitroom.kernel.errors import BadToken
from waitroom.kernel.pages import Pages
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Ticket, TicketSigner
from waitroom.proxy.strict import server_log
from waitroom.rules.rooms import RoomRules
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms
from waitroom.wire.listener import Listener

ROUNDS = 150
"""How many requests one test sends; the seeds that hypothesis keeps make a fault come back."""
HOW = settings(
    max_examples=ROUNDS,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    database=None,
)

METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "CONNECT", "PROPFIND", "get", "É", ""]
OWN_PATHS = [
    "/.waitroom/healthz",
    "/.waitroom/readyz",
    *(
        f"/.waitroom/{room}/{what}"
        for room in ("drop", "nowhere", "%00", "%ff", "DROP", "..")
        for what in (
            "pulse",
            "wait",
            "challenge",
            "queue/register",
            "queue/slow",
            "queue/status",
            "queue/claim",
            "queue/leave",
        )
    ),
    "/.waitroom/",
    "/drop/",
]
TILL_PATHS = [
    "/checkout/reserve",
    "/checkout/commit",
    "/checkout/cancel",
    "/checkout/orders/",
    "/checkout/reservations/",
    "/sales/drop",
    "/sales/",
    "/drop/",
    "/drop/reserve",
    "/drop/checkout/x",
    "/drop/checkout/x/pay",
    "/drop/checkout/x/cancel",
    "/drop/orders/x",
    "/drop/leave",
    "/readyz",
    "/healthz",
]
OPS_PATHS = [
    "/",
    "/login",
    "/logout",
    "/metrics",
    "/healthz",
    "/api/rooms",
    "/api/rooms/drop",
    "/api/rooms/nowhere",
    "/api/rooms/drop/audit",
    *(f"/api/rooms/drop/{what}" for what in ("rate", "cap", "message", "pause", "resume", "end", "x")),
]
WORDS = [
    "",
    "drop",
    "null",
    "0",
    "-1",
    "9" * 5000,
    "NaN",
    "../",
    "%00",
    "%ff",
    "\x00",
    "<script>",
    "\xff",
    "=",
    ";",
    '"',
]
NAMES = [
    "Accept",
    "Accept-Encoding",
    "Authorization",
    "Connection",
    "Content-Encoding",
    "Content-Type",
    "Cookie",
    "Expect",
    "Forwarded",
    "Host",
    "Idempotency-Key",
    "If-None-Match",
    "Origin",
    "Range",
    "Referer",
    "Sec-Fetch-Mode",
    "Sec-Fetch-Site",
    "TE",
    "Transfer-Encoding",
    "Upgrade",
    "Via",
    "Waitroom-Pass",
    "Waitroom_Command",
    "X-Forwarded-For",
    "X-Forwarded-Proto",
    "X-Waitroom-Console",
    "X-Waitroom-Operator",
]
VALUES = [
    "text/html",
    "application/json",
    "application/json; charset=nope",
    "application/x-www-form-urlencoded",
    "application/x-www-form-urlencoded; charset=utf-16",
    "multipart/form-data; boundary=x",
    "navigate",
    "same-origin",
    "cross-site",
    "none",
    "http://[",
    "null",
    "http://shop.example",
    "Waitroom x.y",
    "Bearer x",
    "wr_drop_ticket=x; wr_drop_pass=y",
    "websocket",
    "Upgrade",
    "chunked",
    "gzip",
    "gzip;q=\xff",
    "100-continue",
    "bytes=0-1",
    "*",
    "1.2.3.4, ::1, x",
]

anything = st.binary(max_size=60)
text = st.one_of(st.sampled_from(WORDS + VALUES), st.text(max_size=30))
header = st.builds(
    lambda name, value: name.encode("latin-1") + b": " + value,
    st.sampled_from(NAMES),
    st.one_of(text.map(lambda found: found.encode("utf-8", "surrogatepass")), anything),
)
query = st.one_of(
    st.just(""),
    text.map(lambda found: f"?return_to={found}"),
    text.map(lambda found: f"?count={found}"),
    st.binary(max_size=20).map(lambda found: "?" + found.decode("latin-1")),
)
scalar = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text)
MEMBERS = "challenge solution return_to sale lines sku qty reservation_id payment provider method per_minute text why"
member = st.sampled_from([*MEMBERS.split(), "total_active_users", "__proto__", ""])
document = st.recursive(
    scalar, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(member, inner, max_size=5), max_leaves=12
)
body = st.one_of(
    st.none(),
    anything,
    document.map(lambda found: json.dumps(found).encode("utf-8", "surrogatepass")),
    st.lists(st.tuples(member, text), max_size=4).map(
        lambda pairs: "&".join(f"{name}={value}" for name, value in pairs).encode("utf-8", "surrogatepass")
    ),
)


def requests(paths: list[str]) -> "st.SearchStrategy[bytes]":
    """Return requests to `paths`, or close by: mostly such as a parser lets through."""

    def made(method: str, path: str, asked: str, headers: list[bytes], sent: bytes | None) -> bytes:
        clean = [line.replace(b"\r", b"").replace(b"\n", b"") for line in headers]
        target = (path + asked).replace(" ", "+").replace("\r", "").replace("\n", "").encode("utf-8", "surrogatepass")
        return request(f"{method} {target.decode('latin-1')}", *clean, body=sent)

    return st.builds(made, st.sampled_from(METHODS), st.sampled_from(paths), query, st.lists(header, max_size=6), body)


@dataclass
class Target:
    """One listener under fire, and the loop in which it lives."""

    port: int
    refused: int = 0
    served: int = 0

    async def fire(self, data: bytes) -> Reply:
        reply = await send(self.port, data)
        assert faults_of(reply) == [], (data, reply)
        assert "Set-Cookie" not in reply.headers or reply.status < 400
        self.refused, self.served = self.refused + (reply.status >= 400), self.served + (reply.status < 400)
        return reply


@asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[Target]:
    listener = Listener(app, access_log=None, logger=server_log(), handler_cancellation=True, auto_decompress=False)
    await listener.setup()
    try:
        await web.TCPSite(listener, "127.0.0.1", 0).start()
        yield Target(listener.addresses[0][1])
    finally:
        await listener.cleanup()


def shots(paths: list[str]) -> list[bytes]:
    """Draw the requests of one test."""
    drawn: list[bytes] = []

    @HOW
    @given(requests(paths))
    def draw(data: bytes) -> None:
        drawn.append(data)

    draw()
    return drawn


async def scripts_run(redis: ScriptRunner) -> int:
    stats: dict[str, Any] = await redis.client.info("commandstats")
    return sum(int(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("evalsha", "eval"))


async def everything(redis: ScriptRunner) -> dict[str, object]:
    """Return what Redis holds, but for meters."""
    found: dict[str, object] = {}
    async for key in redis.client.scan_iter("*"):
        kind = await redis.client.type(key)
        if kind == "zset":
            found[key] = await redis.client.zrange(key, 0, -1, withscores=True)
        elif kind == "stream":
            found[key] = await redis.client.xlen(key)
    return found


async def test_the_edge_stands_whatever_is_sent(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=600) as gate, listening(gate.edge.application) as target:
        for data in shots(OWN_PATHS):
            await target.fire(data)
        await gate.tick()
        pulse = await (await gate.get("/.waitroom/drop/pulse")).json()

        assert store.seen == []
        assert target.refused > ROUNDS // 4
        assert (pulse["phase"], pulse["lanes"]["main"]["called"]) == ("prequeue", 0)


async def test_what_is_refused_before_the_seal_costs_redis_nothing(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    """Whatever else is in a request: without a ticket or a solved challenge no script runs."""
    paths = [path for path in OWN_PATHS if not path.endswith("queue/slow")]  # whose price is waiting, not work
    async with front(redis, keys, store, opens_in_s=600) as gate, listening(gate.edge.application) as target:
        before, held = await scripts_run(redis), await everything(redis)
        for data in shots(paths):
            await target.fire(data)

        assert await scripts_run(redis) == before
        assert await everything(redis) == held


@HOW
@given(st.binary(max_size=400))
def test_no_bytes_are_a_token(data: bytes) -> None:
    keys = Keys([b"a-test-secret-that-is-32-bytes-long!"])
    signer = TicketSigner(keys)
    real = signer.sign(Ticket("drop", "opening", "main", "t" * 20, 0, 0.5))
    for text in (data.decode("latin-1"), data.decode("utf-8", "surrogateescape"), real + data.decode("latin-1")):
        try:
            found = signer.verify(text, room="drop", event="opening")
        except BadToken:  # any other fault would be a 500
            continue
        assert (text, found.ticket_id) == (real, "t" * 20)


async def test_the_till_stands_whatever_is_sent(tmp_path: Path, redis: ScriptRunner, valkey_url: str) -> None:
    chosen = config(tmp_path, f"{valkey_url}?db=1")
    async with gateway(), shop(chosen) as till, listening(till.till.app) as target:
        shown = f"Waitroom-Pass: {till.shopper('eve').headers()['Waitroom-Pass']}".encode()
        for number, data in enumerate(shots(TILL_PATHS)):
            line, _, rest = data.partition(b"\r\n")
            await target.fire(line + b"\r\n" + shown + b"\r\n" + rest if number % 2 else data)

        assert target.refused > ROUNDS // 4
        assert await till.available() == 10


async def test_the_console_stands_whatever_is_sent(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = Rooms(redis, [RoomRules("drop")], keys, clock)
    guard = Guard({Role.OPERATOR: "the-operator-token", Role.VIEWER: "the-viewer-token"}, keys, clock)
    console = Console(rooms, Audit(redis), guard, Pages(), clock)
    await rooms.tick("drop")
    async with listening(console.application()) as target:
        for number, data in enumerate(shots(OPS_PATHS)):
            line, _, rest = data.partition(b"\r\n")
            token = (b"", b"Authorization: Bearer the-viewer-token\r\n")[number % 2]
            await target.fire(line + b"\r\n" + token + rest)
        audit = await Audit(redis).read("drop", 10)

        assert audit == [], "who has no operator's token has changed nothing"
        for data in shots([path for path in OPS_PATHS if path.startswith("/api/rooms/drop/")]):
            line, _, rest = data.partition(b"\r\n")
            await target.fire(line + b"\r\nAuthorization: Bearer the-operator-token\r\n" + rest)


@pytest.mark.parametrize("end", [b"", b"\r\n", b"\r\n\r\n", b"\n\n"])
async def test_bytes_that_are_no_http_end_with_a_word_or_in_silence(
    redis: ScriptRunner, keys: Keys, store: Store, end: bytes
) -> None:
    drawn: list[bytes] = []

    @HOW
    @given(st.one_of(st.binary(min_size=1, max_size=200), requests(OWN_PATHS).map(lambda data: data[: len(data) // 2])))
    def draw(data: bytes) -> None:
        drawn.append(data)

    draw()
    async with front(redis, keys, store, opens_in_s=600) as gate, listening(gate.edge.application) as target:

        async def one(data: bytes) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
            writer.write(data + end)
            writer.write_eof()
            try:
                async with asyncio.timeout(60):
                    answer = await reader.read(-1)
            except ConnectionResetError:
                answer = b""
            writer.close()
            assert b" 500 " not in answer.partition(b"\r\n")[0], (data, answer)
            assert b"Traceback" not in answer

        for data in drawn[: ROUNDS // 3]:
            await one(data)
        assert (await gate.get("/.waitroom/healthz")).status == 200
        assert store.seen == []
