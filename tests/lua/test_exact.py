"""Rate and cap to the last visitor: at every tick and rate, by many workers at once, over pauses and back to idle."""

import asyncio
from contextlib import AsyncExitStack
from itertools import count
from math import floor
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected

NOW = -T0
"""As `at`: what production passes, the clock of Redis, which many workers at once cannot turn back."""
RATES = st.one_of(st.sampled_from([1 / 7, 0.2, 7.0, 90.0, 599.9]), st.floats(0.01, 3000.0))
SPACES = st.lists(st.integers(1, 1000), min_size=20, max_size=150)
SLOW_TO_SET_UP = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def due(rate: float, ms: int) -> int:
    """Return how many come in within `ms` of a room's birth: one at once, the others by time."""
    return floor(1 + ms * rate / 60_000 + 1e-9)


async def filled(room: Room, size: int, at: int = 0) -> int:
    """Begin anew with so many in line; return when, on the clock of Redis."""
    await room.redis.client.flushdb()
    born_ms = int((await room.tick(at))["now"])
    await room.redis.client.zadd(KEYS.queue, {f"t{number}": float(number + 1) for number in range(size)})
    return born_ms


def runner(url: str, stack: AsyncExitStack) -> "asyncio.Future[ScriptRunner]":
    connecting = connected(RedisSettings(f"{url}?db=4", max_connections=4, timeout_ms=5000))
    return asyncio.ensure_future(stack.enter_async_context(connecting))


async def test_an_hour_at_ninety_a_minute(redis: ScriptRunner) -> None:
    room = Room(redis, rate=90.0, cap=10**6, duration_ms=10**8, keep_ms=10**8)
    await filled(room, 5500)
    admitted = 0
    for second in range(3601):
        called = (await room.tick(second * 1000))["called"]
        replies = [await room.claim(f"t{number}", second * 1000) for number in range(admitted, called)]
        admitted += sum(reply[0] == "admitted" for reply in replies)
        assert admitted == due(90.0, second * 1000)


@SLOW_TO_SET_UP
@given(rate=RATES, spaces=SPACES)
def test_at_every_tick_as_many_came_in_as_the_rate_gave(valkey_url: str, rate: float, spaces: list[int]) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            room = Room(await runner(valkey_url, stack), rate=rate, cap=10**6)
            await filled(room, due(rate, sum(spaces)) + 1)
            admitted, at = 0, 0
            for space in spaces:
                at += space
                called = (await room.tick(at))["called"]
                replies = await asyncio.gather(*[room.claim(f"t{number}", at) for number in range(admitted, called)])
                admitted += sum(reply[0] == "admitted" for reply in replies)
                assert admitted == due(rate, at)

    asyncio.run(run())


@SLOW_TO_SET_UP
@given(rate=RATES, cap=st.integers(0, 30), workers=st.integers(2, 8), seed=st.integers(0, 2**32))
def test_many_workers_at_once_let_in_no_more_than_one_would(
    valkey_url: str, rate: float, cap: int, workers: int, seed: int
) -> None:
    """Each on connections of its own: they tick, enter and claim, all for the same tickets."""

    async def run() -> None:
        async with AsyncExitStack() as stack:
            rooms = [Room(await runner(valkey_url, stack), rate=rate, cap=cap) for _ in range(workers)]
            born_ms = await filled(rooms[0], 60, NOW)
            names, most, came = count(), [0], set[str]()

            async def work(room: Room, chance: Random) -> None:
                for _ in range(15):
                    ticket = f"t{chance.randrange(12)}"
                    snapshot, claimed, entered = await asyncio.gather(
                        room.tick(NOW), room.claim(ticket, NOW), room.enter(f"s{next(names)}", NOW)
                    )
                    most[0] = max(most[0], await room.redis.client.zcard(KEYS.sessions), snapshot["sessions"])
                    if claimed[0] == "admitted":
                        came.add(ticket)
                    assert entered[0] == "wait", "nobody comes in past those who wait"

            await asyncio.gather(*[work(room, Random(seed + number)) for number, room in enumerate(rooms)])
            snapshot = await rooms[0].tick(NOW)
            assert snapshot["admitted"] == len(came) <= due(rate, snapshot["now"] - born_ms)
            assert most[0] <= cap
            assert len(came) <= cap

    asyncio.run(run())


@SLOW_TO_SET_UP
@given(rate=RATES, pause_ms=st.integers(1, 3_600_000), spaces=SPACES)
def test_after_a_pause_nobody_comes_in_faster_than_the_rate(
    valkey_url: str, rate: float, pause_ms: int, spaces: list[int]
) -> None:
    async def run() -> None:
        async with AsyncExitStack() as stack:
            room = Room(await runner(valkey_url, stack), rate=rate, cap=10**6)
            await filled(room, due(rate, sum(spaces)) + 3)
            await room.control("pause")
            await room.tick(pause_ms // 2)
            await room.control("resume", at=pause_ms)
            admitted, at = 0, pause_ms
            for space in [0, *spaces]:
                at += space
                called = (await room.tick(at))["called"]
                replies = await asyncio.gather(*[room.claim(f"t{number}", at) for number in range(admitted, called)])
                admitted += sum(reply[0] == "admitted" for reply in replies)
                assert due(rate, at - pause_ms) <= admitted + 1 <= due(rate, at - pause_ms) + 1

    asyncio.run(run())


@pytest.mark.parametrize("rate", [30.0, 600.0])
async def test_a_room_that_is_always_on_lets_straight_in_queues_and_drains_back_by_itself(
    redis: ScriptRunner, rate: float
) -> None:
    room = Room(redis, rate=rate, cap=10**6)
    first = await room.tick()
    straight = [(await room.enter(f"s{number}", 5000))[0] for number in range(40)]
    waiting = [f"t{number}" for number in range(10)]
    for number, ticket in enumerate(waiting):
        await room.join(ticket, 5000, score=number + 1.0)
    busy = await room.tick(5001)
    assert (first["phase"], busy["phase"]) == ("idle", "open")
    assert straight.count("admitted") < 40
    assert (await room.enter("late", 5001))[1] == "line"

    at = 5001
    while busy["phase"] == "open":
        at += 250
        busy = await room.tick(at)
        waiting = [ticket for ticket in waiting if (await room.claim(ticket, at))[0] != "admitted"]

    assert waiting == []
    assert at <= 5000 + 11 * 60_000 / rate + 1000
    assert (await room.enter("later", at + 60_000))[0] == "admitted", "and nobody waits any more"
