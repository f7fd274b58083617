"""The draw of an event in Redis: who is in it, what turns it, and what is left of it when Redis loses everything."""

import asyncio

import pytest

from tests.fakes import FakeClock
from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys
from waitroom.rules.beacons import Beacon, BeaconKind, SpinSource, manual
from waitroom.rules.proofs import Admission, Roster, Wheel
from waitroom.rules.rooms import Change, ChangeKind, Queueing, RoomRules, Schedule
from waitroom.rules.scores import draw_score
from waitroom.store import draws
from waitroom.store.audit import Audit
from waitroom.store.draws import Draws, NoRoster, NoSpin
from waitroom.store.rooms import Rooms

SEED = bytes(32)


async def gathered(redis: ScriptRunner, count: int) -> tuple[Room, dict[str, float]]:
    """Give a room before its opening in which so many are in the draw, somebody before it and somebody behind."""
    room = Room(redis, prequeue=-10_000, starts=0)
    await room.tick(-1)
    scores = {f"t{number}": draw_score(SEED, f"t{number}") for number in range(count)}
    for ticket, score in scores.items():
        await room.join(ticket, -1, score=score)
    await room.join("head", -1, score=-7.0)
    await room.join("slow", -1, score=2.0)
    return room, scores


async def test_the_roster_is_who_was_in_the_draw_at_the_opening(redis: ScriptRunner) -> None:
    room, scores = await gathered(redis, 20)
    await room.leave("t3")
    await room.tick(0)
    await room.leave("t4")
    await room.join("t3", 1, kept=scores.pop("t3"))
    await room.join("late", 1, score=5.0)

    assert await Draws(redis, "w").tickets("drop", "opening", SEED) == scores


@pytest.mark.parametrize("page", [1, 2, 7, 20])
async def test_it_is_read_page_by_page(redis: ScriptRunner, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draws, "_PAGE", page)
    room, scores = await gathered(redis, 20)
    await room.tick(0)
    for number in range(5):
        await room.leave(f"t{number}")

    assert await Draws(redis, "w").tickets("drop", "opening", SEED) == scores


async def test_whoever_leaves_between_two_pages_is_still_in_it(redis: ScriptRunner) -> None:
    room, scores = await gathered(redis, 20)
    await room.tick(0)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(Draws(redis, "w").tickets("drop", "opening", SEED))
        for number in range(20):
            group.create_task(room.leave(f"t{number}"))

    assert reading.result() == scores


async def test_where_all_have_come_back_after_a_loss_they_are_the_same_people(redis: ScriptRunner) -> None:
    room, scores = await gathered(redis, 20)
    await room.tick(0)
    own = Draws(redis, "w")
    before = Wheel(await own.tickets("drop", "opening", SEED)).roster
    await redis.client.flushdb()
    await room.tick(1)
    for ticket, score in scores.items():
        await room.join(ticket, 1, kept=score)
    await room.leave("t7")

    assert await own.tickets("drop", "opening", SEED) == {}, "all of them came after it, as far as Redis knows"
    assert Wheel(await own.everybody("drop", "opening", SEED)).roster == before
    assert await own.freeze("drop", "opening", T0) is NoRoster.LOST
    assert await own.freeze("drop", "opening", T0, before) == before


async def test_the_first_root_counts(redis: ScriptRunner) -> None:
    room, _ = await gathered(redis, 2)
    one, two = Draws(redis, "one"), Draws(redis, "two")

    assert await one.freeze("drop", "opening", T0) is NoRoster.EARLY
    await room.tick(0)
    assert await one.freeze("drop", "opening", T0) is NoRoster.YOURS
    assert await two.freeze("drop", "opening", T0) is NoRoster.BUSY
    assert await one.freeze("drop", "opening", T0, Roster(2, "aa")) == Roster(2, "aa")
    assert await two.freeze("drop", "opening", T0, Roster(3, "bb")) == Roster(2, "aa")


async def test_the_first_spin_counts(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-10_000, starts=0, awaited=30_000)
    await room.tick(-1)
    own, told = Draws(redis, "w"), {"who": "ann", "value": "7", "why": ""}

    assert await own.spin("drop", "opening", manual("7"), **told) is NoSpin.EARLY
    await room.tick(0)
    assert await own.spin("drop", "opening", manual("7"), **told) == manual("7")
    assert await own.spin("drop", "opening", manual("8"), **told) == manual("7")
    assert (await room.tick(1))["spin"] == repr(manual("7").spin)


async def test_the_moves_of_the_threshold_are_read_on_from_where_one_was(redis: ScriptRunner) -> None:
    room, scores = await gathered(redis, 3)
    own = Draws(redis, "w")
    assert await own.admissions("drop", "opening", "0") == ([], "0")
    await room.tick(0)
    first, last = await own.admissions("drop", "opening", "0")
    await room.tick(100)
    then, _ = await own.admissions("drop", "opening", last)

    assert first == [Admission(T0, "main", -7.0, 1)]
    assert [moved.at_ms for moved in then] == [T0 + 100]
    assert then[0].serving in scores.values()


async def test_without_redis_it_says_so() -> None:
    async with connected(RedisSettings("unix:///nowhere.sock", timeout_ms=50)) as runner:
        with pytest.raises(StoreUnavailable):
            await Draws(runner, "w").tickets("drop", "opening", SEED)
        with pytest.raises(StoreUnavailable):
            await Draws(runner, "w").admissions("drop", "opening", "0")


