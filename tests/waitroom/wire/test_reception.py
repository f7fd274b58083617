"""Joins at the front door, beside the longer way: the same bytes, in the order of the requests, whatever breaks."""

import asyncio
import json
import re
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.doors import Client, Doors, doors_of
from tests.edges import EASY
from tests.fakes import FakeClock
from tests.waitroom.gate.test_queueing import commands, fault_of
from waitroom.config import build
from waitroom.edge import Edge, edge_built
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys
from waitroom.rules.challenges import solve
from waitroom.rules.heads import MOST_BODY_BYTES, plain_head, plain_post
from waitroom.wire.serving import Served

_HELD_MS = 300
_PAST_ITS_TIME_S = 200.0
ROOM = "/.waitroom/drop"
REGISTER = f"{ROOM}/queue/register"
JSON = ("Content-Type: application/json",)


def post(target: str, body: bytes = b"", *headers: str, length: str | None = None) -> bytes:
    """Return a POST as bytes, its header lines as given."""
    told = str(len(body)) if length is None else length
    lines = [f"POST {target} HTTP/1.1", "Host: shop.example", *headers, f"Content-Length: {told}", "", ""]
    return "\r\n".join(lines).encode() + body


def register(sent: object, *headers: str) -> bytes:
    return post(REGISTER, json.dumps(sent).encode(), *JSON, *headers)


ASK = post(f"{ROOM}/challenge")
PULSE = f"GET {ROOM}/pulse HTTP/1.1\r\nHost: shop.example\r\n\r\n".encode()


@dataclass
class Site:
    """One edge behind two doors: with the hot path and without."""

    edge: Edge
    hot: Doors
    cold: Doors
    clock: FakeClock
    by_aiohttp: list[str] = field(default_factory=list)
    """What came to aiohttp by the hot door."""

    async def solved(self) -> dict[str, str]:
        client = await self.hot.open(ASK)
        challenge = json.loads((await client.answer()).partition(b"\r\n\r\n")[2])["challenge"]
        return {"challenge": challenge, "solution": solve(challenge)}


@asynccontextmanager
async def site(redis: ScriptRunner, keys: Keys, **room: Any) -> AsyncIterator[Site]:
    now, clock = datetime.now(UTC), FakeClock(SystemClock().now_ms())
    event = {
        "name": "opening",
        "prequeue_start_time": now - timedelta(hours=1),
        "event_start_time": now + timedelta(hours=1),
        "event_end_time": now + timedelta(hours=2),
    }
    drop = {"name": "drop", "paths": ["/drop/"], "queueing_method": "random", "challenge": EASY, "events": [event]}
    written = {"upstreams": [{"name": "store", "url": "http://127.0.0.1:9"}], "rooms": [drop | room]}
    async with AsyncExitStack() as stack:
        edge = await stack.enter_async_context(edge_built(build(written, {}), keys, redis, clock))
        await edge.ticker.step()
        hot, cold = edge.served, Served(edge.application)
        seen: list[str] = []

        async def note(request: web.Request, _answer: web.StreamResponse) -> None:
            seen.append(request.path)

        hot.app.on_response_prepare.append(note)
        doors = [await stack.enter_async_context(doors_of(served, clock)) for served in (hot, cold)]
        yield Site(edge, doors[0], doors[1], clock, seen)


def without_ids(answer: bytes) -> bytes:
    """Return an answer but for what differs between two that say the same: date, ids and their lengths."""
    answer = re.sub(rb"\r\nDate: [^\r]+", b"", answer)
    answer = re.sub(rb"[A-Za-z0-9_-]{60,}\.[A-Za-z0-9_-]{43}|[A-Za-z0-9_-]{80}|\"[A-Za-z0-9_-]{20}\"", b"ID", answer)
    return re.sub(rb"Content-Length: \d+", b"", answer)


async def answered(doors: Doors, *requests: bytes) -> list[bytes]:
    """Return the answers to requests that are sent at once on one connection."""
    client = await doors.open(b"".join(requests))
    return [await client.answer() for _ in requests]


async def test_who_joins_is_answered_without_aiohttp(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys) as shop:
        sent = await shop.solved()
        joined, again = await answered(shop.hot, register(sent), register(sent))

        assert joined.startswith(b"HTTP/1.1 201 Created\r\n")
        assert again.startswith(b"HTTP/1.1 200 OK\r\n")
        assert shop.by_aiohttp == []
        await shop.edge.ticker.step()
        assert shop.edge.board.get("drop").main.waiting == 1  # type: ignore[union-attr]  # it was ticked


