"""Redis is emptied in the middle of a sale, or hangs: nobody loses a place, nobody comes in twice."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.edges import Front, Store, as_app, front
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys
from waitroom.rules.challenges import solve
from waitroom.rules.scores import draw_score
from waitroom.store.keys import RoomKeys

CROWD = 2_000
AT_ONCE = 40
ROOM: dict[str, Any] = {
    "new_users_per_minute": 60_000.0,
    "total_active_users": 10_000,
    "challenge": {"difficulty": 8, "steps": 1},
    "poll": {"floor": "200ms", "ceiling": "1s"},
}


@dataclass
class Visitor:
    """Somebody with a ticket; `passes` are all they were ever given."""

    ticket: str
    ticket_id: str
    passes: list[str] = field(default_factory=list)
    generation: str = ""


class Crowd:
    """Everybody who waits, spread over the workers."""

    def __init__(self) -> None:
        self.chance = Random(7)
        self.visitors: list[Visitor] = []
        self.came: list[Visitor] = []

    async def join(self, workers: list[Front]) -> None:
        async def one() -> None:
            posed = await self.chance.choice(workers).challenge()
            solved = {"challenge": posed, "solution": solve(posed)}
            answer = await self.chance.choice(workers).post("/.waitroom/drop/queue/register", json=solved)
            assert answer.status == 201, await answer.text()
            told = await answer.json()
            self.visitors.append(Visitor(told["ticket"], told["ticket_id"]))

        await each([one for _ in range(CROWD)])

    async def present(self, workers: list[Front], generation: str) -> None:
        """Do what a page does when the pulse shows another generation: in any order, to any worker."""

        def of(visitor: Visitor) -> Any:
            async def one() -> None:
                answer = await self.chance.choice(workers).get(
                    "/.waitroom/drop/queue/status", headers=as_app(visitor.ticket)
                )
                assert answer.status == 200, await answer.text()
                assert (await answer.json())["state"] in {"waiting", "called"}
                visitor.generation = generation

            return one

        outside = [visitor for visitor in self.visitors if not visitor.passes and visitor.generation != generation]
        self.chance.shuffle(outside)
        await each([of(visitor) for visitor in outside])

    async def come(self, workers: list[Front], most: int) -> None:
        """Let everybody claim whose turn it is, in their order, until one is told to ask again."""
        waiting = [visitor for visitor in self.visitors if not visitor.passes]
        for visitor in waiting[:most]:
            answer = await self.chance.choice(workers).post(
                "/.waitroom/drop/queue/claim", headers=as_app(visitor.ticket)
            )
            if answer.status == 425:
                return
            assert answer.status == 200, await answer.text()
            visitor.passes.append((await answer.json())["pass"])
            self.came.append(visitor)


async def each(jobs: list[Any]) -> None:
    """Do all of `jobs`, some at a time."""
    waiting = iter(jobs)

    async def hand() -> None:
        for job in waiting:
            await job()

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(hand())


async def pulse(worker: Front) -> dict[str, Any]:
    await worker.tick()
    answer = await worker.get("/.waitroom/drop/pulse")
    return dict(await answer.json())


async def test_redis_is_flushed_twice_and_everybody_comes_in_once_in_the_order_drawn(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    crowd = Crowd()
    async with AsyncExitStack() as stack:
        before = [await stack.enter_async_context(front(redis, keys, store, opens_in_s=900, **ROOM)) for _ in range(3)]
        await crowd.join(before)
    async with AsyncExitStack() as stack:
        workers = [await stack.enter_async_context(front(redis, keys, store, opens_in_s=-1, **ROOM)) for _ in range(3)]
        told = await pulse(workers[0])
        seed = bytes.fromhex(told["seed"])
        crowd.visitors.sort(key=lambda visitor: draw_score(seed, visitor.ticket_id))
        flushes = [CROWD // 4, CROWD // 2]
        while len(crowd.came) < CROWD:
            told = await pulse(crowd.chance.choice(workers))
            await crowd.present(workers, told["generation"])
            await crowd.come(workers, 200)
            if flushes and len(crowd.came) >= flushes[0]:
                flushes.pop(0)
                await redis.client.flushdb()
        for worker in workers:
            await worker.tick()
            for visitor in crowd.came:
                worker.edge.sessions.visit("drop", visitor.ticket_id, worker.edge.rooms.now_ms() + 60_000)
        await workers[0].edge.toucher.step()
        last = await workers[0].edge.rooms.tick("drop")
        inside = await redis.client.zcard(RoomKeys("drop", "opening").sessions)

    assert not flushes
    assert crowd.came == crowd.visitors, "in the order that the seed says"
    assert {len(visitor.passes) for visitor in crowd.visitors} == {1}
    assert (inside, last.sessions, last.main.waiting) == (CROWD, CROWD, 0)


@pytest.fixture
async def own_redis(tmp_path: Path) -> AsyncIterator[tuple[EmbeddedServer, ScriptRunner]]:
    """Give a server of our own, which a test may stop."""
    server = EmbeddedServer(tmp_path / "redis")
    await server.start()
    try:
        async with connected(RedisSettings(server.url, max_connections=4, timeout_ms=250)) as runner:
            yield server, runner
    finally:
        await server.stop()


async def test_while_redis_hangs_page_pulse_and_passes_work_and_no_join_is_lost(
    own_redis: tuple[EmbeddedServer, ScriptRunner], keys: Keys, store: Store
) -> None:
    server, redis = own_redis
    assert server.pid is not None
    async with front(redis, keys, store, **ROOM | {"new_users_per_minute": 60.0}) as shop:
        inside = await shop.get("/drop/", headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
        cookie = {"Cookie": inside.headers["Set-Cookie"].split(";")[0]}
        posed = await shop.challenge()
        solved = {"challenge": posed, "solution": solve(posed)}
        os.kill(server.pid, signal.SIGSTOP)
        try:
            began_s = SystemClock().tick_s()
            refused = await shop.post("/.waitroom/drop/queue/register", json=solved)
            with pytest.raises(StoreUnavailable):
                await shop.tick()
            page = await shop.get("/drop/", headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
            told = await shop.get("/.waitroom/drop/pulse")
            served = await (await shop.get("/drop/cart", headers=cookie)).text()
            took_s = SystemClock().tick_s() - began_s
        finally:
            os.kill(server.pid, signal.SIGCONT)
        async with asyncio.timeout(60):
            while (again := await shop.post("/.waitroom/drop/queue/register", json=solved)).status == 503:
                await SystemClock().sleep(0.1)
        await shop.edge.toucher.step()

    assert (refused.status, refused.headers["Retry-After"].isdigit()) == (503, True)
    assert (page.status, told.status) == (200, 200)
    assert served == "the store"
    assert again.status in {200, 201}
    assert took_s < 6