# What a worker remembers, through Rooms


async def opened(redis: ScriptRunner, keys: Keys, beacon: Beacon) -> tuple[Rooms, Rooms]:
    """Give two workers of one room that opened a moment ago."""
    seconds, _ = await redis.client.time()
    starts = int(seconds) * 1000 - 60_000
    event = Schedule("opening", starts - 60_000, starts, starts + 3_600_000)
    rules = RoomRules("drop", queueing=Queueing.RANDOM, beacon=beacon, events=(event,))
    one, two = (Rooms(redis, [rules], keys, FakeClock(int(seconds) * 1000)) for _ in range(2))
    return one, two


MANUAL = Beacon(BeaconKind.MANUAL, timeout_ms=600_000)


async def test_a_worker_that_has_seen_the_spin_puts_it_back(redis: ScriptRunner, keys: Keys) -> None:
    one, two = await opened(redis, keys, MANUAL)
    assert not (await one.tick("drop")).is_spun
    await Draws(redis, "w").spin("drop", "opening", manual("7"), who="ann", value="7", why="")
    seen = await one.tick("drop")
    await redis.client.flushdb()
    stranger = await two.tick("drop")
    witness = await one.tick("drop")

    assert (seen.spin, seen.spin_source) == (manual("7").spin, manual("7"))
    assert not stranger.is_spun
    assert (witness.spin, witness.spin_source) == (seen.spin, seen.spin_source)
    assert (await two.tick("drop")).spin == seen.spin


async def test_without_a_beacon_the_first_tick_after_the_opening_settles_it(redis: ScriptRunner, keys: Keys) -> None:
    one, _ = await opened(redis, keys, Beacon())
    snapshot = await one.tick("drop")

    assert (snapshot.spin, snapshot.spin_source) == (0.0, SpinSource(BeaconKind.NONE))


async def test_a_root_that_is_kept_is_in_every_snapshot(redis: ScriptRunner, keys: Keys) -> None:
    one, two = await opened(redis, keys, Beacon())
    first = await one.tick("drop")
    assert first.starts_ms is not None
    await Draws(redis, "w").freeze("drop", "opening", first.starts_ms, Roster(3, "aa" * 32))

    assert (first.roster, (await two.tick("drop")).roster) == (None, Roster(3, "aa" * 32))
    assert await redis.client.hget(KEYS.line, "roster_count") == "3"


# What ops type before a witness


async def test_what_ops_type_turns_the_draw_once_and_is_written_down(redis: ScriptRunner, keys: Keys) -> None:
    one, _ = await opened(redis, keys, MANUAL)
    await one.tick("drop")
    told = {"who": "Ann", "why": "the notary was there"}
    snapshot = await one.control("drop", Change(ChangeKind.SPIN, "3 17 28"), **told)
    again = await one.control("drop", Change(ChangeKind.SPIN, "3 17 28"), **told)

    assert snapshot.spin_source == again.spin_source == manual("3 17 28")
    with pytest.raises(Refused, match="already-spun"):
        await one.control("drop", Change(ChangeKind.SPIN, "4"), **told)
    (entry,) = await Audit(redis).read("drop")
    assert (entry.who, entry.what, entry.value, entry.why) == ("Ann", "spin", "3 17 28", "the notary was there")


@pytest.mark.parametrize("beacon", [Beacon(), Beacon(BeaconKind.DRAND, "ab", timeout_ms=600_000)])
async def test_a_draw_that_is_not_turned_by_hand_is_not(redis: ScriptRunner, keys: Keys, beacon: Beacon) -> None:
    one, _ = await opened(redis, keys, beacon)
    await one.tick("drop")

    with pytest.raises(Refused, match="not-by-hand"):
        await one.control("drop", Change(ChangeKind.SPIN, "7"), who="Ann")


async def test_nobody_turns_a_draw_that_people_can_still_join(redis: ScriptRunner, keys: Keys) -> None:
    seconds, _ = await redis.client.time()
    starts = int(seconds) * 1000 + 60_000
    event = Schedule("opening", starts - 120_000, starts, starts + 3_600_000)
    rules = RoomRules("drop", queueing=Queueing.HYBRID, beacon=MANUAL, events=(event,))
    rooms = Rooms(redis, [rules], keys, FakeClock(int(seconds) * 1000))
    await rooms.tick("drop")

    with pytest.raises(Refused, match="too-early"):
        await rooms.control("drop", Change(ChangeKind.SPIN, "7"), who="Ann")


async def test_nobody_turns_a_draw_after_the_first_call_or_its_time(redis: ScriptRunner, keys: Keys) -> None:
    one, _ = await opened(redis, keys, MANUAL)
    await one.tick("drop")
    await redis.client.hset(KEYS.line, "serving", "0.5")
    with pytest.raises(Refused, match="too-late"):
        await one.control("drop", Change(ChangeKind.SPIN, "7"), who="Ann")
    late, _ = await opened(redis, keys, Beacon(BeaconKind.MANUAL, timeout_ms=1))
    await redis.client.hset(KEYS.line, mapping={"serving": "-inf", "born_ms": "1"})
    assert (await late.tick("drop")).is_spun
    with pytest.raises(Refused, match="its time was up"):
        await late.control("drop", Change(ChangeKind.SPIN, "7"), who="Ann")
