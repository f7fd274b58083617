"""Redis loses all, or its last moments, in every phase: what the workers remember brings the room back."""

import json
from typing import Any

import pytest

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


async def flushed(room: Room) -> None:
    """Lose everything; from here on `room` ticks as a worker that saw it all."""
    room.memory = room.last_memory
    await room.redis.client.flushdb()


async def rewound(room: Room, copy: dict[str, Any]) -> None:
    """Go back to the keys of `copy`, as a restart without the end of its file does, or a replica that was behind."""
    client: Any = room.redis.client
    room.memory = room.last_memory
    await client.flushdb()
    for key, (kind, held) in copy.items():
        await (client.hset(key, mapping=held) if kind == "hash" else client.zadd(key, held))


async def copied(room: Room) -> dict[str, Any]:
    client: Any = room.redis.client
    found: dict[str, Any] = {}
    for key in await client.keys("*"):
        match await client.type(key):
            case "hash":
                found[key] = "hash", await client.hgetall(key)
            case "zset":
                found[key] = "zset", dict(await client.zrange(key, 0, -1, withscores=True))
            case _:
                pass  # a stream is for people to read
    return found


async def test_before_the_opening_the_draw_stays_committed_and_limits_stay(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-60_000, starts=60_000)
    await room.tick()
    await room.control("rate", "77", at=10)
    await room.control("message", "Soon.", at=20)
    await room.crowd(5, 30)
    before = await room.tick(40)
    await flushed(room)
    after = await room.tick(300, newborn="two")

    assert after == before | {"now": T0 + 300, "generation": "two", "waiting": 0, "in_force": "77"}


@pytest.mark.parametrize(("kind", "phase"), [("pause", "paused"), ("end", "ended")])
async def test_a_room_that_ops_closed_stays_so(redis: ScriptRunner, kind: str, phase: str) -> None:
    room = Room(redis, starts=0)
    await room.tick()
    await room.control(kind, at=10)
    await room.tick(20)
    await flushed(room)

    assert (await room.tick(300, newborn="two"))["phase"] == phase


async def test_after_a_flush_the_same_order_and_the_called_have_their_call(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=1000)
    await room.tick()
    tickets = await room.crowd(60)
    before = await room.ticks(2, 1000)
    called = tickets[: before["called"]]
    came = await room.claims(called[:5], 2000)
    await room.tick(2000)
    await flushed(room)
    after = await room.tick(2250, newborn="two")

    assert (after["serving"], after["called"], after["admitted"]) == (before["serving"], before["called"], len(came))
    assert after["generation"] == "two"
    back = [await room.join(ticket, 2300, kept=float(number)) for number, ticket in enumerate(tickets, 1)]
    assert [reply[0] for reply in back] == ["called"] * len(called) + ["waiting"] * (60 - len(called))
    assert [reply[2] for reply in back[len(called) :]] == list(range(60 - len(called)))
    assert (await room.claim(called[5], 2300 + 119_000))[0] == "admitted", "the whole window again"


async def test_nobody_is_called_or_let_straight_in_before_those_who_waited_are_back(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=1000)
    await room.tick()
    tickets = await room.crowd(60)
    before = await room.tick(1000)
    await flushed(room)
    await room.tick(1250, newborn="two")
    for number, ticket in list(enumerate(tickets, 1))[30:]:
        await room.join(ticket, 1300, kept=float(number))

    meanwhile = await room.ticks(10, 1000, since=1300)
    assert (meanwhile["called"], meanwhile["phase"]) == (before["called"], "open")
    assert (await room.enter("somebody", 9000))[1] == "line"
    for number, ticket in enumerate(tickets, 1):
        await room.join(ticket, 11_500, kept=float(number))
    assert (await room.tick(12_000))["called"] > before["called"]


