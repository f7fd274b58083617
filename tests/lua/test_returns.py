"""Whoever lets the call lapse and comes back is called once more, and no more than once."""

import pytest

from tests.lua.room import Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


@pytest.fixture
async def room(redis: ScriptRunner) -> Room:
    """Give a room of one call a second in which t1 to t6 wait, and the call of t1 has lapsed at 120 s."""
    room = Room(redis, rate=1.0, cap=100)
    await room.tick()
    await room.crowd(6)
    await room.tick()
    await room.tick(120_000)
    return room


async def test_whoever_comes_back_is_called_at_once_and_comes_in(room: Room) -> None:
    assert await room.claim("t1", 121_000) == ["lapsed"], (
        "asking to come in is no way back: the answer stays what it was"
    )
    assert (await room.join("t1", 121_000, kept=1.0))[0] == "called"
    assert (await room.join("t1", 122_000, kept=1.0))[0] == "called", "the same when presented again"
    assert (await room.claim("t1", 122_000))[0] == "admitted"
    assert (await room.claim("t1", 122_001))[0] == "admitted", "the same answer when asked again"
    assert (await room.tick(123_000))["admitted"] == 1


async def test_whose_pass_shows_that_they_are_inside_gets_no_second_call(room: Room) -> None:
    before = await room.tick(121_000)
    await room.touch({"t1": 300_000}, 121_000)  # Redis had lost that it came in; its pass tells

    assert (await room.join("t1", 121_000, kept=1.0))[0] == "admitted"
    assert (await room.tick(121_001))["outstanding"] == before["outstanding"], "a seat is kept for nobody"


async def test_the_second_lapse_is_final(room: Room) -> None:
    await room.join("t1", 121_000, kept=1.0)
    for at in range(180_000, 600_000, 60_000):
        await room.tick(at)

    assert (await room.join("t1", 600_000, kept=1.0))[0] == "lapsed"
    assert await room.claim("t1", 600_000) == ["lapsed"]
    assert (await room.tick(600_001))["lapsed"] >= 2


async def test_who_was_in_does_not_return(room: Room) -> None:
    await room.join("t1", 121_000, kept=1.0)
    await room.claim("t1", 122_000)
    await room.tick(422_000)
    await room.tick(424_001)

    assert (await room.join("t1", 425_000, kept=1.0))[0] == "lapsed"
    assert await room.claim("t1", 425_000) == ["lapsed"]


async def test_who_came_in_on_the_first_call_does_not_return(room: Room) -> None:
    called = await room.claims(["t2"], 120_500)
    for at in range(121_000, 600_000, 30_000):
        await room.tick(at)

    assert called == ["t2"]
    assert (await room.join("t2", 600_000, kept=2.0))[0] == "lapsed", "it had a session, which is over"


async def test_returning_takes_no_more_than_the_rate_gives(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=100)
    await room.tick()
    tickets = await room.crowd(40)
    await room.ticks(40, 1000)
    await room.tick(170_000)
    back = [(await room.join(ticket, 170_000, kept=float(place)))[0] for place, ticket in enumerate(tickets, 1)]
    came = await room.claims(tickets, 170_000)

    assert back == ["called"] * 40
    assert len(came) == 2, "a second's worth, and one; nothing is saved up for those who were away"
    waits = {tuple(await room.claim(ticket, 170_000)) for ticket in tickets[2:]}
    assert waits == {("later", 1000)}
    for at in range(171_000, 171_000 + 38_000, 1000):
        await room.tick(at)
        came += await room.claims([ticket for ticket in tickets if ticket not in came], at)
    assert came == tickets


async def test_a_room_at_rest_has_saved_up_nothing_for_who_returns(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=100)
    await room.tick()
    tickets = await room.crowd(10)
    await room.ticks(200, 1000)
    for place, ticket in enumerate(tickets, 1):
        assert (await room.join(ticket, 3_800_000, kept=float(place)))[0] == "called"

    assert len(await room.claims(tickets, 3_800_000)) == 2, "a second's worth, and one, after an hour too"


async def test_who_leaves_and_is_back_brings_no_tokens_along(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=100, settle_ms=60_000)
    await room.tick()
    tickets = await room.crowd(10)
    await room.ticks(12, 1000)
    for ticket in tickets:
        await room.leave(ticket, 12_000)
    await room.ticks(30, 1000, 12_000)
    for place, ticket in enumerate(tickets, 1):
        assert (await room.join(ticket, 42_000, kept=float(place)))[0] == "called"

    assert len(await room.claims(tickets, 42_000)) == 2


