"""freeze: one hash for all who were in the draw, kept once, worked out by one worker at a time."""

import pytest

from tests.lua.room import Room
from waitroom.kernel.redis import ScriptRunner

ROOT, OTHER = "aa" * 32, "bb" * 32


@pytest.fixture
async def room(redis: ScriptRunner) -> Room:
    room = Room(redis, prequeue=-10_000, starts=0)
    await room.tick(-1)
    return room


async def test_before_the_opening_there_is_no_roster(room: Room) -> None:
    assert await room.freeze(at=-1) == ["early"]
    assert await room.freeze(ROOT, 3, at=-1) == ["early"]


async def test_one_worker_at_a_time_works_it_out(room: Room) -> None:
    await room.tick(0)

    assert await room.freeze(at=0, worker="one") == ["yours"]
    assert await room.freeze(at=999, worker="two") == ["busy"]
    assert await room.freeze(at=500, worker="one") == ["yours"], "and may ask again"
    assert await room.freeze(at=1500, worker="two") == ["yours"], "the first one died over it"


async def test_the_first_root_counts_for_ever(room: Room) -> None:
    await room.tick(0)

    assert await room.freeze(ROOT, 3) == ["frozen", ROOT, 3]
    assert await room.freeze(OTHER, 4) == ["frozen", ROOT, 3]
    assert await room.freeze() == ["frozen", ROOT, 3]
    snapshot = await room.tick(1)
    assert (snapshot["roster_root"], snapshot["roster_count"]) == (ROOT, 3)


async def test_where_redis_was_lost_after_the_opening_only_a_root_from_memory_is_kept(room: Room) -> None:
    await room.tick(0)
    await room.redis.client.flushdb()
    await room.tick(1)

    assert await room.freeze(at=1) == ["lost"], "who has come back by now is not who was there"
    assert await room.freeze(ROOT, 3, at=2) == ["frozen", ROOT, 3]
    assert await room.freeze(at=3) == ["frozen", ROOT, 3]
