"""Lanes share what may be called: by weight, over any window, at the rate and cap of one line."""

from itertools import pairwise
from typing import Any

import pytest

from tests.lua.room import Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner
from waitroom.rules.lanes import PRIORITY, SLOW, LaneTerms, shares


async def fill(room: Room, **crowds: int) -> None:
    """Let that many stand in each lane, at the scores 1, 2, 3 and so on."""
    for lane, people in crowds.items():
        await room.redis.client.zadd(KEYS.of(lane).queue, {f"{lane}{n}": float(n) for n in range(1, people + 1)})


def called(told: dict[str, Any]) -> dict[str, int]:
    return {"main": told["called"]} | {lane: told[lane][1] for lane in (PRIORITY, SLOW) if lane in told}


@pytest.mark.parametrize("every_ms", [10, 250, 1000])
@pytest.mark.parametrize("rate", [7.0, 61.3, 600.0])
@pytest.mark.parametrize(("weight", "slow_share"), [(3.0, 0.1), (0.7, 0.33), (20.0, 0.01)])
async def test_each_lane_gets_its_share_over_any_window(
    redis: ScriptRunner, every_ms: int, rate: float, weight: float, slow_share: float
) -> None:
    room = Room(redis, rate=rate, cap=10**6, duration_ms=10**8, priority_weight=weight, slow_share=slow_share)
    await room.tick()
    await fill(room, main=3000, priority=3000, slow=6000)
    expected = shares({"main": 3000, "priority": 3000, "slow": 6000}, LaneTerms(weight, slow_share))
    steps = [dict.fromkeys(expected, 0)]
    for at in range(1000, 1000 + 120 * max(every_ms, round(5000 / rate)), max(every_ms, round(5000 / rate))):
        steps.append(called(await room.tick(at)))
        for lane, count in steps[-1].items():
            came = await room.claims([f"{lane}{n}" for n in range(steps[-2][lane] + 1, count + 1)], at)
            assert len(came) == count - steps[-2][lane]

    for first in (0, 20, 90):
        for later in steps[first + 1 :: 13]:
            made = {lane: later[lane] - steps[first][lane] for lane in later}
            for lane, count in made.items():
                assert abs(count - expected[lane] * sum(made.values())) < 3.5, (lane, made)


async def test_the_rate_is_that_of_one_line(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=10**6)
    await room.tick()
    await fill(room, main=500, priority=500, slow=500)

    totals = [sum(called(await room.tick(at)).values()) for at in (1000, 2000, 3000)]
    assert totals == [11, 21, 31], "what one line gets in that time"


async def test_what_a_lane_does_not_need_goes_to_the_others(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=10**6)
    await room.tick()
    await fill(room, main=100, priority=2)

    assert called(await room.tick(1000)) == {"main": 9, "priority": 2}
    assert called(await room.tick(2000)) == {"main": 19, "priority": 2}


async def test_lane_slow_alone_gets_everything(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=10**6)
    await room.tick()
    await fill(room, slow=100)

    assert called(await room.tick(1000)) == {"main": 0, "slow": 11}


async def test_few_slow_ones_get_what_they_would_in_main(redis: ScriptRunner) -> None:
    room = Room(redis, rate=6000, cap=10**6)
    await room.tick()
    await fill(room, main=990, slow=10)
    seen = [called(await room.tick(1000 * number))["slow"] for number in range(1, 10)]

    assert seen[-1] in {8, 9, 10}
    assert all(later - earlier <= 2 for earlier, later in pairwise(seen)), "one in a hundred, not one in ten"


async def test_a_guest_now_and_then_does_not_starve_lane_slow(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=10**6, settle_ms=0)
    await room.tick()
    await fill(room, main=1000, slow=1000)
    for number in range(1, 200):
        if number % 3:
            await room.join(f"priority{number}", number * 1000, score=float(number))
        await room.tick(number * 1000)

    assert called(await room.tick(199_000))["slow"] >= 5, "one in ten of those that are left by the guests"