async def test_a_place_is_the_same_bytes_on_both_ways(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys) as shop:
        first, second = await shop.solved(), await shop.solved()
        hot = [await answered(shop.hot, register(first)), await answered(shop.hot, register(second))]
        cold = [await answered(shop.cold, register(first)), await answered(shop.cold, register(second))]
        others = [await shop.solved() for _ in range(2)]
        turned = [await answered(doors, register(others[0])) for doors in (shop.cold, shop.hot)]

    assert hot[0][0].startswith(b"HTTP/1.1 201 ")
    assert without_ids(hot[0][0]) == without_ids(turned[0][0])
    assert without_ids(cold[0][0]) == without_ids(turned[1][0])
    for one, other in zip(hot, cold, strict=True):
        assert one[0].partition(b"\r\n\r\n")[2] == other[0].partition(b"\r\n\r\n")[2], "the very same ticket"


Change = Callable[[dict[str, str]], bytes]
FOR_BOTH: dict[str, Change] = {
    "challenge": lambda _: ASK,
    "challenge with a body": lambda _: post(f"{ROOM}/challenge", b"{}"),
    "no JSON": lambda _: post(REGISTER, b"{", *JSON),
    "half a body": lambda sent: register({"challenge": sent["challenge"]}),
    "a number for a text": lambda sent: register(sent | {"solution": 7}),
    "too long": lambda sent: register(sent | {"solution": "A" * 2000}),
    "more than is plain": lambda sent: register(sent | {"more": "A" * MOST_BODY_BYTES, "solution": "AAAA"}),
    "another type": lambda sent: post(REGISTER, json.dumps(sent).encode(), "Content-Type: text/plain"),
    "no type": lambda sent: post(REGISTER, json.dumps(sent).encode()),
    "an encoding": lambda sent: register(sent, "Content-Encoding: gzip"),
    "another site": lambda sent: register(sent, "Origin: https://evil.example"),
    "a cross site": lambda _: post(f"{ROOM}/challenge", b"", "Sec-Fetch-Site: cross-site"),
    "our own page": lambda _: post(f"{ROOM}/challenge", b"", "Origin: http://shop.example"),
    "a person": lambda sent: register(sent | {"solution": "AAAA"}, "Accept: text/html"),
    "an unknown room": lambda _: post("/.waitroom/other/challenge"),
    "a bad invite": lambda sent: register(sent | {"invite": "no.code"}),
    "a bad cookie": lambda sent: register(sent | {"solution": "AAAA"}, "Cookie: wr_drop_ticket=a.b; x=y"),
    "two lengths": lambda _: post(f"{ROOM}/challenge", b"", "Content-Length: 0"),
    "a length that is none": lambda _: post(f"{ROOM}/challenge", length="0x0"),
    "no host": lambda _: ASK.replace(b"Host: shop.example\r\n", b""),
}


@pytest.mark.parametrize("name", FOR_BOTH)
async def test_what_is_said_to_the_rest_is_the_same_on_both_ways(redis: ScriptRunner, keys: Keys, name: str) -> None:
    async with site(redis, keys) as shop:
        request = FOR_BOTH[name](await shop.solved())
        hot, cold = [await answered(doors, request) for doors in (shop.hot, shop.cold)]

    assert _without_nonce(without_ids(hot[0])) == _without_nonce(without_ids(cold[0]))


def _without_nonce(answer: bytes) -> bytes:
    return re.sub(rb"nonce[-=]\"?[A-Za-z0-9_-]+", b"nonce", answer)


async def test_work_that_was_not_done_is_refused_alike_and_costs_no_call_to_redis(
    redis: ScriptRunner, keys: Keys
) -> None:
    async with site(redis, keys) as shop:
        sent = await shop.solved()
        wrong = [register(bad) for bad, _ in fault_of(sent["challenge"], sent["solution"])]
        before = await commands(redis)
        hot = await answered(shop.hot, *wrong * 20)
        after = await commands(redis)
        cold = await answered(shop.cold, *wrong)
        await shop.clock.advance(_PAST_ITS_TIME_S)
        late = [(await answered(doors, register(sent)))[0] for doors in (shop.hot, shop.cold)]

    assert after == before, "a bad solution reached Redis"
    assert shop.by_aiohttp == []
    assert [without_ids(one) for one in hot[: len(wrong)]] == [without_ids(one) for one in cold]
    assert late[0].startswith(b"HTTP/1.1 410 ")
    assert without_ids(late[0]) == without_ids(late[1])


async def test_what_comes_while_redis_is_asked_is_answered_after_it(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys) as shop:
        sent = await shop.solved()
        heard = await answered(shop.hot, PULSE, register(sent), PULSE, register(sent), ASK, register({}), PULSE)

    assert [int(one[9:12]) for one in heard] == [200, 201, 200, 200, 200, 422, 200]
    assert b'"ticket"' in heard[3]