async def test_those_called_since_a_loss_are_not_waited_for_by_a_worker_that_remembers_more(
    redis: ScriptRunner,
) -> None:
    room = Room(redis, rate=60_000, cap=1000)
    await room.tick()
    await room.control("pause", at=10)
    tickets = await room.crowd(2, 20)
    await room.tick(30)
    early = room.last_memory
    await room.join("late", 40, score=3.0)
    await room.tick(50)
    await flushed(room)
    late, room.memory = room.memory, early
    await room.tick(300, newborn="two")
    await room.control("resume", at=310)
    for number, ticket in enumerate(tickets, 1):
        await room.join(ticket, 320, kept=float(number))
    assert (await room.tick(600))["called"] == 2
    await room.join("late", 650, kept=3.0)

    assert (await room.tick(700, memory=late))["called"] == 3, "two of the three that it misses were called"


async def test_who_never_comes_back_holds_up_nobody_for_ever(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=1000)
    await room.tick()
    tickets = await room.crowd(60)
    before = await room.tick(1000)
    await flushed(room)
    await room.tick(1250, newborn="two")
    await room.join(tickets[-1], 1300, kept=60.0)

    assert (await room.tick(1250 + 24_000))["called"] == before["called"]
    assert (await room.tick(1250 + 26_000))["called"] == before["called"] + 1


async def test_who_lapsed_has_lapsed(redis: ScriptRunner) -> None:
    room = Room(redis, window_ms=10_000, settle_ms=10_000)
    await room.tick()
    await room.crowd(3)
    await room.ticks(3, 1000)
    lapsed = await room.tick(20_000)
    await flushed(room)
    await room.tick(20_250, newborn="two")

    assert lapsed["lapsed"] == 3
    assert (await room.join("t1", 20_300, kept=1.0))[0] == "lapsed"
    assert (await room.claim("t1", 20_300))[0] == "lapsed"


async def test_a_batch_waits_no_more_for_those_who_are_known_to_have_lapsed(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=100)
    await room.tick()
    await room.crowd(2)
    copy = await copied(room)
    await room.tick(250)
    await room.tick(1_250)
    lapsed = await room.tick(120_300)  # t1, but not t2, who was called a second later
    await rewound(room, copy)
    memory, room.memory = room.memory, ""
    both = await room.tick(120_400)  # by a worker that knows nothing, both in one batch
    room.memory = memory
    healed = await room.tick(120_500)

    assert [told["outstanding"] for told in (lapsed, both, healed)] == [1, 2, 1]


async def test_seats_stay_taken_until_passes_are_shown_or_have_run_out(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60_000, cap=10, duration_ms=300_000)
    await room.tick()
    for number in range(10):
        await room.enter(f"s{number}", 1000)
    await room.tick(1100)
    await flushed(room)

    assert (await room.tick(1350, newborn="two"))["sessions"] == 10
    assert (await room.enter("newcomer", 3000)) == ["wait", "cap"]
    await room.touch({"s0": 301_000, "s1": 301_000}, 4000)
    assert (await room.tick(4100))["sessions"] == 10, "who is back takes the seat that was held"
    await room.touch({"s0": 304_000}, 4000)
    await room.release("s1", 5000)
    assert (await room.tick(5100))["sessions"] == 9
    assert (await room.tick(301_000 + 2_100))["sessions"] == 1, "the others' passes have run out by now"


async def test_a_lost_tail_is_noticed_also_when_only_joins_are_lost(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-60_000, starts=60_000)
    await room.tick()
    await room.crowd(3)
    await room.tick(100)
    copy = await copied(room)
    await room.join("late", 200)
    await room.tick(250)
    await rewound(room, copy)

    assert (await room.tick(500, newborn="two"))["generation"] == "two"


