"""Some of those who are called never come: as many more are called, and nobody comes in beyond rate and cap for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import pytest

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS, ROOM_KEYS
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.scripts import load_script
from waitroom.rules.lanes import MAIN

Comes = Callable[[int, int], bool]
"""Whether the one with this number, called in this second, comes in."""


def everybody(_number: int, _second: int) -> bool:
    return True


def every_second(number: int, _second: int) -> bool:
    return number % 2 == 0


def nobody(_number: int, _second: int) -> bool:
    return False


def everybody_from_minute_two_on(number: int, second: int) -> bool:
    return number % 2 == 0 or second >= 120


class Uncompensated(Room):
    """The same room, in which everybody is expected to come."""

    async def run(self, name: str, *args: Any, lane: str = MAIN) -> Any:
        if name != "rooms/tick":
            return await super().run(name, *args, lane=lane)
        source, learning, keys = load_script(name).source, "math.max(ratio, LEAST)", ROOM_KEYS[name]
        assert source.count(learning) == 1
        told = [str(arg) for arg in (T0 + args[0], *args[1:])]
        reply: Any = self.redis.client.eval(source.replace(learning, "1"), len(keys), *keys, *told)
        return await reply


@dataclass
class Seen:
    """Second by second: how many had come in, how many were counted on; who was told to come back, and how often."""

    admitted: list[int] = field(default_factory=lambda: [0])
    expected: list[int] = field(default_factory=lambda: [0])
    ratios: list[float] = field(default_factory=lambda: [1.0])
    later: list[str] = field(default_factory=list)
    tries: int = 0

    def per_minute(self, since_s: int) -> float:
        return (self.admitted[-1] - self.admitted[since_s]) * 60 / (len(self.admitted) - 1 - since_s)


async def simulated(room: Room, comes: Comes, seconds: int) -> Seen:
    """Tick once a second; whoever is called and comes does so at once, and asks again when told to."""
    seen, called = Seen(), 0
    await room.tick()
    crowd = {f"t{number}": float(number + 1) for number in range(round(room.rate / 60 * seconds * 5) + 10)}
    await room.redis.client.zadd(KEYS.queue, crowd)
    for second in range(1, seconds + 1):
        snapshot = await room.tick(second * 1000)
        fresh = [f"t{number}" for number in range(called, snapshot["called"]) if comes(number, second)]
        called, asking, seen.later = snapshot["called"], [*seen.later, *fresh], []
        for ticket in asking:
            reply = await room.claim(ticket, second * 1000)
            assert reply[0] in {"admitted", "later"}, "whoever is called keeps the call"
            if reply[0] == "later":
                seen.later.append(ticket)
        seen.tries += len(seen.later)
        seen.admitted.append(seen.admitted[-1] + len(asking) - len(seen.later))
        seen.expected.append(await room.expected())
        seen.ratios.append(float(snapshot["show_up_ratio"]))
        assert await room.redis.client.zcard(KEYS.sessions) <= room.cap
    return seen


async def test_where_half_of_the_called_stay_away_the_rate_is_reached_all_the_same(redis: ScriptRunner) -> None:
    without = await simulated(Uncompensated(redis, cap=100_000), every_second, 150)
    await redis.client.flushdb()
    seen = await simulated(Room(redis, cap=100_000), every_second, 150)

    assert without.per_minute(60) < 0.6 * 600
    assert seen.per_minute(60) == pytest.approx(600, rel=0.03)
    assert seen.ratios[-1] == pytest.approx(0.5, abs=0.05)
    assert seen.later == [], "half of them come, so that nobody is called in vain"


async def test_ghosts_keep_no_seats_from_those_who_come(redis: ScriptRunner) -> None:
    few = {"rate": 1200.0, "cap": 100, "duration_ms": 20_000}
    without = await simulated(Uncompensated(redis, **few), every_second, 150)  # type: ignore[arg-type]  # int, float
    await redis.client.flushdb()
    seen = await simulated(Room(redis, **few), every_second, 150)  # type: ignore[arg-type]  # as above

    assert seen.per_minute(60) > 1.4 * without.per_minute(60)


@pytest.mark.parametrize("rate", [7.0, 90.0, 600.0])
async def test_where_everybody_comes_nobody_is_called_in_excess(redis: ScriptRunner, rate: float) -> None:
    seen = await simulated(Room(redis, rate=rate, cap=100_000), everybody, 100)

    assert set(seen.ratios) == {1.0}
    assert seen.tries == 0
    assert seen.admitted == [int(1 + rate * second / 60 + 1e-9) if second else 0 for second in range(101)]


async def test_should_all_come_where_half_were_expected_rate_and_cap_hold_and_all_come_in(redis: ScriptRunner) -> None:
    seen = await simulated(Room(redis, rate=600, cap=100_000), everybody_from_minute_two_on, 240)

    assert seen.ratios[120] == pytest.approx(0.5, abs=0.05)
    assert seen.tries > 0, "more were called than could come in at once"
    for earlier, later in combinations(range(0, 241, 4), 2):
        came = seen.admitted[later] - seen.admitted[earlier]
        assert came <= 10 * (later - earlier) + 1 + 10 + seen.expected[earlier]
    assert seen.admitted[-1] <= 1 + 240 * 10
    assert seen.ratios[-1] > 0.95
    assert len(seen.later) < 30, "nobody who was told to come back is left behind"
    assert (seen.admitted[-1] - seen.admitted[120]) / 120 == pytest.approx(10, rel=0.05)


async def test_nobody_at_all_is_no_reason_to_call_everybody(redis: ScriptRunner) -> None:
    seen = await simulated(Room(redis, rate=600, cap=100_000), nobody, 150)

    assert min(seen.ratios) == 0.25


async def test_whoever_is_told_to_come_back_has_shown_up(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, settle_ms=1000)
    await room.tick()
    await room.crowd(3)
    await room.tick(1000)
    await room.enter("somebody", 1000)
    await room.control("cap", "0", at=1000)
    assert (await room.claim("t1", 1100))[0] == "later"

    assert (await room.tick(2000))["show_up_ratio"] == "1"


async def test_what_happens_while_nobody_can_come_in_proves_nothing(redis: ScriptRunner) -> None:
    room = Room(redis, cap=100)
    await room.tick()
    await room.crowd(3)
    await room.tick(1000)
    await room.control("pause", at=2000)
    paused = await room.tick(60_000)
    await room.control("resume", at=61_000)
    again = await room.tick(62_000)
    await room.tick(87_000)

    assert paused["show_up_ratio"] == again["show_up_ratio"] == "1"
    assert float(str(await room.line("show_up_ratio"))) < 1


async def test_what_was_learnt_survives_the_loss_of_redis(redis: ScriptRunner) -> None:
    room = Room(redis, cap=100_000)
    await simulated(room, every_second, 60)
    before = await room.tick(61_000)
    room.memory = room.last_memory
    await redis.client.flushdb()

    assert (await room.tick(62_000, newborn="two"))["show_up_ratio"] == before["show_up_ratio"] != "1"
