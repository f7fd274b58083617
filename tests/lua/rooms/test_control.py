"""control: what ops change, at once and written down."""

import pytest

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


async def test_a_room_without_state_says_so(redis: ScriptRunner) -> None:
    assert await Room(redis).control("pause") == ["unloaded"]


@pytest.mark.parametrize(
    ("kind", "value", "before"),
    [
        ("rate", "60.0", "600.0"),
        ("cap", "7", "100"),
        ("message", "Hello.", ""),
        ("pause", "", "running"),
        ("resume", "", "running"),
        ("end", "", "running"),
    ],
)
async def test_a_change_is_made_and_written_down_once(redis: ScriptRunner, kind: str, value: str, before: str) -> None:
    room = Room(redis)
    await room.tick()

    assert await room.control(kind, value, id_="one") == ["changed", before]
    assert await room.control(kind, value, 5, id_="one") == ["changed", before], "sent again"
    entries = [entry for _, entry in await redis.client.xrange(KEYS.audit) or []]
    told = {"at_ms": str(T0), "who": "ann", "what": kind, "value": value, "before": before, "why": "because"}
    assert entries == [told]
    assert (await room.tick())["revision"] == 1


async def test_a_rate_of_ops_outlives_the_configured_one(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.control("rate", "60.0")
    await room.control("cap", "3")
    room.rate, room.cap = 700, 50
    snapshot = await room.tick(1000)

    assert (snapshot["rate"], snapshot["cap"]) == ("60.0", 3)


async def test_what_was_earned_before_a_change_was_earned_at_the_old_rate(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60)
    await room.tick()
    await room.enter("a")
    await room.control("rate", "60000.0", 500)
    await room.control("rate", "60.0", 500)

    assert await room.enter("b", 999) == ["wait", "rate"]
    assert (await room.enter("b", 1000))[0] == "admitted"


async def test_a_lower_rate_holds_at_once(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60_000, cap=5000)
    await room.tick()
    await room.tick(1000)
    await room.control("rate", "60.0", 1000)
    seen = [(await room.enter(f"s{number}", 1000))[0] for number in range(5)]

    assert seen == ["admitted"] * 2 + ["wait"] * 3, "one second's worth, and one"


async def test_a_resume_gives_the_called_their_whole_window(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("a")
    await room.tick()
    await room.control("pause", at=119_000)
    await room.tick(400_000)
    await room.control("resume", at=500_000)
    await room.tick(619_999)

    assert (await room.join("a", 619_999))[0] == "called"
    await room.tick(620_000)
    assert (await room.claim("a", 620_000))[0] == "lapsed"


async def test_an_end_by_mistake_costs_nobody_their_call(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("a")
    await room.tick()
    await room.control("end", at=100_000)
    assert await room.claim("a", 100_001) == ["ended"]
    await room.tick(200_000)
    await room.control("resume", at=200_000)

    assert (await room.claim("a", 200_000))[0] == "admitted"


async def test_a_resume_of_a_room_that_runs_changes_nothing(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.tick(1000)
    await room.control("resume", at=1000)

    assert [(await room.enter(name, 1000))[0] for name in "abc"] == ["admitted"] * 3


async def test_the_audit_is_kept_for_a_season_and_no_longer(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.control("pause")

    assert 80 < await redis.client.pttl(KEYS.audit) / 86_400_000 <= 90


async def test_sold_out_calls_nobody_and_keeps_every_place_until_a_resume(redis: ScriptRunner) -> None:
    room = Room(redis, starts=0, cap=1000)
    await room.tick()
    await room.crowd(30)
    before = await room.tick(1000)
    await room.control("sold-out", at=1000)
    held = await room.tick(5000)

    assert (held["phase"], held["called"], held["waiting"]) == ("sold_out", before["called"], before["waiting"])
    assert (await room.claim("t1", 5000))[0] == "later"
    assert (await room.enter("s1", 5000)) == ["wait", "sold_out"]
    assert (await room.control("resume", at=6000))[1] == "sold-out"
    assert (await room.ticks(40, 1000, since=6000))["called"] > before["called"]


async def test_a_closed_room_admits_nobody_until_a_resume(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.control("close", at=10)
    closed = await room.tick(20)

    assert (closed["closed"], closed["phase"]) == ("1", "paused")
    assert (await room.enter("s1", 30)) == ["wait", "paused"]
    assert (await room.control("resume", at=40))[1] == "closed"
    assert (await room.tick(50))["closed"] == "0"
    assert (await room.enter("s1", 60))[0] == "admitted"


async def test_open_to_all_has_a_deadline(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.control("open-all", "600000", at=1000)

    assert (await room.tick(2000))["open_until"] == T0 + 601_000
    assert (await room.control("resume", at=3000))[1] == "open to all"
    assert (await room.tick(4000))["open_until"] == 0


async def test_revoke_all_frees_every_seat_and_renews_nobody_who_was_inside(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60_000, cap=10)
    await room.tick()
    for number in range(10):
        await room.enter(f"s{number}", 1000)

    assert (await room.control("revoke-all", at=2000))[1] == "10"
    after = await room.tick(2000)
    assert (after["sessions"], after["revoked_before"]) == (0, T0 + 2000)
    assert await room.touch({"s1": 300_000}, 2100) == ["outdated"]
    assert (await room.enter("next", 2200))[0] == "admitted"
    assert await room.touch({"next": 300_000}, 2300, revoked_before=2000) == ["touched"]


async def test_what_ops_closed_stays_so_when_redis_loses_it(redis: ScriptRunner) -> None:
    room = Room(redis, starts=0)
    await room.tick()
    for kind, value in (("sold-out", ""), ("close", ""), ("open-all", "600000"), ("revoke-all", "")):
        await room.control(kind, value, at=1000)
    before = await room.tick(1000)
    await redis.client.flushdb()
    after = await room.tick(2000, newborn="two", memory=room.last_memory)

    kept = ("phase", "closed", "open_until", "revoked_before", "revision")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
