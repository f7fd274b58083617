"""A shop whose store suffers or is gone, seen from before the gate: on real parts, with the hours of Redis turned."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse, web

from tests.edges import HTML, Front, Store, as_app, front
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Pass, PassSigner
from waitroom.rules.health import Circuit
from waitroom.rules.rooms import ALWAYS
from waitroom.store.audit import Audit
from waitroom.store.keys import RoomKeys

KEYS = RoomKeys("drop", ALWAYS)
HEALTH = {"target_ttfb": "2s", "min_requests": 5, "window": "4s", "probe_interval": "5s"}
MOMENTS = ("judged_ms", "slowed_ms", "circuit_ms", "probe_ms", "probe_until_ms")


async def fails(_request: web.Request) -> web.StreamResponse:
    return web.Response(status=500, text="oh no")


async def hangs(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def closes(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


class Shop:
    """A front, somebody who is inside, and a hand on the hours of Redis."""

    def __init__(self, front: Front, redis: ScriptRunner, keys: Keys, store: Store) -> None:
        self.front, self.redis, self.store = front, redis, store
        self.well, self.reached = store.answer, 0
        now_ms = SystemClock().now_ms()
        self.inside = as_app(PassSigner(keys).sign(Pass("drop", "ann", now_ms, now_ms + 200_000)))

    def suffers(self, how: Any) -> None:
        """Let the store answer so."""

        async def answer(request: web.Request) -> web.StreamResponse:
            self.reached += 1
            found: web.StreamResponse = await how(request)
            return found

        self.store.answer = answer  # type: ignore[method-assign]  # this store has its moods

    async def goes_by(self, ms: int) -> None:
        """Let time go by in Redis, and every worker report and tick."""
        for name in MOMENTS:
            held = await self.redis.client.hget(KEYS.room, name)
            if held and held != "0":
                await self.redis.client.hset(KEYS.room, name, str(int(held) - ms))
        held_samples: Any = await self.redis.client.zrange(KEYS.health, 0, -1, withscores=True)
        for member, at in held_samples:
            await self.redis.client.zadd(KEYS.health, {member: at - ms})
        await self.beat()

    async def beat(self) -> None:
        await self.front.edge.health.step()
        await self.front.tick()

    async def visits(self, count: int = 1) -> list[ClientResponse]:
        """Let somebody who is inside ask for so many pages, one after the other."""
        return [await self.front.get("/drop/shoe", headers={**HTML, **self.inside}) for _ in range(count)]

    def circuit(self) -> Circuit:
        snapshot = self.front.edge.board.get("drop")
        assert snapshot is not None
        return snapshot.health.circuit

    async def goes_down(self, how: Any = fails) -> None:
        self.suffers(how)
        await self.beat()
        await self.visits(5)
        await self.beat()
        await self.goes_by(1000)
        assert self.circuit() is Circuit.OPEN
        self.reached = 0


@asynccontextmanager
async def opened(redis: ScriptRunner, keys: Keys, store: Store, **health: Any) -> AsyncIterator[Shop]:
    upstream = {"first_byte_timeout": "200ms"}
    async with front(redis, keys, store, upstream=upstream, health=HEALTH | health) as found:
        yield Shop(found, redis, keys, store)


@pytest.fixture
async def shop(redis: ScriptRunner, keys: Keys, store: Store) -> AsyncIterator[Shop]:
    async with opened(redis, keys, store) as found:
        yield found


async def test_a_store_that_is_well_is_left_alone(shop: Shop) -> None:
    await shop.visits(10)
    await shop.beat()
    await shop.goes_by(1000)

    pulse = await (await shop.front.get("/.waitroom/drop/pulse")).json()
    assert shop.circuit() is Circuit.CLOSED
    assert "health" not in pulse
    assert pulse["rate_per_minute"] == 600


async def test_a_slow_store_slows_admission_and_the_pulse_says_so(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async def slow(_request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return web.Response(text="at last")

    async with opened(redis, keys, store, target_ttfb="10ms") as shop:
        shop.suffers(slow)
        await shop.visits(6)
        await shop.beat()
        await shop.goes_by(1000)

        pulse = await (await shop.front.get("/.waitroom/drop/pulse")).json()
        assert pulse["health"] == {"ratio": 0.6, "circuit": "closed"}
        assert pulse["rate_per_minute"] == pytest.approx(360)


async def test_what_hangs_is_noticed_while_it_hangs(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with opened(redis, keys, store, target_ttfb="10ms") as shop, asyncio.TaskGroup() as group:
        shop.suffers(hangs)
        waiting = [group.create_task(shop.visits()) for _ in range(8)]
        while shop.reached < 8:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        await shop.beat()
        await shop.goes_by(1000)

        snapshot = shop.front.edge.board.get("drop")
        assert snapshot is not None
        assert snapshot.health.ratio == pytest.approx(0.6)
        assert not any(task.done() for task in waiting)


@pytest.mark.parametrize("how", [fails, hangs, closes])
async def test_in_an_outage_whoever_is_inside_gets_a_page_that_tries_again(shop: Shop, how: Any) -> None:
    await shop.goes_down(how)
    (page,) = await shop.visits()

    assert page.status == 503
    assert page.content_type == "text/html"
    text = await page.text()
    assert "The shop is not answering right now. Your place inside is kept" in text
    assert 'http-equiv="refresh"' in text
    assert int(page.headers["Retry-After"]) == 5
    assert shop.reached == 0, "the store is left in peace"


async def test_in_an_outage_a_program_gets_a_problem(shop: Shop) -> None:
    await shop.goes_down()
    answer = await shop.front.post("/drop/buy", headers=shop.inside, data=b"x" * 200_000)

    assert (answer.status, answer.content_type) == (503, "application/problem+json")
    assert (await answer.json())["type"] == "urn:waitroom:problem:upstream-down"
    assert answer.headers["Retry-After"] == "5"
    assert shop.reached == 0


async def test_in_an_outage_the_pass_and_the_session_live_on(shop: Shop) -> None:
    await shop.goes_down()
    (page,) = await shop.visits()
    await shop.front.edge.toucher.step()

    assert "drop_pass" in page.headers["Set-Cookie"], "a third of its life had gone"
    ends = await shop.redis.client.zscore(KEYS.sessions, "ann")
    assert ends is not None
    assert ends > SystemClock().now_ms() + 290_000


async def test_without_feedback_a_failing_store_does_not_cost_the_pass_either(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store) as found:
        shop = Shop(found, redis, keys, store)
        shop.suffers(closes)
        first = await found.get("/drop/shoe", headers=HTML)

        assert first.status == 502
        assert "drop_pass" in first.headers["Set-Cookie"], "who came straight in is in"
        (page,) = await shop.visits()
        assert page.status == 502


async def test_in_an_outage_nobody_is_called_or_let_in(shop: Shop) -> None:
    await shop.goes_down()
    page = await shop.front.get("/drop/", headers=HTML)
    assert page.status == 200
    assert "waitroom" in await page.text()
    joined = await shop.front.join()
    for _ in range(5):
        await shop.goes_by(500)

    answer = await shop.front.post("/.waitroom/drop/queue/claim", headers=as_app(joined["ticket"]))
    assert answer.status == 425
    pulse = await (await shop.front.get("/.waitroom/drop/pulse")).json()
    assert (pulse["health"], pulse["lanes"]["main"]["called"]) == ({"ratio": 0.0, "circuit": "open"}, 0)
    assert shop.reached == 0


async def test_a_visitors_own_page_is_the_probe_and_opens_the_shop_again(shop: Shop) -> None:
    await shop.goes_down()
    await shop.goes_by(5000)
    shop.suffers(shop.well)
    refused = await shop.front.post("/drop/buy", headers=shop.inside, data=b"1")
    (page,) = await shop.visits()
    (still,) = await shop.visits()
    assert (refused.status, page.status, still.status) == (503, 200, 503), "one probe, and it is a plain one"
    assert shop.reached == 1

    await shop.beat()
    assert shop.circuit() is Circuit.HALF_OPEN
    assert [page.status for page in await shop.visits(3)] == [200] * 3
    await shop.goes_by(5000)
    assert shop.circuit() is Circuit.CLOSED
    told = [(entry.who, entry.what, entry.value) for entry in await Audit(shop.redis).read("drop")]
    assert told == [("health", "circuit", "closed"), ("health", "circuit", "open")]


async def test_a_probe_that_fails_leaves_the_circuit_open(shop: Shop) -> None:
    await shop.goes_down()
    await shop.goes_by(5000)
    (page,) = await shop.visits()
    assert (page.status, shop.reached) == (500, 1), "the visitor sees what the store said"
    await shop.beat()

    assert shop.circuit() is Circuit.OPEN
    assert [page.status for page in await shop.visits(3)] == [503] * 3
    assert shop.reached == 1


async def test_a_health_path_is_asked_by_the_worker_itself(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with opened(redis, keys, store, health_path="/healthy") as shop:
        await shop.goes_down()
        shop.suffers(shop.well)
        await shop.goes_by(5000)
        while not store.seen or store.seen[-1].path != "/healthy":
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.02)
        await shop.beat()

        assert shop.circuit() is Circuit.HALF_OPEN
        assert shop.reached == 1
        assert store.seen[-1].headers["User-Agent"] == "waitroom"


async def test_the_circuit_of_one_worker_is_that_of_all(
    redis: ScriptRunner, keys: Keys, store: Store, shop: Shop
) -> None:
    async with AsyncExitStack() as stack:
        other = await stack.enter_async_context(opened(redis, keys, store))
        await shop.goes_down()
        await other.beat()

        (page,) = await other.visits()
        assert page.status == 503
        await shop.goes_by(5000)
        await other.beat()
        assert [(await one.visits())[0].status for one in (shop, other)] == [500, 503], "one of them may try"


async def test_a_redis_that_lost_everything_knows_of_no_outage(shop: Shop) -> None:
    await shop.goes_down()
    await shop.redis.client.flushdb()
    await shop.front.tick()
    await shop.beat()

    assert shop.circuit() is Circuit.CLOSED
    await shop.visits(5)
    assert shop.reached == 5
    await shop.beat()
    await shop.goes_by(1000)
    assert shop.circuit() is Circuit.OPEN


async def test_without_redis_the_pass_is_worth_what_it_was(shop: Shop) -> None:
    await shop.goes_down()
    feedback = shop.front.edge.health
    feedback._heard_s -= 6  # as if it had been away for so long
    await shop.redis.client.delete(KEYS.room)
    await shop.redis.client.set(KEYS.room, "not a hash")

    with pytest.raises(StoreUnavailable):
        await feedback.step()
    await shop.visits()
    assert shop.reached == 1
