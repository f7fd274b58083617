"""spin: the draw is turned once, after the opening and before anybody is called."""

import asyncio
from typing import Any

import pytest

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


@pytest.fixture
async def room(redis: ScriptRunner) -> Room:
    room = Room(redis, prequeue=-10_000, starts=0, awaited=30_000)
    await room.tick(-1)
    return room


async def test_before_the_first_tick_after_the_opening_nothing_is_turned(room: Room) -> None:
    assert await room.spin(0.25, at=-1) == ["early"]
    assert (await room.tick(0))["spin_source"] == ""
    assert await room.spin(0.25, at=0) == ["spun", "0.25", "beacon"]


async def test_where_redis_knows_nothing_there_is_nothing_to_turn(redis: ScriptRunner) -> None:
    assert await Room(redis).spin(0.25) == ["early"]


async def test_the_first_spin_counts_however_many_workers_bring_one(room: Room) -> None:
    await room.tick(0)
    replies = await asyncio.gather(*(room.spin(number / 10, f"worker {number}") for number in range(1, 9)))

    assert len({tuple(reply) for reply in replies}) == 1
    assert (await room.tick(1))["spin_source"] == replies[0][2]
    assert await room.redis.client.xlen(KEYS.audit) == 1


async def test_a_draw_that_went_on_without_a_spin_is_not_turned_later(room: Room) -> None:
    await room.tick(0)
    await room.tick(30_000)

    assert await room.spin(0.25, at=30_001) == ["spun", "0", "none"]
    assert (await room.tick(30_002))["spin"] == "0"


async def test_after_the_first_call_nothing_is_turned(room: Room) -> None:
    await room.tick(0)
    await room.redis.client.hset(KEYS.line, "serving", "0.5")  # as after a restore that knew no spin

    assert await room.spin(0.25, at=1) == ["late"]


async def test_who_brought_it_is_written_down(room: Room) -> None:
    await room.tick(0)
    await room.spin(0.25, at=7)

    entries: Any = await room.redis.client.xrange(KEYS.audit)
    told = {"who": "ann", "what": "spin", "value": "3 17", "before": "", "why": "because"}
    assert [entry for _, entry in entries] == [told | {"at_ms": str(T0 + 7)}]
    assert await room.redis.client.pttl(KEYS.audit) > 0
