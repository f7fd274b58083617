"""leave: a place is given up, and nobody else's."""

from tests.lua.room import Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


async def test_a_place_is_free_and_leaving_twice_is_leaving_once(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.crowd(3)

    assert await room.leave("t1") == ["left"]
    assert await room.leave("t1") == ["unknown"]
    assert (await room.join("t3"))[2] == 1


async def test_where_redis_has_lost_everything_there_is_nothing_to_leave(redis: ScriptRunner) -> None:
    assert await Room(redis).leave("t1") == ["unknown"]


async def test_a_called_ticket_that_leaves_frees_its_call_at_once(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1)
    await room.tick()
    await room.crowd(3)
    await room.tick(1000)
    await room.leave("t1")
    snapshot = await room.tick(1001)

    assert (snapshot["called"], snapshot["outstanding"], snapshot["lapsed"]) == (2, 1, 0)
    assert (await room.claim("t2", 1001))[0] == "admitted"


async def test_leaving_after_the_call_lapsed_takes_nothing_from_those_called_later(redis: ScriptRunner) -> None:
    room = Room(redis, cap=2)
    await room.tick()
    await room.crowd(6)
    for at in (1000, 26_000, 121_000):
        await room.tick(at)
    await room.leave("t1")
    await room.leave("t2")
    before = await room.expected()
    snapshot = await room.tick(121_001)

    assert before == 2
    assert snapshot["outstanding"] == 4, "t3 to t6"


async def test_somebody_inside_has_no_place_to_give_up(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.crowd(2)
    await room.tick(1000)
    await room.claim("t1", 1000)

    assert await room.leave("t1") == ["left"]
    assert (await room.claim("t1", 1001))[0] == "admitted"
    assert (await room.tick(1001))["outstanding"] == 1


async def test_somebody_told_to_come_back_who_leaves_is_not_waited_for(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, settle_ms=1000)
    await room.tick()
    await room.crowd(3)
    await room.tick(1000)
    await room.tick(2000)
    assert await room.claims(["t2"], 2000) == ["t2"]
    assert (await room.claim("t1", 2500))[0] == "later"
    before = await room.expected()
    await room.leave("t1")

    assert (before, await room.expected()) == (1, 0)


async def test_who_leaves_after_the_opening_was_in_the_draw_and_who_left_before_was_not(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-10_000, starts=0)
    await room.tick(-1)
    for ticket, score in (("early", 0.1), ("late", 0.2), ("head", -5.0), ("tail", 3.0)):
        await room.join(ticket, -1, score=score)
    await room.leave("early")
    await room.tick(0)
    for ticket in ("late", "head", "tail"):
        await room.leave(ticket)

    assert await redis.client.zrange(KEYS.strays, 0, -1, withscores=True) == [("late", 1.0)]
    assert await redis.client.pttl(KEYS.strays) > 0
    assert await room.join("late", 1, kept=0.2)
    await room.leave("late")
    assert await redis.client.zscore(KEYS.strays, "late") == 1, "what was at the opening stays so"


async def test_leaving_and_coming_back_together_lets_in_no_more_than_the_rate(redis: ScriptRunner) -> None:
    room = Room(redis, rate=59.9)
    await room.tick()
    await room.join("t1")
    await room.leave("t1")
    await room.join("t0")
    await room.ticks(30, 100)
    await room.leave("t0", at=3_000)
    for ticket in ("t0", "t1"):
        await room.join(ticket, at=3_000, kept=1.0)

    assert await room.claims(["t0", "t1"], at=3_000) == ["t0"]
