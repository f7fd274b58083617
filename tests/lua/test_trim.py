"""A line that never ends forgets who lapsed long ago, a few at a time, and nobody's place changes by it."""

from itertools import pairwise

from tests.lua.room import Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner

HOUR_MS = 3_600_000
TRIM_MS = 24 * HOUR_MS
MANY = 20_000


async def long_line(redis: ScriptRunner, *, since: float = 1.0) -> Room:
    """Give a room in which MANY lapsed in the first hour, and three wait; it has ticked up to a day later."""
    room = Room(redis, rate=60_000_000, cap=10**9, settle_ms=10_000, keep_ms=100 * TRIM_MS, trim_ms=TRIM_MS)
    await room.tick()
    await redis.client.zadd(KEYS.queue, {f"g{number}": since + number for number in range(MANY)})
    for at in (1000, HOUR_MS, 2 * HOUR_MS, TRIM_MS):
        await room.tick(at)
    await room.control("pause", at=TRIM_MS)
    for number in range(3):
        await room.join(f"w{number}", TRIM_MS, score=float(10 * MANY + number))
    return room


async def test_the_lapsed_are_forgotten_a_few_in_each_tick_and_those_who_wait_are_not(redis: ScriptRunner) -> None:
    room = await long_line(redis)
    sizes, places = [], []
    for number in range(60):
        snapshot = await room.tick(TRIM_MS + HOUR_MS + 250 * number)
        sizes.append(await redis.client.zcard(KEYS.queue))
        places.append([(await room.join(f"w{number}", TRIM_MS, kept=10.0 * MANY + number))[2] for number in range(3)])
        assert (snapshot["waiting"], snapshot["called"]) == (3, MANY)

    assert sizes[-1] == 3
    assert max(before - after for before, after in pairwise(sizes)) == 500
    assert places == [[0, 1, 2]] * 60


async def test_nobody_is_forgotten_before_the_time(redis: ScriptRunner) -> None:
    room = await long_line(redis)
    await room.tick(TRIM_MS + HOUR_MS - 1)

    assert await redis.client.zcard(KEYS.queue) == MANY + 3


async def test_a_forgotten_ticket_that_is_presented_again_has_lapsed(redis: ScriptRunner) -> None:
    room = await long_line(redis)
    for number in range(60):
        await room.tick(TRIM_MS + HOUR_MS + 250 * number)

    assert (await room.join("g7", TRIM_MS + 2 * HOUR_MS, kept=8.0))[0] == "lapsed"
    assert await room.claim("g7", TRIM_MS + 2 * HOUR_MS) == ["lapsed"]
    assert (await room.join("g8", TRIM_MS + 2 * HOUR_MS, score=9.0))[0] == "waiting", "a new one has a new place"


async def test_those_who_came_in_are_forgotten_with_them(redis: ScriptRunner) -> None:
    room = await long_line(redis)
    await redis.client.zadd(KEYS.claimed, {f"g{number}": 1.0 + number for number in range(MANY)})
    for number in range(60):
        await room.tick(TRIM_MS + HOUR_MS + 250 * number)

    assert await redis.client.zcard(KEYS.claimed) == 0


async def test_the_draw_stays_whole_for_its_proof(redis: ScriptRunner) -> None:
    room = await long_line(redis)
    await redis.client.zadd(KEYS.queue, {"head": -5.0, "drawn": 0.5})
    for number in range(60):
        await room.tick(TRIM_MS + HOUR_MS + 250 * number)

    assert await redis.client.zcard(KEYS.queue) == 3 + 2
