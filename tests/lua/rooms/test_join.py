"""join: one place a ticket, once, and the same place whenever it is presented."""

import pytest

from tests.lua.room import Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


async def test_a_newcomer_stands_behind_those_before(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()

    assert await room.join("a", score=10.0) == ["waiting", "10", 0, 0]
    assert await room.join("b", score=20.0) == ["waiting", "20", 1, 0]
    assert await room.join("c", score=15.0) == ["waiting", "15", 1, 0]
    assert await room.join("b", score=20.0) == ["waiting", "20", 2, 1]


async def test_a_ticket_presented_again_keeps_its_first_place(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("a", score=10.0)
    await room.join("b", score=20.0)

    assert await room.join("b", score=1.0) == ["waiting", "20", 1, 1]
    assert await room.join("b", kept=1.0) == ["waiting", "20", 1, 1]


async def test_a_room_without_state_says_so_and_the_ticket_brings_its_place_back(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.crowd(3)
    await redis.client.flushdb()

    assert await room.join("t2", kept=2.0) == ["unloaded"]
    await room.tick(newborn="two")
    await room.join("newcomer", score=9.0)
    for ticket in ("t3", "t1", "t2"):
        await room.join(ticket, kept=float(ticket[1:]))
    assert await room.join("t2", kept=2.0) == ["waiting", "2", 1, 1]
    assert await room.join("newcomer") == ["waiting", "9", 3, 1]


@pytest.mark.parametrize(
    ("heads", "at", "scores"),
    [
        (2**53, -1, ["-5", "-5", "-5"]),
        (2, -1, ["-5", "-5", "0.5"]),
        (0, -1, ["0.5", "0.5", "0.5"]),
        (2**53, 0, ["7", "7", "7"]),
        (2, 0, ["7", "7", "7"]),
        (0, 0, ["7", "7", "7"]),
    ],
)
async def test_before_the_opening_the_first_keep_their_order_the_others_are_drawn_and_later_all_queue_up(
    redis: ScriptRunner, heads: int, at: int, scores: list[str]
) -> None:
    room = Room(redis, prequeue=-1000, starts=0, heads=heads)
    await room.tick(-1000)

    assert [(await room.join(ticket, at, head=-5.0, draw=0.5, tail=7.0))[1] for ticket in "abc"] == scores


async def test_a_newcomer_never_lands_at_or_before_the_threshold(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60)
    await room.tick()
    await room.join("a", score=1000.0)
    await room.join("b", score=1001.0)
    await room.tick()
    state, score, ahead, *_ = await room.join("old phone", score=3.25)

    assert (state, ahead) == ("waiting", 0), "it asked before b did"
    assert 1000 < float(score) < 1001
    assert (await room.join("exactly there", score=1000.0))[0] == "waiting"


async def test_the_clamp_holds_with_scores_as_large_as_today(redis: ScriptRunner) -> None:
    room, today = Room(redis, rate=60), 1.8e12
    await room.tick()
    await room.join("a", score=today)
    await room.tick()
    late = [float((await room.join(f"l{number}", score=today - number + number / 256))[1]) for number in range(256)]

    assert min(late) > today
    assert max(late) < today + 0.2
    assert sorted(set(late)) == late, "one by one, in the order of their coming: equal scores are called together"
    assert (await room.tick(1000))["serving"] != "1800000000000"


async def test_a_called_ticket_is_told_so_until_it_comes_in(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("a", score=10.0)
    await room.tick()

    assert await room.join("a") == ["called", "10", 0, 1]
    await room.claim("a", 1000)
    assert await room.join("a", 2000) == ["admitted", "10", 0, 1]
    assert await room.join("a", 301_000) == ["lapsed", "10", 0, 1]


async def test_whoever_does_not_come_in_time_is_told_so(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("a", score=10.0)
    await room.tick()
    await room.tick(120_000)

    assert (await room.claim("a", 120_000))[0] == "lapsed"
    assert (await room.join("a", 120_000))[0] == "called", "once more"
    await room.tick(240_000)
    assert (await room.join("a", 240_000))[0] == "lapsed"
    assert (await room.join("a", 999_000))[0] == "lapsed"


async def test_an_ended_room_takes_nobody_new_and_knows_who_waits(redis: ScriptRunner) -> None:
    room = Room(redis, starts=0, ends=1000)
    await room.tick()
    await room.join("a", 0, score=1.0)
    await room.join("b", 0, score=2.0)

    assert await room.join("c", 1000) == ["ended"]
    assert await room.join("c", 1000, kept=1.5) == ["ended"]
    assert (await room.join("b", 1000))[0] == "waiting"


async def test_an_end_by_ops_is_an_end(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.control("end")

    assert await room.join("a") == ["ended"]


async def test_a_called_ticket_that_left_and_is_back_is_counted_on_again(redis: ScriptRunner) -> None:
    room = Room(redis, cap=2)
    await room.tick()
    await room.crowd(5)
    await room.tick(1000)
    for _ in range(3):
        await room.leave("t1")
        assert (await room.join("t1", 1000, kept=1.0))[0] == "called"

    snapshot = await room.tick(2000)
    assert (snapshot["called"], snapshot["outstanding"]) == (2, 2)


async def test_a_place_has_an_end_even_if_nobody_ever_ticks_again(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("a")

    assert 0 < await redis.client.pttl(KEYS.queue) <= room.keep_ms


async def test_a_score_comes_back_with_every_bit(redis: ScriptRunner) -> None:
    room, score = Room(redis), 1_700_000_000_123 + 77 / 256
    await room.tick()

    for number, exact in enumerate([score, 0.1, 1 / 3, 1 - 2**-52, 2**-52, -0.00390625]):
        assert float((await room.join(f"t{number}", kept=exact))[1]) == exact


async def test_zero_has_no_sign_in_the_draw(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("minus zero", kept=-0.0)
    await room.join("head", kept=-0.5)

    assert (await room.join("minus zero"))[2] == 1
    assert (await room.join("head"))[2] == 0


async def test_who_comes_to_the_draw_after_the_opening_is_marked(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-10_000, starts=0)
    await room.tick(-1)
    await room.join("in time", -1, score=0.1)
    await room.tick(0)
    await room.join("left before", 1, kept=0.2)
    await room.join("too late", 1, score=1.5)
    await room.join("in time", 1, kept=0.1)

    assert await redis.client.zrange(KEYS.strays, 0, -1, withscores=True) == [("left before", 0.0)]
    assert await redis.client.pttl(KEYS.strays) > 0
    await room.leave("left before")
    assert await redis.client.zscore(KEYS.strays, "left before") == 0, "and does not become one who was there"


async def test_a_full_room_takes_no_newcomer_and_everybody_who_had_a_place(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-60_000, starts=60_000, max_waiting=3)
    await room.tick()
    await room.crowd(3)

    assert await room.join("late", 10) == ["full"]
    assert (await room.join("t1", 20))[0] == "waiting", "known"
    assert (await room.join("lost", 30, kept=9.0))[0] == "waiting", "Redis had lost it"
    await room.leave("t2")
    await room.leave("t3")
    assert (await room.join("late", 40))[0] == "waiting"