async def test_who_is_slow_is_called_when_the_time_in_their_score_has_come(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=100, starts=0)
    await room.tick()
    await room.join("slow1", 0, score=1 + 60_000.5)

    seen = [(await room.tick(at))["slow"][1] for at in (1000, 59_999, 60_000)]
    assert seen == [0, 0, 1]


async def test_nobody_waits_for_somebody_whose_time_has_not_come(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=100, starts=0)
    await room.tick()
    await room.join("slow1", 0, score=1 + 60_000.5)

    assert (await room.enter("straight", 1000))[0] == "admitted"
    assert await room.enter("too late", 60_000) == ["wait", "line"]


async def test_nobody_gets_past_the_guests(redis: ScriptRunner) -> None:
    room = Room(redis, rate=1, cap=100)
    await room.tick()
    await room.join("priority1", 0, score=5.0)

    assert await room.enter("straight", 0) == ["wait", "line"]


async def test_places_of_main_do_not_rise_when_guests_come(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=100)
    await room.tick()
    await room.crowd(20)
    await room.tick(1000)
    before = (await room.join("t9", 1000))[2]
    await fill(room, priority=50)
    aheads = [before]
    for at in range(2000, 12_000, 1000):
        await room.tick(at)
        aheads.append((await room.join("t9", at))[2])

    assert aheads == sorted(aheads, reverse=True)
    assert aheads[-1] < before, "main still moves"


async def test_a_resume_gives_every_lane_its_window_again(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=100, window_ms=10_000, settle_ms=10_000)
    await room.tick()
    await fill(room, main=2, priority=2, slow=2)
    await room.tick(1000)
    await room.control("pause", at=2000)
    await room.control("resume", at=60_000)
    told = await room.tick(60_001)

    assert (told["lapsed"], told["outstanding"], await room.expected()) == (0, 6, 6)
    assert len(await room.claims(["main1", "priority1", "slow1"], 61_000)) == 3


async def test_every_lane_comes_back_after_a_loss(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=100)
    await room.tick()
    await fill(room, main=30, priority=30, slow=30)
    before = await room.tick(1000)
    room.memory = room.last_memory
    await redis.client.flushdb()
    after = await room.tick(1250, newborn="two")

    assert called(after) == called(before)
    assert (await room.join("priority1", 1300, kept=1.0))[0] == "called"
    assert (await room.join("priority30", 1300, kept=30.0))[0] == "waiting"
    assert (await room.enter("straight", 1300)) == ["wait", "line"]


async def test_the_log_tells_the_lane_of_each_move(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=100)
    await room.tick()
    await fill(room, main=30, priority=30, slow=30)
    await room.tick(1000)
    counts = called(await room.tick(2000))
    entries: Any = await redis.client.xrange(KEYS.log)

    moves = [(entry["lane"], int(entry["called"])) for _, entry in entries]
    assert {lane: sum(count for of, count in moves if of == lane) for lane in counts} == counts


async def test_a_lane_in_which_nobody_ever_stood_is_not_told(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.crowd(3)

    assert "priority" not in await room.tick(1000)


async def test_a_tick_asks_nothing_of_the_keys_of_a_lane_that_nobody_uses(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await fill(room, main=3)

    async def asked(at: int) -> int:
        await redis.client.config_resetstat()
        await room.tick(at)
        stats: Any = await redis.client.info("commandstats")
        return int(stats["cmdstat_pttl"]["calls"])

    one_lane = await asked(1000)
    await fill(room, priority=1)
    two_lanes = await asked(2000)

    assert (one_lane, two_lanes) == (3 + 5 + 1 + 1, 3 + 5 + 5 + 1)
    assert all([await redis.client.pttl(KEYS.of(lane).line) > 0 for lane in ("main", PRIORITY, SLOW)])
