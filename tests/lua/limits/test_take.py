"""The move `limits/take` on a real server, beside plain arithmetic."""

import asyncio
import random
from fractions import Fraction
from math import ceil, floor

import pytest

from waitroom.kernel.redis import ScriptRunner

NOW_MS = 4_000_000_000_000
"""Far ahead of the server's own clock, so that no key ends in the middle of a test."""
METER = "wr:{limit:t}"


async def take(redis: ScriptRunner, rate: float, burst: int, cost: int = 1, now_ms: int = NOW_MS) -> tuple[str, int]:
    word, number = await redis.run("limits/take", keys=[METER], args=[rate, burst, cost, now_ms])
    return word, number


async def test_a_burst_passes_and_not_one_more(redis: ScriptRunner) -> None:
    replies = [await take(redis, 60, 5) for _ in range(7)]

    assert replies == [("taken", left) for left in (4, 3, 2, 1, 0)] + [("later", 1000)] * 2


async def test_a_burst_is_exact_under_200_concurrent_calls(redis: ScriptRunner) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(take(redis, 1, 50, now_ms=0)) for _ in range(200)]
    words = [task.result()[0] for task in tasks]

    # The calls take some ms of real time on Redis's own clock: far from the minute that earns one unit more.
    assert (words.count("taken"), words.count("later")) == (50, 150)


@pytest.mark.parametrize("rate", [1, 7, 60, 1000, 60_000, 0.5])
async def test_who_comes_when_told_passes_and_who_comes_a_moment_early_does_not(
    redis: ScriptRunner, rate: float
) -> None:
    for _ in range(3):
        assert (await take(redis, rate, 3))[0] == "taken"
    word, wait_ms = await take(redis, rate, 3)

    assert (word, wait_ms) == ("later", ceil(60_000 / rate))
    assert (await take(redis, rate, 3, now_ms=NOW_MS + wait_ms - 1))[0] == "later"
    assert (await take(redis, rate, 3, now_ms=NOW_MS + wait_ms))[0] == "taken"


async def test_the_rate_is_never_exceeded_over_a_long_time(redis: ScriptRunner) -> None:
    taken = 0
    for now_ms in range(NOW_MS, NOW_MS + 60_000, 50):
        taken += (await take(redis, 420, 10, now_ms=now_ms))[0] == "taken"

    assert 420 <= taken <= 430


async def test_a_refusal_costs_nothing(redis: ScriptRunner) -> None:
    await take(redis, 60, 1)
    for _ in range(20):
        await take(redis, 60, 1)

    assert await take(redis, 60, 1, now_ms=NOW_MS + 1000) == ("taken", 0)


async def test_a_big_take_counts_as_many_small_ones(redis: ScriptRunner) -> None:
    assert await take(redis, 60, 10, 7) == ("taken", 3)
    assert await take(redis, 60, 10, 4) == ("later", 1000)
    assert await take(redis, 60, 10, 3) == ("taken", 0)
    assert await take(redis, 60, 10, 10) == ("later", 10_000)


async def test_a_look_takes_nothing(redis: ScriptRunner) -> None:
    assert await take(redis, 60, 5, 0) == ("taken", 5)
    assert await redis.client.exists(METER) == 0


async def test_a_key_has_an_end(redis: ScriptRunner) -> None:
    await take(redis, 1, 5, 3, now_ms=0)

    assert 170_000 < await redis.client.pttl(METER) <= 180_001


async def test_keys_do_not_know_each_other(redis: ScriptRunner) -> None:
    await take(redis, 60, 1)

    assert await redis.run("limits/take", keys=["wr:{limit:u}"], args=[60, 1, 1, NOW_MS]) == ["taken", 0]


async def test_zero_asks_the_clock_of_redis(redis: ScriptRunner) -> None:
    assert await take(redis, 1, 2, now_ms=0) == ("taken", 1)
    seconds, micros = await redis.client.time()
    meter_us = int(str(await redis.client.get(METER)))

    assert 0 < meter_us - (seconds * 1_000_000 + micros) <= 60_000_000


async def test_a_clock_that_jumps_back_locks_nobody_out(redis: ScriptRunner) -> None:
    for _ in range(3):
        await take(redis, 60, 3, now_ms=NOW_MS + 3_600_000)

    assert await take(redis, 60, 3, now_ms=NOW_MS) == ("later", 1000)


async def test_other_settings_take_over_at_once(redis: ScriptRunner) -> None:
    """An operator lowers the burst in the middle of a sale: nobody waits longer than the new window."""
    for _ in range(100):
        await take(redis, 60, 100)

    assert await take(redis, 60, 2) == ("later", 1000)


class Bucket:
    """The same limit as a bucket of exact fractions: the oracle."""

    def __init__(self, interval_us: int, burst: int) -> None:
        """Begin full."""
        self.interval_us, self.burst = interval_us, burst
        self.units, self.at_us = Fraction(burst), 0

    def take(self, cost: int, now_us: int) -> tuple[str, int]:
        self.units = min(Fraction(self.burst), self.units + Fraction(now_us - self.at_us, self.interval_us))
        self.at_us = now_us
        if self.units >= cost:
            self.units -= cost
            return "taken", floor(self.units)
        return "later", ceil((cost - self.units) * self.interval_us / 1000)


@pytest.mark.parametrize("seed", range(8))
async def test_any_sequence_agrees_with_a_bucket_of_fractions(redis: ScriptRunner, seed: int) -> None:
    chance = random.Random(seed)
    rate, burst = chance.choice([1, 7, 59, 60, 601, 7919]), chance.choice([1, 2, 10, 57])
    bucket, now_ms = Bucket(ceil(60_000_000 / rate), burst), NOW_MS
    for _ in range(300):
        now_ms += chance.choice([0, 0, 1, 10, 100, 60_000 // rate])
        cost = chance.randint(1, burst)
        assert await take(redis, rate, burst, cost, now_ms) == bucket.take(cost, now_ms * 1000)
