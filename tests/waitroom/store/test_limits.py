"""Limits as the gate uses them: on a real server and its own clock."""

import asyncio

import pytest

from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.store.limits import Limits, RetryAfter, Taken


async def test_a_burst_passes_then_the_visitor_is_told_when(redis: ScriptRunner) -> None:
    limits = Limits(redis)

    assert [await limits.take("join:203.0.113.0/24", 6, 2) for _ in range(2)] == [Taken(1), Taken(0)]
    refusal = await limits.take("join:203.0.113.0/24", 6, 2)

    assert isinstance(refusal, RetryAfter)
    assert 9000 < refusal.wait_ms <= 10_000
    assert refusal.wait_s == 10


async def test_200_at_once_get_exactly_the_burst(redis: ScriptRunner) -> None:
    limits = Limits(redis)
    async with asyncio.TaskGroup() as group:
        takes = [group.create_task(limits.take("join:a", 1, 50)) for _ in range(200)]

    replies = [task.result() for task in takes]

    assert sorted(reply.left for reply in replies if isinstance(reply, Taken)) == list(range(50))
    assert sum(isinstance(reply, RetryAfter) for reply in replies) == 150


async def test_keys_are_apart_and_each_has_an_end(redis: ScriptRunner) -> None:
    limits = Limits(redis)
    for name in ("join:a", "join:b", "challenge:a", "join:}{"):
        assert await limits.take(name, 1, 1) == Taken(0)
    found = [key async for key in redis.client.scan_iter("*")]

    assert len(found) == 4
    assert all([0 < await redis.client.pttl(key) <= 60_001 for key in found])


async def test_a_look_takes_nothing(redis: ScriptRunner) -> None:
    limits = Limits(redis)

    assert await limits.take("join:a", 1, 3, cost=0) == Taken(3)
    assert await limits.take("join:a", 1, 3, cost=3) == Taken(0)


@pytest.mark.parametrize(("rate", "burst", "cost"), [(0, 1, 1), (-1, 1, 1), (60, 1, 2), (60, 1, -1), (60, 0, 1)])
async def test_a_limit_that_makes_no_sense_is_a_bug(redis: ScriptRunner, rate: float, burst: int, cost: int) -> None:
    with pytest.raises(AssertionError):
        await Limits(redis).take("join:a", rate, burst, cost)


@pytest.mark.parametrize(("wait_ms", "wait_s"), [(1, 1), (999, 1), (1000, 1), (1001, 2), (60_000, 60)])
def test_retry_after_is_rounded_up_to_whole_seconds(wait_ms: int, wait_s: int) -> None:
    assert RetryAfter(wait_ms).wait_s == wait_s


async def test_without_redis_the_caller_decides() -> None:
    async with connected(RedisSettings("unix:///nonexistent/valkey.sock", timeout_ms=100)) as runner:
        with pytest.raises(StoreUnavailable):
            await Limits(runner).take("join:a", 60, 1)
