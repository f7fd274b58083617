"""The log of admissions in a worker's memory: read on, merged by the second, kept while Redis is gone."""

import asyncio

import pytest

from tests.fakes import FakeClock
from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tasks import Errands
from waitroom.rules.proofs import Admission
from waitroom.store.admissions import AdmissionLog
from waitroom.store.draws import Draws


async def moved(redis: ScriptRunner, at_ms: int, serving: float, called: int = 1) -> None:
    entry = {"at_ms": T0 + at_ms, "lane": "main", "serving": repr(serving), "called": called}
    await redis.client.xadd(KEYS.log, entry)  # type: ignore[arg-type]  # redis-py's type of a field is invariant


async def test_it_reads_on_where_it_was_and_at_most_once_a_second(redis: ScriptRunner, clock: FakeClock) -> None:
    log = AdmissionLog(Draws(redis, "w"), Errands(), clock)
    await moved(redis, 0, 0.1)
    first = list(await log.of("drop", "opening"))
    await moved(redis, 2_000, 0.2)
    at_once = list(await log.of("drop", "opening"))
    await clock.advance(1)
    later = list(await log.of("drop", "opening"))

    assert first == at_once == [Admission(T0, "main", 0.1, 1)]
    assert later == [*first, Admission(T0 + 2_000, "main", 0.2, 1)]


async def test_moves_within_one_second_are_one(redis: ScriptRunner, clock: FakeClock) -> None:
    log = AdmissionLog(Draws(redis, "w"), Errands(), clock)
    for at_ms in (0, 250, 500):
        await moved(redis, at_ms, at_ms / 1000, called=2)
    await log.of("drop", "opening")
    await moved(redis, 999, 0.999)
    await moved(redis, 1_000, 1.5)
    await clock.advance(1)

    assert list(await log.of("drop", "opening")) == [
        Admission(T0 + 999, "main", 0.999, 7),
        Admission(T0 + 1_000, "main", 1.5, 1),
    ]


async def test_a_long_log_is_read_to_its_end_by_one_reader(redis: ScriptRunner, clock: FakeClock) -> None:
    async with redis.client.pipeline(transaction=False) as pipe:
        for number in range(4_500):
            entry = {"at_ms": T0 + 1000 * number, "lane": "main", "serving": repr(float(number)), "called": 1}
            _ = pipe.xadd(KEYS.log, entry)  # type: ignore[arg-type]  # as above
        await pipe.execute()
    log = AdmissionLog(Draws(redis, "w"), Errands(), clock)
    before = (await redis.client.info("commandstats")).get("cmdstat_xrange", {}).get("calls", 0)
    found = await asyncio.gather(*(log.of("drop", "opening") for _ in range(50)))
    after = (await redis.client.info("commandstats"))["cmdstat_xrange"]["calls"]

    assert [len(moves) for moves in found] == [4_500] * 50
    assert after - before == 4


async def test_another_event_has_a_log_of_its_own(redis: ScriptRunner, clock: FakeClock) -> None:
    log = AdmissionLog(Draws(redis, "w"), Errands(), clock)
    await moved(redis, 0, 0.1)
    await log.of("drop", "opening")

    assert list(await log.of("drop", "next")) == []


async def test_what_was_read_survives_redis(redis: ScriptRunner, clock: FakeClock) -> None:
    log = AdmissionLog(Draws(redis, "w"), Errands(), clock)
    room = Room(redis)
    await room.tick()
    await room.crowd(3)
    await room.tick(1_000)
    before = list(await log.of("drop", "opening"))
    await redis.client.flushdb()
    await clock.advance(1)

    assert before
    assert list(await log.of("drop", "opening")) == before


async def test_without_redis_and_without_memory_it_says_so(clock: FakeClock) -> None:
    async with connected(RedisSettings("unix:///nowhere.sock", timeout_ms=50)) as runner:
        with pytest.raises(StoreUnavailable):
            await AdmissionLog(Draws(runner, "w"), Errands(), clock).of("drop", "opening")