async def test_who_returns_is_counted_on_so_that_nobody_new_takes_the_place(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, settle_ms=1000)
    await room.tick()
    await room.crowd(3)
    await room.tick(1000)
    await room.tick(121_000)
    await room.join("t1", 121_500, kept=1.0)
    await room.control("cap", "0", at=121_500)
    assert (await room.claim("t1", 121_500))[0] == "later"
    await room.control("cap", "1", at=121_500)
    before = (await room.tick(122_000))["called"]
    later = (await room.tick(125_000))["called"]

    assert (before, later) == (2, 2), "the one seat is for t1, who is here"
    assert await room.claims(["t1"], 126_000) == ["t1"]


async def test_who_returns_and_does_not_come_in_holds_nobody_up(redis: ScriptRunner) -> None:
    room = Room(redis, cap=10, settle_ms=1000)
    await room.tick()
    await room.crowd(30)
    await room.tick(1000)
    lapsed = (await room.tick(122_000))["lapsed"]
    for number in range(1, lapsed + 1):
        assert (await room.join(f"t{number}", 122_500, kept=float(number)))[0] == "called"
    before = (await room.tick(122_500))["called"]
    after = await room.ticked(126_000, 123_000)

    assert lapsed == 10
    assert after["called"] > before, "ten who are back and do not ask to come in keep ten seats for a moment at most"


async def test_leaving_gives_the_second_call_up(room: Room) -> None:
    await room.join("t1", 121_000, kept=1.0)
    before = await room.expected()
    await room.leave("t1", 122_000)

    assert await room.expected() == before - 1
    assert (await room.join("t1", 123_000, kept=1.0))[0] == "lapsed"


async def test_a_pause_gives_a_second_call_its_whole_window_too(room: Room) -> None:
    await room.join("t1", 121_000, kept=1.0)
    await room.control("pause", at=122_000)
    await room.tick(400_000)
    await room.control("resume", at=500_000)
    await room.tick(619_999)

    assert (await room.claim("t1", 619_999))[0] == "admitted"


async def test_whoever_is_called_beside_a_second_call_is_counted_with_it_at_once(room: Room) -> None:
    for at in range(180_000, 900_000, 60_000):
        await room.tick(at)
    await room.join("t6", 900_000, kept=6.0)
    await room.join("new", 900_000, score=100.0)
    called = (await room.tick(900_000))["called"]
    first = await room.expected()
    await room.tick(900_000)

    assert (called, first, await room.expected()) == (7, 2, 2), "they share a batch now, which is counted on as a whole"


async def test_a_resume_counts_a_second_call_as_a_tick_does(room: Room) -> None:
    for at in range(180_000, 900_000, 60_000):
        await room.tick(at)
    await room.join("t6", 900_000, kept=6.0)
    await room.control("pause", at=901_000)
    await room.control("resume", at=902_000)
    resumed = await room.expected()
    await room.tick(902_000)

    assert (resumed, await room.expected()) == (0, 0), "who is back is counted on once they ask to come in"


async def test_after_the_end_nobody_returns(room: Room) -> None:
    await room.control("end", at=121_000)

    assert (await room.join("t1", 122_000, kept=1.0))[0] == "lapsed"


async def test_after_a_loss_who_had_lapsed_before_it_does_not_return(room: Room) -> None:
    await room.claims(["t2"], 121_000)
    await room.tick(121_500)
    room.memory = room.last_memory
    await room.redis.client.flushdb()
    await room.tick(122_000, newborn="two")

    assert (await room.join("t1", 123_000, kept=1.0))[0] == "lapsed", "nobody knows any more whether it had come in"
    assert (await room.join("t2", 123_000, kept=2.0))[0] == "called", "who was called is called, as before"
    await room.tick(250_000)
    assert (await room.join("t2", 251_000, kept=2.0))[0] == "lapsed"


async def test_what_a_return_makes_has_an_end_even_if_nobody_ever_ticks_again(room: Room) -> None:
    for at in range(180_000, 600_000, 60_000):
        await room.tick(at)
    await room.redis.client.delete(KEYS.claimed, KEYS.knocks, KEYS.calls)
    assert (await room.join("t2", 601_000, kept=2.0))[0] == "called"

    for key in (KEYS.claimed, KEYS.knocks, KEYS.calls):
        assert 0 < await room.redis.client.pttl(key) <= room.keep_ms
