"""enter: straight in, while nobody has to wait."""

from math import ceil

import pytest

from tests.lua.room import T0, Room
from waitroom.kernel.redis import ScriptRunner


async def test_somebody_goes_straight_in_and_a_call_sent_again_changes_nothing(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()

    assert await room.enter("a") == ["admitted", T0 + 300_000]
    assert await room.enter("a", 1000) == ["admitted", T0 + 300_000]
    assert (await room.tick(1000))["admitted"] == 1


async def test_a_room_without_state_says_so(redis: ScriptRunner) -> None:
    room = Room(redis)

    assert await room.enter("a") == ["unloaded"]
    await room.tick()
    await redis.client.flushdb()
    assert await room.enter("a") == ["unloaded"]


async def test_the_rate_bounds_who_goes_straight_in(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60)
    await room.tick()
    seen = [(await room.enter(f"s{at}", at))[0] for at in range(0, 5001, 500)]

    assert seen == ["admitted", "wait"] * 5 + ["admitted"]
    assert await room.enter("one more", 5001) == ["wait", "rate"]


async def test_a_rate_of_one_in_seven_minutes_is_kept_to_the_millisecond(redis: ScriptRunner) -> None:
    room = Room(redis, rate=1 / 7)
    await room.tick()
    await room.enter("first")

    assert await room.enter("second", 7 * 60_000 - 1) == ["wait", "rate"]
    assert (await room.enter("second", 7 * 60_000))[0] == "admitted"


async def test_asking_a_thousand_times_a_second_neither_gains_nor_loses(redis: ScriptRunner) -> None:
    room = Room(redis, rate=0.7, cap=100)
    await room.tick()
    await room.enter("first")
    last = ceil(60_000 / 0.7)
    for at in range(0, last, 97):
        await room.tick(at)

    assert await room.enter("second", last - 1) == ["wait", "rate"]
    assert (await room.enter("second", last))[0] == "admitted"


async def test_the_cap_bounds_who_goes_straight_in(redis: ScriptRunner) -> None:
    room = Room(redis, cap=2)
    await room.tick()
    await room.tick(1000)

    assert [(await room.enter(name, 1000))[0] for name in "abc"] == ["admitted", "admitted", "wait"]
    assert await room.enter("c", 1001) == ["wait", "cap"]
    await room.ticked(302_000, 1000)
    assert await room.enter("c", 302_999) == ["wait", "cap"], "the last touch may be on its way"
    assert (await room.enter("c", 303_000))[0] == "admitted"


async def test_whoever_waits_comes_first(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("early")

    assert await room.enter("late", 1000) == ["wait", "line"]


async def test_a_token_and_a_seat_are_kept_for_whoever_was_called(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=2)
    await room.tick()
    await room.join("called")
    await room.tick()

    assert await room.enter("late", 999) == ["wait", "rate"]
    assert (await room.enter("late", 1000))[0] == "admitted"
    assert await room.enter("later", 9000) == ["wait", "cap"]
    assert (await room.claim("called", 9000))[0] == "admitted"


@pytest.mark.parametrize(
    ("at", "reply"), [(-500, ["wait", "prequeue"]), (0, ["admitted", T0 + 300_000]), (1000, ["wait", "ended"])]
)
async def test_the_times_of_the_event_decide(redis: ScriptRunner, at: int, reply: list[str | int]) -> None:
    room = Room(redis, prequeue=-1000, starts=0, ends=1000)
    await room.tick(-1000)

    assert await room.enter("a", at) == reply


async def test_nobody_comes_in_while_ops_hold_the_room_and_no_burst_follows(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.control("pause")
    assert await room.enter("a", 1000) == ["wait", "paused"]
    await room.control("resume", at=60_000)

    assert [(await room.enter(name, 60_000))[0] for name in "ab"] == ["admitted", "wait"]
    await room.control("end", at=60_001)
    assert await room.enter("c", 70_000) == ["wait", "ended"]


async def test_a_burst_holds_one_second_and_one(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600)
    await room.tick()
    seen = [(await room.enter(f"s{number}", 3_600_000))[0] for number in range(20)]

    assert seen == ["admitted"] * 11 + ["wait"] * 9


async def test_zero_asks_the_clock_of_redis(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick(-T0)
    seconds, _ = await redis.client.time()
    _, end = await room.enter("a", -T0)

    assert 0 <= end - 300_000 - seconds * 1000 < 60_000