async def test_a_stale_replica_gets_back_what_it_has_missed(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=20)
    await room.tick()
    tickets = await room.crowd(60)
    await room.ticks(2, 500)
    copy = await copied(room)
    await room.ticks(5, 1000, since=1000)
    came = await room.claims(tickets, 6000)
    await room.control("cap", "15", at=6100)
    before = await room.tick(6200)
    await rewound(room, copy)
    after = await room.tick(6500, newborn="two")

    kept = ("serving", "called", "admitted", "sessions", "cap", "revision")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert len(came) == 20
    assert after["generation"] == "two"
    assert await room.claims(tickets, 7000) == [], "the seats are taken: the cap holds"


async def test_a_second_worker_adds_what_it_knows_better_and_begins_no_further_life(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=1000)
    await room.tick()
    await room.crowd(100)
    await room.tick(1000)
    elder = room.last_memory
    better = await room.tick(2000)
    newer = room.last_memory
    await redis.client.flushdb()

    first = await room.tick(2100, newborn="two", memory=elder)
    second = await room.tick(2200, newborn="three", memory=newer)
    third = await room.tick(2300, newborn="four", memory=elder)
    assert float(first["serving"]) < float(better["serving"])
    assert (second["serving"], second["called"]) == (better["serving"], better["called"])
    assert third["serving"] == second["serving"]
    assert [seen["generation"] for seen in (first, second, third)] == ["two", "two", "two"]


async def test_a_failover_to_an_elder_life_is_a_new_one(redis: ScriptRunner) -> None:
    room = Room(redis, rate=600, cap=1000)
    await room.tick(newborn="one")
    await room.crowd(10)
    await room.tick(100, newborn="none")
    copy = await copied(room)
    await room.tick(350)
    await flushed(room)
    await room.tick(500, newborn="two")
    await rewound(room, copy)

    assert (await room.tick(1000, newborn="three"))["generation"] == "three"


async def test_the_memory_of_another_event_brings_back_what_ops_said_and_the_seats_alone(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60_000, cap=10)
    await room.tick()
    await room.enter("s1", 100)
    await room.control("message", "Hello.", at=100)
    await room.crowd(5, 200)
    await room.tick(300)
    memory = json.loads(room.last_memory)
    await redis.client.flushdb()
    after = await room.tick(1000, memory=json.dumps(memory | {"event": "of last year"}), newborn="two")

    assert (after["message"], after["sessions"], after["called"], after["serving"]) == ("Hello.", 1, 0, "-inf")


async def test_a_memory_that_is_behind_changes_nothing(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.crowd(20)
    await room.tick(500)
    elder = room.last_memory
    await room.control("rate", "30", at=600)
    before = await room.tick(1000)

    assert await room.tick(1000, memory=elder, newborn="two") == before


async def test_a_quiet_room_writes_nothing_and_a_waiting_one_little(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.ticks(5, 1000)

    async def written(at: int) -> int:
        await redis.client.config_resetstat()
        before = (await redis.client.info("persistence"))["rdb_changes_since_last_save"]
        await room.tick(at)
        return int((await redis.client.info("persistence"))["rdb_changes_since_last_save"] - before)

    assert await written(6000) == 0
    await room.control("pause", at=6100)
    await room.crowd(5, 6200)
    await room.tick(6250)
    assert await written(6500) <= 3
    assert await redis.client.pttl(KEYS.queue) > 0


async def test_whoever_comes_right_after_a_loss_takes_no_place_among_the_first(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-60_000, starts=60_000, heads=3)
    await room.tick()
    first = [await room.join(f"t{number}", head=-100.0 + number, draw=0.5) for number in range(3)]
    await room.tick(100)
    await flushed(room)
    await room.tick(300, newborn="two")
    newcomer = await room.join("late", 310, head=-10.0, draw=0.5)
    back = [await room.join(f"t{number}", 320, kept=-100.0 + number) for number in range(3)]

    assert [reply[1] for reply in first] == [reply[1] for reply in back] == ["-100", "-99", "-98"]
    assert newcomer[1] == "0.5", "the first three are the first three, though none of them is back yet"
