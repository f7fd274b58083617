"""stock: the store behind says what it has left; the room calls nobody for whom there is nothing."""

from typing import Any

import pytest

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


async def waiting_room(redis: ScriptRunner, people: int = 60, **more: Any) -> Room:
    """Return a room that could let everybody in at once, and whose people wait for the first tick."""
    room = Room(redis, **{"rate": 60_000, "cap": 1000} | more)
    await room.tick()
    await room.crowd(people)
    return room


async def test_a_room_that_was_never_ticked_hears_nothing(redis: ScriptRunner) -> None:
    assert await Room(redis).stock(5) == ["unloaded"]
    assert await redis.client.keys("*") == []


async def test_what_is_left_and_held_stands_in_the_next_tick(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()

    assert await room.stock(40, 3, at=10) == ["taken"]
    assert (await room.tick(20))["stock"] == [40, 3, 40]


@pytest.mark.parametrize("said", [100, 99, -1_000_000])
async def test_a_report_that_comes_twice_or_late_changes_nothing(redis: ScriptRunner, said: int) -> None:
    room = Room(redis)
    await room.tick()
    await room.stock(40, 3, at=100)
    before = await redis.client.hgetall(KEYS.room)

    assert await room.stock(0, 0, at=200, said=said) == ["known"]
    assert await redis.client.hgetall(KEYS.room) == before


async def test_nobody_is_called_for_whom_there_is_nothing(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(5, 2)

    assert (await room.tick(1000))["called"] == 5, "what is held is called for once it is back"
    assert (await room.ticks(8, 1000, since=1000))["called"] == 5, "they are on their way"


async def test_who_came_in_is_counted_on_to_buy_for_a_while(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(5)
    await room.tick(1000)
    await room.claims(["t1", "t2", "t3", "t4", "t5"], 1000)
    called = []
    for at in range(2000, 32_000, 1000):
        await room.stock(5, at=at)
        called.append((await room.tick(at))["called"])

    assert called[:19] == [5] * 19, "nobody bought yet, but they may"
    assert called[-1] == 10, "they did not: others have their chance"


async def test_who_has_bought_is_not_waited_for(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(5)
    await room.tick(1000)
    await room.claims(["t1", "t2", "t3", "t4", "t5"], 1000)
    await room.stock(2, 3, at=2000)
    assert (await room.tick(2000))["called"] == 5, "two units, and two who have not bought yet"
    await room.stock(3, 2, at=3000)
    assert (await room.tick(3000))["called"] == 6, "one of them let go of it: somebody is called for that"
    await room.stock(103, 2, at=4000)

    assert (await room.tick(4000))["called"] == 60, "what is put on sale besides calls at once"


async def test_what_the_first_took_does_not_make_the_last_decide(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(10)
    await room.tick(1000)
    await room.claims([f"t{number}" for number in range(1, 11)], 1000)
    for at in range(2000, 23_000, 1000):
        await room.stock(1, 9, at=at)  # nine of the ten bought
        await room.tick(at)
    assert (await room.tick(23_000))["called"] == 11, "the tenth has had the time"
    await room.claim("t11", 23_000)

    for at in range(23_000, 40_000, 1000):
        await room.stock(1, 9, at=at)
        assert (await room.tick(at))["called"] == 11, "now it is the eleventh who may buy it"


async def test_without_time_to_decide_only_those_on_their_way_count(redis: ScriptRunner) -> None:
    room = await waiting_room(redis, deciding_ms=0)
    await room.stock(5)
    await room.tick(1000)
    await room.claims(["t1", "t2"], 1000)
    await room.tick(1500)

    assert (await room.tick(2000))["called"] == 7


async def test_who_does_not_come_is_made_up_for(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(5)
    await room.tick(1000)
    await room.stock(5, at=26_000)

    assert (await room.tick(26_000))["called"] > 5, "the five are counted on no longer"


async def test_while_nothing_is_free_nobody_is_called_and_the_called_come_in(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(5)
    await room.tick(1000)
    await room.stock(0, 5, at=1100)
    seen = await room.tick(1200)

    assert (seen["phase"], seen["called"], seen["stock"]) == ("open", 5, [0, 5, 0])
    assert await room.claims(["t1", "t2", "t3"], 1300) == ["t1", "t2", "t3"]
    assert (await room.enter("straight", 1400))[1] == "line"


async def test_what_comes_back_calls_the_next(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(0, 5)
    assert (await room.tick(1000))["called"] == 0
    await room.stock(2, 3, at=30_000)

    assert (await room.tick(30_000))["called"] == 2


async def test_with_nothing_left_and_nothing_to_come_back_the_room_is_sold_out(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(3)
    await room.tick(1000)
    assert await room.claims(["t1"], 1000) == ["t1"]
    await room.stock(0, 0, at=1100)
    seen = await room.tick(1200)

    assert (seen["phase"], seen["called"], seen["sessions"]) == ("sold_out", 3, 1)
    assert await room.claim("t2", 1300) == ["later", 5000], "their call is kept"
    assert await room.enter("straight", 1300) == ["wait", "sold_out"]
    assert await room.claim("t1", 1300) == ["admitted", T0 + 1000 + room.duration_ms], "who is inside stays"


async def test_units_that_return_open_the_room_and_the_called_have_their_whole_window(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(3)
    await room.tick(1000)
    for at in range(2000, 400_000, 5000):
        await room.stock(0, 0, at=at)
        assert (await room.tick(at))["lapsed"] == 0
    await room.stock(2, 0, at=400_000)
    seen = await room.tick(400_100)

    assert (seen["phase"], seen["called"]) == ("open", 3), "three are called still, for two units"
    assert (await room.claim("t3", 400_100 + room.window_ms - 1))[0] == "admitted"


async def test_the_end_of_sold_out_is_no_burst(redis: ScriptRunner) -> None:
    room = await waiting_room(redis, rate=60)
    await room.stock(0)
    for at in range(0, 60_000, 5000):
        await room.stock(0, at=at)
        await room.tick(at)
    await room.stock(1000, at=60_000)

    assert (await room.tick(60_000))["called"] == 1


async def test_a_store_that_falls_silent_is_not_heeded_any_more(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(0)
    gone = await room.tick(14_999)
    after = await room.tick(15_000)

    assert (gone["phase"], gone["stock"]) == ("sold_out", [0, 0, 0])
    assert (after["phase"], after["stock"]) == ("open", [])
    assert (await room.tick(17_000))["called"] == 60, "as without it"
    kept = await redis.client.hgetall(KEYS.room)
    assert not {"gone", "may_buy", "came"} & set(kept)
    assert await room.stock(0, 0, at=18_000, said=0) == ["known"], "an old report does not count again"


async def test_a_room_that_heeds_no_report_goes_on_as_without_it(redis: ScriptRunner) -> None:
    room = await waiting_room(redis, lasts_ms=0)
    await room.stock(0)

    assert (await room.tick(1000))["called"] == 60


@pytest.mark.parametrize(
    ("kind", "phase"), [("pause", "paused"), ("close", "paused"), ("sold-out", "sold_out"), ("end", "ended")]
)
async def test_what_ops_say_goes_before_what_the_store_says(redis: ScriptRunner, kind: str, phase: str) -> None:
    room = Room(redis, starts=0, rate=60_000)
    await room.tick()
    await room.crowd(3)
    await room.control(kind, at=10)
    for number, left in enumerate((5, 0, 5)):
        await room.stock(left, at=100 + number)
        seen = await room.tick(100 + number)
        assert (seen["phase"], seen["called"]) == (phase, 0)
    await room.control("resume", at=200)

    assert (await room.tick(1200))["called"] == 3


async def test_a_resume_of_ops_brings_no_units(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(0)
    await room.tick(1000)
    await room.control("resume", at=1100)

    assert (await room.tick(1200))["phase"] == "sold_out"


async def test_before_the_opening_sold_out_is_not_told_and_at_it_is(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-1000, starts=1000)
    await room.tick()
    await room.stock(0)

    assert [(await room.tick(at))["phase"] for at in (500, 1000)] == ["prequeue", "sold_out"]


async def test_who_comes_straight_in_is_counted(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60_000, cap=1000)
    await room.tick()
    await room.stock(3)
    await room.tick(1000)
    came = [(await room.enter(f"s{number}", 1000 + number))[0] for number in range(5)]

    assert came == ["admitted"] * 3 + ["wait"] * 2
    assert await room.enter("s5", 1010) == ["wait", "stock"]
    assert await room.enter("s0", 1010) == ["admitted", T0 + 1000 + room.duration_ms], "the same when sent again"
    assert (await room.tick(1500))["stock"] == [3, 0, 0], "they have had no time to buy"


async def test_straight_in_is_closed_while_nothing_is_free(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60_000)
    await room.tick()
    await room.stock(0, 4)
    await room.tick(1000)

    assert await room.enter("s1", 1000) == ["wait", "stock"]


async def test_another_event_counts_anew_and_knows_who_has_just_come(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60_000)
    await room.tick()
    await room.stock(3)
    await room.tick(1000)
    for number in range(3):
        await room.enter(f"s{number}", 1000)
    assert (await room.tick(1500))["stock"] == [3, 0, 0]
    await redis.client.delete(KEYS.line, KEYS.queue, KEYS.calls)  # as under the name of another event

    assert (await room.tick(1600))["stock"] == [3, 0, 0], "they may still buy"
    await room.stock(3, at=21_500)
    assert (await room.tick(21_500))["stock"] == [3, 0, 3]
    await room.enter("another", 21_500)
    assert (await room.tick(21_600))["stock"] == [3, 0, 2]


async def test_after_a_loss_the_workers_bring_back_what_was_said(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(0, at=900)
    await room.tick(1000)
    room.memory = room.last_memory
    await redis.client.flushdb()
    after = await room.tick(1250, newborn="two")

    assert (after["phase"], after["stock"], after["generation"]) == ("sold_out", [0, 0, 0], "two")
    assert await room.stock(60, 0, at=1300, said=800) == ["known"], "a loss makes no old report new"
    assert (await room.tick(900 + 15_000))["stock"] == [], "what is brought back is as old as it was"


async def test_what_the_store_says_after_a_loss_is_newer_than_what_workers_remember(redis: ScriptRunner) -> None:
    room = await waiting_room(redis)
    await room.stock(0, at=900)
    await room.tick(1000)
    early = room.last_memory
    await redis.client.flushdb()
    room.memory = ""
    await room.tick(1100, newborn="two")
    await room.stock(60, at=1200)
    room.memory = early

    assert (await room.tick(1250, newborn="three"))["stock"][:2] == [60, 0]


async def test_a_room_without_reports_costs_no_command_more(redis: ScriptRunner) -> None:
    room = await waiting_room(redis, people=3, rate=0.001)
    await room.tick(1000)

    async def asked(at: int) -> int:
        await redis.client.config_resetstat()
        await room.tick(at)
        stats: Any = await redis.client.info("commandstats")
        return sum(int(one["calls"]) for name, one in stats.items() if name != "cmdstat_config|resetstat")

    without = await asked(2000)
    await room.stock(0, 1, at=2500)
    await room.tick(2600)
    await redis.client.hdel(KEYS.room, "stock")  # as if there had never been one
    await room.tick(2700)

    assert await asked(3000) == without
