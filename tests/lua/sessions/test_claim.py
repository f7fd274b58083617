"""claim: a called ticket becomes a session, once, within rate and cap."""

import pytest

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


@pytest.fixture
async def room(redis: ScriptRunner) -> Room:
    """Give a room of one call a second in which t1, t2 and t3 wait and t1 is called."""
    room = Room(redis, rate=60)
    await room.tick()
    await room.crowd(3)
    await room.tick()
    return room


async def test_a_called_ticket_comes_in_and_hears_the_same_when_it_asks_again(room: Room) -> None:
    assert await room.claim("t1", 100) == ["admitted", T0 + 300_100]
    assert await room.claim("t1", 900) == ["admitted", T0 + 300_100]
    snapshot = await room.tick(900)
    assert (snapshot["admitted"], snapshot["sessions"], snapshot["outstanding"]) == (1, 1, 0)


async def test_whoever_is_not_called_waits(room: Room) -> None:
    assert await room.claim("t2") == ["waiting"]
    assert await room.claim("t3") == ["waiting"]


async def test_the_threshold_itself_is_called_and_the_next_number_is_not(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60)
    await room.tick()
    await room.join("a", score=1.0)
    await room.join("b", score=1.0000000000000002)
    await room.tick()

    assert [(await room.claim(ticket))[0] for ticket in "ba"] == ["waiting", "admitted"]


async def test_a_ticket_without_a_place_must_join_first(room: Room) -> None:
    assert await room.claim("stranger") == ["unknown"]


async def test_a_room_without_state_says_so(room: Room) -> None:
    await room.redis.client.flushdb()

    assert await room.claim("t1") == ["unloaded"]


async def test_a_session_that_is_over_cannot_be_had_again(room: Room) -> None:
    await room.claim("t1")

    assert await room.claim("t1", 300_000) == ["lapsed"]
    await room.tick(300_000)
    assert await room.claim("t1", 300_000) == ["lapsed"]


@pytest.mark.parametrize("at", [1000, 121_000, 400_000])
async def test_a_session_that_was_ended_cannot_be_had_again(room: Room, at: int) -> None:
    await room.claim("t1")
    await room.release("t1", 500)
    await room.tick(at)

    assert await room.claim("t1", at) == ["lapsed"]


async def test_a_call_that_ran_out_is_gone(room: Room) -> None:
    await room.tick(120_000)

    assert await room.claim("t1", 120_000) == ["lapsed"]
    assert (await room.claim("t2", 120_000))[0] == "admitted", "called at that tick"


async def test_nobody_comes_in_after_the_end(room: Room) -> None:
    room.ends = 1000
    assert await room.claim("t1", 1000) == ["ended"]
    await room.claim("t1", 999)
    assert (await room.claim("t1", 1000))[0] == "admitted", "who is inside, is"


async def test_while_paused_a_called_ticket_is_asked_to_come_back(room: Room) -> None:
    await room.control("pause")

    assert await room.claim("t1") == ["later", 5000]
    assert await room.claim("t2") == ["waiting"]


async def test_the_rate_holds_however_many_of_the_called_come_at_once(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=100)
    await room.tick()
    tickets = await room.crowd(20)
    await room.ticks(9, 1000)
    at_once = await room.claims(tickets, 60_000)
    await room.tick(60_000)

    assert len(at_once) == 10, "ten were called and counted on"
    assert await room.claims(tickets[10:], 60_000) == ["t11", "t12"], "and one second's worth, and one"


async def test_latecomers_take_no_more_than_the_rate_leaves(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60, cap=100)
    await room.tick()
    tickets = await room.crowd(80)
    await room.ticks(60, 1000)

    expected = await room.expected()
    came = await room.claims(tickets, 60_000)

    assert 25 <= expected <= 50, "what 25 seconds bring, and as many again for those who do not show up"
    assert expected <= len(came) <= expected + 2
    assert await room.claim(tickets[len(came)], 60_000) == ["later", 1000]
    assert (await room.claim(tickets[len(came)], 61_000))[0] == "admitted"


@pytest.mark.parametrize("rate", [1 / 7, 0.3, 7.0, 600.0, 60_000.0])
async def test_later_is_exactly_when_the_next_token_is_there(redis: ScriptRunner, rate: float) -> None:
    room = Room(redis, rate=rate, window_ms=10**9, settle_ms=1)
    await room.tick()
    await room.join("a", score=5.0)
    await room.join("b", score=5.0)
    await room.tick()
    await room.claim("a")
    _, wait_ms = await room.claim("b")

    assert wait_ms == pytest.approx(60_000 / rate, abs=1)
    assert (await room.claim("b", wait_ms - 2))[0] == "later" or wait_ms < 3
    assert (await room.claim("b", wait_ms))[0] == "admitted"


async def test_a_glacial_rate_asks_to_come_back_within_the_hour(redis: ScriptRunner) -> None:
    room = Room(redis, rate=1e-9)
    await room.tick()
    await room.join("a")
    await room.tick()
    await room.enter("b")
    await room.join("c", score=1.0)

    assert (await room.claim("a"))[0] == "admitted"
    await room.redis.client.hset(KEYS.line, "serving", "9")
    assert await room.claim("c") == ["later", 3_600_000]


async def test_at_the_cap_a_called_ticket_waits_for_the_next_seat_and_gets_it(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, settle_ms=1000, duration_ms=200_000)
    await room.tick()
    await room.crowd(3)
    await room.tick(1000)
    await room.tick(2000)  # t1 is not counted on any more, so t2 is called
    assert await room.claims(["t2"], 2000) == ["t2"]

    assert await room.claim("t1", 100_000) == ["later", 5000]
    for at in range(105_000, 200_001, 5000):
        assert (await room.ticked(at, at - 4000))["lapsed"] == 0
        assert await room.claim("t1", at) == ["later", 5000]
    assert (await room.ticked(204_000, 201_000))["called"] == 2, "the seat is kept for t1"
    assert (await room.claim("t1", 205_000))[0] == "admitted"
    assert (await room.tick(206_000))["called"] == 2


async def test_a_cap_of_nothing_lets_nobody_in(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.join("a")
    await room.tick()
    await room.control("cap", "0")

    assert await room.claim("a") == ["later", 5000]
    assert (await room.tick(1000))["sessions"] == 0


async def test_a_seat_is_not_given_away_before_the_last_touch_must_have_arrived(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, duration_ms=60_000)
    await room.tick()
    await room.enter("a")
    await room.control("cap", "2")
    await room.join("b")
    await room.tick(1000)
    await room.control("cap", "1", 1000)
    await room.ticked(61_500, 1000)

    assert (await room.claim("b", 61_999))[0] == "later"
    assert (await room.claim("b", 62_000))[0] == "admitted"


async def test_zero_asks_the_clock_of_redis(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick(-T0)
    await room.join("a", -T0)
    await room.tick(-T0)
    seconds, _ = await redis.client.time()
    _, end = await room.claim("a", -T0)

    assert 0 <= end - 300_000 - seconds * 1000 < 60_000


async def test_what_a_claim_makes_has_an_end_even_if_nobody_ever_ticks_again(room: Room) -> None:
    await room.claim("t1")

    for key in (KEYS.sessions, KEYS.claimed, KEYS.calls):
        assert 0 < await room.redis.client.pttl(key) <= room.keep_ms