@pytest.mark.parametrize("cut", [1, 30, -1])
async def test_a_body_that_comes_in_pieces_is_taken_whole(redis: ScriptRunner, keys: Keys, cut: int) -> None:
    async with site(redis, keys) as shop:
        request = register(await shop.solved())
        client = await shop.hot.open(request[:cut])
        await client.writer.drain()
        await shop.hot.until(lambda: bool(shop.hot.connections))
        await settle()
        client.send(request[cut:])

        assert (await client.answer()).startswith(b"HTTP/1.1 201 ")


async def test_a_room_that_redis_lost_is_put_back_for_who_joins(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys) as shop:
        sent = await shop.solved()
        await redis.client.flushdb()
        heard = await answered(shop.hot, register(sent), PULSE)

        assert [one[9:12] for one in heard] == [b"201", b"200"]
        assert shop.by_aiohttp[0] == REGISTER


async def test_without_redis_who_joins_is_told_the_same_on_both_ways(keys: Keys) -> None:
    with tempfile.TemporaryDirectory(prefix="wr-test-") as folder:
        server = EmbeddedServer(Path(folder), append_only=False)
        await server.start()
        try:
            async with connected(RedisSettings(server.url, timeout_ms=2000)) as redis, site(redis, keys) as shop:
                sent = await shop.solved()
                await server.stop()
                hot, cold = [(await answered(doors, register(sent)))[0] for doors in (shop.hot, shop.cold)]
        finally:
            await server.stop()

    assert hot.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 2" in hot
    assert without_ids(hot) == without_ids(cold)


async def test_who_leaves_while_redis_is_asked_leaves_the_door_as_it_was(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys) as shop:
        gone, stays = await shop.solved(), await shop.solved()
        await asked_slowly(redis, shop, gone)
        client = shop.hot.clients[-1]
        client.writer.transport.abort()
        heard = await answered(shop.hot, register(stays))

        assert heard[0].startswith(b"HTTP/1.1 201 ")
        await shop.hot.until(lambda: len(shop.hot.connections) <= 3)


async def test_an_answer_that_comes_while_the_worker_leaves_is_the_last_of_its_connection(
    redis: ScriptRunner, keys: Keys
) -> None:
    async with site(redis, keys) as shop:
        client = await asked_slowly(redis, shop, await shop.solved())
        await shop.hot.listener.take_leave()
        heard = await client.rest()

    assert heard.startswith(b"HTTP/1.1 201 ")
    assert b"\r\nConnection: close\r\n" in heard


async def test_who_sends_no_more_still_hears_the_answer(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys) as shop:
        client = await asked_slowly(redis, shop, await shop.solved())
        client.writer.write_eof()

        assert (await client.rest()).startswith(b"HTTP/1.1 201 ")


async def asked_slowly(redis: ScriptRunner, shop: Site, sent: dict[str, str]) -> Client:
    """Return a client whose place Redis is asked for, and takes a while to give."""
    await redis.client.client_pause(_HELD_MS)
    client = await shop.hot.open(register(sent))
    await shop.hot.until(lambda: any(door._carriage is not None for door in guests(shop)))
    return client


def guests(shop: Site) -> list[Any]:
    return [seat.guest for seat in shop.hot.connections._seats if seat.guest is not None]


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize(
    "data",
    [
        post("/x", b"12345", length="4"),
        post("/x", b"1234"),
        post("/x"),
        b"POST /x HTTP/1.1\r\nHost: a\r\n\r\n",
        post("/x", b"1" * MOST_BODY_BYTES),
    ],
)
def test_a_plain_post_is_read_with_its_body_and_no_more(data: bytes) -> None:
    found = plain_post(data)

    assert found is not None
    head, body = found
    assert data.startswith(head.raw + body)
    assert int(head.headers.get("Content-Length", "0")) == len(body)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"POST",
        post("/x", b"123", length="4"),
        post("/x")[:-1],
        post("/x", b"1" * (MOST_BODY_BYTES + 1)),
        post("/x", length="+0"),
        post("/x", length="-1"),
        post("/x", length="0,0"),
        post("/x", length=""),
        post("/x", length="00000"),
        post("/x", length="\uff11"),
        post("/x", b"", "Content-Length: 0"),
        post("/x", b"", "Transfer-Encoding: chunked"),
        post("/x", b"", "Expect: 100-continue"),
        post("/x", b"", "Content-Type: a/b", "Content-Type: a/b"),
        post("/x", b"", "Connection: close"),
        post("/x", b"", "Authorization: Waitroom a.b"),
        post("/x").replace(b"HTTP/1.1", b"HTTP/1.0"),
        post("/x").replace(b"POST", b"PUT"),
        post("/x").replace(b"POST", b"GET"),
        post("http://shop.example/x"),
    ],
)
def test_what_is_no_plain_post_is_left_to_others(data: bytes) -> None:
    assert plain_post(data) is None


def test_a_get_with_a_length_is_still_not_plain() -> None:
    assert plain_head(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n") is None
    assert plain_head(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Type: a/b\r\n\r\n") is not None
