"""The beacon brings the spin: late, wrong, not at all, or twice at once."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from tests.drand import Drand, drand_running
from tests.fakes import FakeClock
from waitroom.jobs import beacon as job
from waitroom.jobs.beacon import BeaconWatch
from waitroom.kernel.errors import UpstreamUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.beacons import Beacon, BeaconKind
from waitroom.rules.rooms import Queueing, RoomRules, Schedule, Snapshot
from waitroom.store.audit import Audit
from waitroom.store.board import Board
from waitroom.store.draws import Draws
from waitroom.store.rooms import Rooms

NOWHERE = "http://127.0.0.1:9"


class Worker:
    """One worker of a room that opened, or opens, so many ms from now."""

    def __init__(
        self, redis: ScriptRunner, keys: Keys, drand: Drand, now_ms: int, *, urls: Sequence[str] = (), **event: int
    ) -> None:
        self.beacon = Beacon(
            BeaconKind.DRAND, drand.chain_hash, drand.genesis_s * 1000, drand.period_s * 1000, timeout_ms=30_000
        )
        starts = now_ms + event.get("opens_in_ms", -10_000)
        schedule = Schedule("opening", starts - 60_000, starts, starts + 3_600_000)
        rules = RoomRules("drop", queueing=Queueing.RANDOM, beacon=self.beacon, events=(schedule,))
        self.starts = starts
        clock = FakeClock(now_ms)
        self.rooms, self.board, self.draws = Rooms(redis, [rules], keys, clock), Board(clock), Draws(redis, "w")
        self.watch = BeaconWatch(self.rooms, self.board, self.draws, {"drop": urls or [drand.url]})

    async def tick(self) -> Snapshot:
        snapshot = await self.rooms.tick("drop")
        self.board.put(snapshot)
        return snapshot


@pytest.fixture
async def now_ms(redis: ScriptRunner) -> int:
    seconds, _ = await redis.client.time()
    return int(seconds) * 1000


async def test_the_round_after_the_opening_turns_the_draw(redis: ScriptRunner, keys: Keys, now_ms: int) -> None:
    async with drand_running() as drand:
        worker = Worker(redis, keys, drand, now_ms)
        assert not (await worker.tick()).is_spun
        await worker.watch.step()
        snapshot = await worker.tick()

        told = drand.round(worker.beacon.round_after(worker.starts))
        assert snapshot.spin_source is not None
        assert (snapshot.spin_source.round, snapshot.spin_source.randomness) == (told["round"], told["randomness"])
        assert snapshot.spin == snapshot.spin_source.spin
        asked = len(drand.asked)
        await worker.watch.step()
        assert len(drand.asked) == asked, "and then it is left in peace"
        (entry,) = await Audit(redis).read("drop")
        assert (entry.who, entry.what, entry.value) == ("beacon", "spin", f"round {told['round']}")


async def test_two_workers_at_once_turn_it_once(redis: ScriptRunner, keys: Keys, now_ms: int) -> None:
    async with drand_running() as drand:
        workers = [Worker(redis, keys, drand, now_ms) for _ in range(4)]
        for worker in workers:
            await worker.tick()
        await asyncio.gather(*(worker.watch.step() for worker in workers))

        assert len({(await worker.tick()).spin for worker in workers}) == 1
        assert len(await Audit(redis).read("drop")) == 1


@pytest.mark.parametrize(
    "how",
    [
        {"now_round": 5},
        {"changes": {"round": 7}},
        {"changes": {"randomness": "00" * 32}},
        {"changes": {"signature": "00"}},
        {"body": b"not json"},
        {"body": b"[" * 100_000},
        {"body": b"\xff\xfe"},
        {"body": b'"' + b"x" * 100_000 + b'"'},
        {"status": 500},
        {"status": 302},
        {"info_changes": {"period": 30}},
        {"info_changes": {"public_key": "00"}},
    ],
    ids=str,
)
async def test_a_wrong_answer_turns_nothing_and_is_told(
    redis: ScriptRunner, keys: Keys, now_ms: int, how: dict[str, object]
) -> None:
    async with drand_running(**how) as drand:
        worker = Worker(redis, keys, drand, now_ms)
        await worker.tick()

        with pytest.raises(UpstreamUnavailable, match="gave no spin"):
            await worker.watch.step()
        assert not (await worker.tick()).is_spun


async def test_one_good_server_among_bad_ones_is_enough(
    redis: ScriptRunner, keys: Keys, now_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "ASK_LIMIT_S", 600.0)
    async with drand_running(hangs=True) as hanging, drand_running() as good, drand_running(status=500) as broken:
        worker = Worker(redis, keys, good, now_ms, urls=[NOWHERE, hanging.url, broken.url, good.url])
        await worker.tick()
        async with asyncio.timeout(60):  # it waits for nobody who hangs
            await worker.watch.step()

        assert (await worker.tick()).is_spun


async def test_servers_that_hang_are_given_up(
    redis: ScriptRunner, keys: Keys, now_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "ASK_LIMIT_S", 0.1)
    async with drand_running(hangs=True) as hanging:
        worker = Worker(redis, keys, hanging, now_ms, urls=[hanging.url])
        await worker.tick()

        with pytest.raises(UpstreamUnavailable, match="no answer"):
            await worker.watch.step()


async def test_before_the_opening_the_chain_is_asked_for_once_and_a_wrong_one_told(
    redis: ScriptRunner, keys: Keys, now_ms: int, caplog: pytest.LogCaptureFixture
) -> None:
    async with drand_running() as drand, drand_running(info_changes={"period": 30}) as other:
        worker = Worker(redis, keys, drand, now_ms, urls=[other.url, drand.url], opens_in_ms=20_000)
        await worker.tick()
        with caplog.at_level(logging.ERROR):
            await worker.watch.step()
            await worker.watch.step()

        assert [record.message for record in caplog.records] == ["beacon not usable"]
        assert drand.asked == [f"/{drand.chain_hash}/info"]


async def test_before_the_round_is_due_nobody_is_asked_for_it(redis: ScriptRunner, keys: Keys, now_ms: int) -> None:
    genesis_s = now_ms // 1000 - 15
    async with drand_running(period_s=3600, genesis_s=genesis_s) as drand:
        worker = Worker(redis, keys, drand, now_ms)
        await worker.tick()
        await worker.watch.step()

        assert drand.asked == []


async def test_a_beacon_that_is_too_late_turns_nothing(redis: ScriptRunner, keys: Keys, now_ms: int) -> None:
    async with drand_running() as drand:
        Worker(redis, keys, drand, now_ms, opens_in_ms=-10_000)
        worker = Worker(redis, keys, drand, now_ms, opens_in_ms=-40_000)
        await worker.tick()  # born after the opening: it waits a little for who has seen a spin
        await redis.client.hset("wr:{drop}:opening:main:line", "born_ms", str(worker.starts - 1))
        snapshot = await worker.tick()
        await worker.watch.step()

        assert snapshot.spin_source is not None
        assert (snapshot.spin, snapshot.spin_source.kind) == (0.0, BeaconKind.NONE)
        assert snapshot.spin_source.missed is BeaconKind.DRAND
        assert (await worker.tick()).spin == 0.0
        assert drand.asked == []


async def test_after_redis_was_lost_the_beacon_is_asked_again_and_says_the_same(
    redis: ScriptRunner, keys: Keys, now_ms: int
) -> None:
    async with drand_running() as drand:
        first = Worker(redis, keys, drand, now_ms)
        await first.tick()
        await first.watch.step()
        spin = (await first.tick()).spin
        await redis.client.flushdb()
        restarted = Worker(redis, keys, drand, now_ms)
        assert not (await restarted.tick()).is_spun
        await restarted.watch.step()

        assert (await restarted.tick()).spin == spin
