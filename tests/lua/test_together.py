"""Eight workers at once on one room, on Redis's own clock: rate and cap hold as if there were one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import pairwise

import pytest

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected

NOW = -T0
"""As `at`: what production passes, Redis's own clock."""


@pytest.fixture
async def workers(redis: ScriptRunner, valkey_url: str) -> AsyncIterator[list[ScriptRunner]]:
    """Give eight workers with connections of their own, on the empty database."""
    async with AsyncExitStack() as stack:
        settings = RedisSettings(f"{valkey_url}?db=1", max_connections=2, timeout_ms=5000)
        yield [await stack.enter_async_context(connected(settings)) for _ in range(8)]


async def clock_ms(redis: ScriptRunner) -> int:
    seconds, micros = await redis.client.time()
    return int(seconds) * 1000 + int(micros) // 1000


async def test_the_rate_is_that_of_one(redis: ScriptRunner, workers: list[ScriptRunner]) -> None:
    rooms = [Room(worker, rate=1200, cap=100_000) for worker in workers]
    born = (await rooms[0].tick(NOW))["now"]
    tickets = await rooms[0].crowd(1000, NOW)
    admitted: list[str] = []
    last = [born]

    async def work(number: int) -> None:
        room, straight = rooms[number], 0
        for _ in range(60):
            last.append((await room.tick(NOW))["now"])
            waiting = [ticket for ticket in tickets if ticket not in admitted][:12]  # everybody asks for the same
            admitted.extend(ticket for ticket in await room.claims(waiting, NOW) if ticket not in admitted)
            straight += (await room.enter(f"{number}-{straight}", NOW))[0] == "admitted"
        assert straight == 0, "nobody comes in past the line"

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(work(number))
    snapshot = await rooms[0].tick(NOW)

    last = sorted([*last, snapshot["now"]])
    idle_ms = sum(max(0, later - earlier - 1000) for earlier, later in pairwise(last))  # this machine held its breath
    earned = 1 + (snapshot["now"] - born) / 50
    assert snapshot["called"] <= earned
    assert snapshot["called"] > earned - 1 - idle_ms / 50, "and nothing is lost between eight"
    assert snapshot["admitted"] == len(admitted) == len(set(admitted))
    assert set(admitted) <= set(tickets[: snapshot["called"]])


async def test_the_cap_is_never_exceeded_and_everybody_comes_in_once(
    redis: ScriptRunner, workers: list[ScriptRunner]
) -> None:
    rooms = [Room(worker, rate=600_000, cap=5) for worker in workers]
    await rooms[0].tick(NOW)
    tickets = await rooms[0].crowd(200, NOW)
    came: list[str] = []
    most = 0

    async def work(number: int) -> None:
        nonlocal most
        room = rooms[number]
        while len(came) < len(tickets):
            await room.tick(NOW)
            for ticket in [ticket for ticket in tickets if ticket not in came][:8]:
                reply, again = await asyncio.gather(room.claim(ticket, NOW), room.claim(ticket, NOW))
                most = max(most, int(await redis.client.zcard(KEYS.sessions)))
                if "admitted" in (reply[0], again[0]) and ticket not in came:
                    came.append(ticket)
                    await room.release(ticket, NOW, (await clock_ms(redis)) - T0 + 300_000)

    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(work(number))
    snapshot = await rooms[0].tick(NOW)

    assert most <= 5
    assert sorted(came) == sorted(tickets)
    assert (snapshot["admitted"], snapshot["sessions"], snapshot["outstanding"]) == (200, 0, 0)
