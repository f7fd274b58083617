"""Health reports on a real server: what one worker says, all workers hear."""

import pytest

from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.health import Circuit, Health, HealthRules, Sample
from waitroom.rules.rooms import ALWAYS, RoomRules
from waitroom.store.audit import Audit
from waitroom.store.health import HealthReports, Heard
from waitroom.store.rooms import Entered, Rooms, Wait

RULES = RoomRules("drop", health=HealthRules(200, rate_floor_per_minute=30.0))


@pytest.fixture
def rooms(redis: ScriptRunner, keys: Keys) -> Rooms:
    return Rooms(redis, [RULES], keys, SystemClock())


async def test_an_unknown_room_has_no_health(redis: ScriptRunner) -> None:
    assert await HealthReports(redis).report(RULES, ALWAYS, Sample(), None) == Heard(None, may_probe=False)


async def test_what_two_workers_report_slows_the_room_for_all(redis: ScriptRunner, rooms: Rooms) -> None:
    now_ms = (await rooms.tick("drop")).now_ms
    one, two = HealthReports(redis), HealthReports(redis)
    await one.report(RULES, ALWAYS, Sample(15, 5, 0), None)
    heard = await two.report(RULES, ALWAYS, Sample(15, 5, 0), None, now_ms=now_ms + 1500)
    snapshot = await rooms.tick("drop")

    assert heard.health is not None
    assert heard.health.ratio == pytest.approx(0.6)
    assert snapshot.health == Health(heard.health.ratio, Circuit.CLOSED, heard.health.since_ms, 360.0)
    assert (snapshot.rate_per_minute, snapshot.effective_rate_per_minute) == (600.0, 360.0)


async def test_a_room_that_is_well_has_its_whole_rate(rooms: Rooms) -> None:
    snapshot = await rooms.tick("drop")

    assert snapshot.health.is_well
    assert snapshot.effective_rate_per_minute == snapshot.rate_per_minute == 600.0


async def test_an_outage_shuts_the_room_and_is_written_down(redis: ScriptRunner, rooms: Rooms) -> None:
    now_ms = (await rooms.tick("drop")).now_ms
    assert isinstance(await rooms.enter("drop"), Entered)
    reports = HealthReports(redis)
    await reports.report(RULES, ALWAYS, Sample(20, 0, 20), None)
    await reports.report(RULES, ALWAYS, Sample(), None, now_ms=now_ms + 1500)

    (entry,) = await Audit(redis).read("drop")
    assert (entry.who, entry.what, entry.before, entry.value) == ("health", "circuit", "closed", "open")
    assert entry.why == "20 of 20 requests failed"
    assert await rooms.enter("drop") == Wait("health")
    snapshot = await rooms.tick("drop")
    assert (snapshot.health.circuit, snapshot.effective_rate_per_minute) == (Circuit.OPEN, 30.0)


async def test_the_one_who_may_try_is_told(redis: ScriptRunner, rooms: Rooms) -> None:
    now_ms = (await rooms.tick("drop")).now_ms
    reports = HealthReports(redis)
    await reports.report(RULES, ALWAYS, Sample(20, 0, 20), None, now_ms=now_ms)
    await reports.report(RULES, ALWAYS, Sample(), None, now_ms=now_ms + 1000)

    heard = [await reports.report(RULES, ALWAYS, Sample(), None, now_ms=now_ms + ms) for ms in (5999, 6000)]
    assert [one.may_probe for one in heard] == [False, True]
