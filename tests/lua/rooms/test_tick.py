"""tick: time passes in a room, whoever says so and however often."""

from math import floor
from random import Random

import pytest

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS, room_keys
from waitroom.kernel.redis import ScriptRunner
from waitroom.store.keys import RoomKeys


async def test_a_new_room_is_born_with_one_token_and_its_limits(redis: ScriptRunner) -> None:
    snapshot = await Room(redis, rate=90, cap=7).tick()

    assert snapshot == {
        "word": "ticked",
        "generation": "one",
        "phase": "idle",
        "now": T0,
        "serving": "-inf",
        "called": 0,
        "waiting": 0,
        "sessions": 0,
        "outstanding": 0,
        "admitted": 0,
        "lapsed": 0,
        "rate": "90",
        "cap": 7,
        "message": "",
        "revision": 0,
        "commitment": "commitment",
        "spin": "0",
        "in_force": "90",
        "ratio": "1",
        "circuit": "closed",
        "circuit_since": 0,
        "spin_source": "",
        "roster_root": "",
        "roster_count": 0,
        "closed": "0",
        "open_until": 0,
        "revoked_before": 0,
        "show_up_ratio": "1",
        "stock": [],
    }


async def test_the_generation_stays_until_redis_loses_everything(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick(newborn="one")
    again = await room.tick(newborn="two")
    await redis.client.flushdb()
    after = await room.tick(newborn="three")

    assert (again["generation"], after["generation"]) == ("one", "three")


async def test_another_event_has_a_line_of_its_own_and_the_same_limits(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.crowd(3)
    first = await room.tick(1000)
    await redis.client.delete(KEYS.line, KEYS.queue, KEYS.calls)  # as under the name of another event
    second = await room.tick(1000, newborn="two")

    assert (first["called"], second["called"], second["serving"]) == (3, 0, "-inf")
    assert second["generation"] == "one"


async def test_people_are_called_in_order_as_fast_as_the_rate_allows(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60)
    await room.tick()
    await room.crowd(5)

    called = [(await room.tick(at))["serving"] for at in (0, 999, 1000, 1999, 2000, 4000)]

    assert called == ["1", "1", "2", "2", "3", "5"]


async def test_many_workers_in_the_same_millisecond_do_what_one_does(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.crowd(50)
    first = await room.tick(1000)

    assert first["called"] == 11
    assert [await room.tick(1000) for _ in range(5)] == [first] * 5


@pytest.mark.parametrize("every_ms", [1, 100, 250, 333, 950, 1000])
@pytest.mark.parametrize("rate", [1 / 7, 90.0, 599.9])
async def test_the_rate_is_kept_however_often_somebody_ticks(redis: ScriptRunner, rate: float, every_ms: int) -> None:
    room, minutes = Room(redis, rate=rate, cap=10_000, duration_ms=10**9), 20 / rate
    await room.tick()
    tickets = await room.crowd(30)
    admitted: list[str] = []
    at = 0
    for at in range(0, round(minutes * 60_000) + 1, max(every_ms, round(minutes * 60_000 / 2000))):
        called = (await room.tick(at))["called"]
        admitted += await room.claims(tickets[len(admitted) : called], at)

    assert len(admitted) == floor(1 + at * rate / 60_000 + 1e-9), "one token at birth, the others by time"


async def test_a_rate_below_two_a_second_loses_nothing_between_ticks_a_second_apart(redis: ScriptRunner) -> None:
    room = Room(redis, rate=90)
    await room.tick()
    tickets = await room.crowd(120)
    came = 0
    for number in range(1, 61):
        called = (await room.tick(number * 1000))["called"]
        came += len(await room.claims(tickets[came:called], number * 1000))

    assert came in {90, 91}


async def test_sixty_thousand_a_minute(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60_000, cap=100_000)
    await room.tick()
    await redis.client.zadd(KEYS.queue, {f"t{number}": float(number) for number in range(1, 5001)})

    assert [(await room.tick(at))["called"] for at in (0, 1, 2, 1002)] == [1, 2, 3, 1003]


async def test_a_cap_of_few_sessions_bounds_the_calls(redis: ScriptRunner) -> None:
    room = Room(redis, cap=3)
    await room.tick()
    tickets = await room.crowd(10)

    assert (await room.tick(1000))["called"] == 3
    assert await room.claims(tickets, 1000) == ["t1", "t2", "t3"]
    assert (await room.ticks(40, 250, since=1000))["called"] == 3


async def test_a_cap_lowered_below_the_sessions_calls_nobody_until_enough_are_gone(redis: ScriptRunner) -> None:
    room = Room(redis, cap=5, duration_ms=60_000)
    await room.tick()
    tickets = await room.crowd(9)
    await room.tick(1000)
    await room.claims(tickets[:4], 1000)
    await room.claims(tickets[4:5], 31_000)
    await room.control("cap", "1", 31_000)

    assert (await room.ticked(61_500, 31_000))["called"] == 5
    assert (await room.ticked(63_001, 61_500))["called"] == 5, "one is still inside, and one may be"
    assert (await room.ticked(93_001, 63_001))["called"] == 6


async def test_a_session_that_ran_out_counts_until_the_last_touch_must_have_arrived(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, duration_ms=60_000)
    await room.tick()
    await room.enter("seen a moment ago", 0)
    await room.join("next", 0)

    assert (await room.ticked(60_900))["called"] == 0
    await room.touch({"seen a moment ago": 119_000}, 61_000)
    assert (await room.ticked(62_500, 60_900))["called"] == 0, "the seat is not given away"
    assert (await room.ticked(121_000, 62_500))["called"] == 1


async def test_after_an_outage_the_seats_of_those_who_were_seen_meanwhile_are_theirs(redis: ScriptRunner) -> None:
    room = Room(redis, cap=2, duration_ms=60_000)
    await room.tick()
    await room.enter("alive", 0)
    await room.enter("gone", 300)
    await room.crowd(2, 400)
    await room.ticked(50_000, 1000)  # and now nobody reaches Redis for 20 s, in which both ends pass
    back = await room.tick(70_000)
    await room.touch({"alive": 125_000}, 71_500)
    touched = await room.ticked(79_999, 71_500)
    after = await room.tick(80_000)

    assert (back["sessions"], back["called"]) == (2, 0), (
        "no seat is given away before the workers could say who is alive"
    )
    assert (touched["sessions"], touched["called"]) == (2, 0)
    assert (after["sessions"], after["called"]) == (1, 1), "whoever was not seen is gone, and the next is called"
    assert await room.claims(["t1", "t2"], 80_000) == ["t1"]


async def test_a_claim_that_is_faster_than_the_first_tick_after_an_outage_takes_no_seat(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, duration_ms=60_000)
    await room.tick()
    await room.enter("alive", 0)
    await room.control("cap", "2")
    await room.join("t1", 0)
    await room.tick(1000)
    await room.control("cap", "1", 1000)
    await room.ticked(50_000, 1000)

    assert (await room.claim("t1", 70_000))[0] == "later"
    await room.touch({"alive": 125_000}, 70_500)
    assert (await room.tick(71_000))["sessions"] == 1


async def test_a_quiet_time_is_no_outage(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, duration_ms=3_000)
    await room.ticked(10_000)
    await room.enter("one", 900_000)
    await room.ticked(905_000, 900_250)

    assert (await room.enter("two", 905_001))[0] == "admitted"


async def test_the_called_who_do_not_come_are_no_longer_counted_on_and_then_lapse(redis: ScriptRunner) -> None:
    room = Room(redis, cap=2)
    await room.tick()
    await room.crowd(6)
    counts = [(await room.tick(at), await room.expected()) for at in (1000, 25_999, 26_000, 120_999, 121_000)]

    seen = [(tick["called"], expected, tick["outstanding"], tick["lapsed"]) for tick, expected in counts]
    assert seen == [(2, 2, 2, 0), (2, 2, 2, 0), (4, 2, 4, 0), (6, 2, 6, 0), (6, 2, 4, 2)]


async def test_a_call_never_runs_out_before_those_that_were_made_earlier(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1, settle_ms=1000)
    await room.tick()
    await room.crowd(2)
    await room.tick(1000)
    room.window_ms = 10_000  # the configuration was changed
    assert (await room.tick(3000))["called"] == 2

    assert (await room.tick(20_000))["lapsed"] == 0
    assert (await room.join("t2", 20_000))[0] == "called"
    assert (await room.tick(121_000))["lapsed"] == 2


@pytest.mark.parametrize(
    ("at", "phase"),
    [(-2000, "idle"), (-1000, "prequeue"), (-1, "prequeue"), (0, "open"), (999, "open"), (1000, "ended")],
)
async def test_a_scheduled_room_goes_through_its_phases(redis: ScriptRunner, at: int, phase: str) -> None:
    room = Room(redis, prequeue=-1000, starts=0, ends=1000)

    assert (await room.tick(at))["phase"] == phase


async def test_ops_pause_resume_and_end_a_room(redis: ScriptRunner) -> None:
    room = Room(redis, starts=0)
    await room.tick()
    phases = []
    for kind in ("pause", "end", "resume"):
        await room.control(kind)
        phases.append((await room.tick())["phase"])

    assert phases == ["paused", "ended", "open"]


async def test_an_end_by_ops_ends_this_event_and_not_the_next(redis: ScriptRunner) -> None:
    room = Room(redis, starts=0)
    await room.tick()
    await room.control("end")
    reply = await redis.run(
        "rooms/tick",
        keys=room_keys(RoomKeys("drop", "next"))["rooms/tick"],
        args=[
            *(T0, "next", "", T0, "", "600", 10, 1000, 1000, "one", "c", 1000),
            *("", "none", "", 25_000, 86_400_000, 3, 0.1, 15_000, 20_000),
        ],
    )

    assert ((await room.tick())["phase"], reply[2]) == ("ended", "open")


async def test_nobody_is_called_before_the_opening_and_nothing_is_saved_up_for_it(redis: ScriptRunner) -> None:
    room = Room(redis, prequeue=-60_000, starts=0)
    await room.tick(-60_000)
    for number in range(20):
        await room.join(f"t{number}", -1000, score=number / 20)

    assert (await room.ticks(100, 100, since=-10_000 - 100))["called"] == 0
    assert (await room.tick(0))["called"] <= 2


async def test_a_pause_calls_nobody_keeps_the_called_and_ends_without_a_burst(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1000)
    await room.tick()
    await room.crowd(200)
    await room.tick(1000)
    await room.control("pause", at=1000)
    paused = await room.ticks(300, 1000, since=1000)
    await room.control("resume", at=301_000)
    resumed = [await room.tick(301_000 + ms) for ms in (0, 100, 1000, 2000, 3000)]

    assert (paused["called"], paused["lapsed"], paused["outstanding"]) == (11, 0, 11)
    assert [tick["called"] for tick in resumed] == [11, 11, 11, 21, 31], "the called come first, at the rate"
    assert (await room.tick(420_000))["lapsed"] == 0
    assert (await room.tick(421_000))["lapsed"] == 11


async def test_tickets_of_one_equal_score_are_called_together(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60)
    await room.tick()
    for ticket in "abcd":
        await room.join(ticket, score=5.0)
    await room.join("e", score=6.0)

    snapshot = await room.tick()

    assert (snapshot["called"], snapshot["waiting"], snapshot["serving"]) == (4, 1, "5")
    assert [(await room.claim(ticket))[0] for ticket in "abcd"] == ["admitted", "later", "later", "later"]


@pytest.mark.parametrize("spin", [0.0, 0.25, 0.5, 2**-52, 1 - 2**-52, 0.123456789])
async def test_the_four_segments_are_served_in_order_from_any_spin(redis: ScriptRunner, spin: float) -> None:
    chance, room = Random(repr(spin)), Room(redis, rate=60, cap=1000)
    spin = round(spin * 2**52) / 2**52
    scores = [
        -3.5,
        -1.0,
        0.0,
        0.25,
        0.5,
        1 - 2**-52,
        1.0,
        2.5,
        1e12,
        *(chance.getrandbits(52) / 2**52 for _ in range(25)),
    ]
    await redis.client.hset(KEYS.line, "spin", repr(spin))
    await room.tick()
    chance.shuffle(scores)
    for score in scores:
        await room.join(repr(score), kept=score)
    heads = sorted(score for score in scores if score < 0)
    draw = sorted((score for score in scores if 0 <= score < 1), key=lambda score: (score - spin) % 1)
    order = [*heads, *draw, *sorted(score for score in scores if score >= 1)]

    aheads = {score: (await room.join(repr(score)))[2] for score in scores}
    served: list[float] = []
    for at in range(0, 1000 * len(scores), 1000):
        await room.tick(at)
        served += [
            score for score in scores if score not in served and (await room.claim(repr(score), at))[0] == "admitted"
        ]

    assert sorted(aheads, key=aheads.__getitem__) == order
    assert [aheads[score] for score in order] == list(range(len(order)))
    assert served == order


async def test_every_move_of_the_threshold_is_in_the_log(redis: ScriptRunner) -> None:
    room = Room(redis, rate=60)
    await room.tick()
    await room.crowd(2)
    await room.tick(0)
    await room.tick(500)
    await room.tick(1000)
    entries = [entry for _, entry in await redis.client.xrange(KEYS.log) or []]

    assert entries == [
        {"at_ms": str(T0), "lane": "main", "serving": "1", "called": "1"},
        {"at_ms": str(T0 + 1000), "lane": "main", "serving": "2", "called": "1"},
    ]


async def test_zero_asks_the_clock_of_redis(redis: ScriptRunner) -> None:
    seconds, _ = await redis.client.time()
    snapshot = await Room(redis).tick(-T0)

    assert 0 <= snapshot["now"] - seconds * 1000 < 60_000


async def test_every_key_of_a_room_has_an_end(redis: ScriptRunner) -> None:
    room = Room(redis, cap=2)
    await room.tick()
    tickets = await room.crowd(4)
    await room.tick(1000)
    await room.claims(tickets[:2], 1000)
    await room.tick(26_000)
    await room.control("cap", "3", 26_000)
    await room.tick(26_000)
    await room.control("cap", "2", 26_000)
    await room.claim("t3", 26_000)
    await room.release("t1", 26_000)
    await room.control("message", "Hello.")
    keys = [key async for key in redis.client.scan_iter()]

    assert len(keys) == 12
    assert all([await redis.client.pttl(key) > 0 for key in keys])


# The spin of the draw


async def drawn_room(redis: ScriptRunner, *, awaited: int | None = 30_000) -> Room:
    """Give a room whose draw of ten has just begun to wait for its spin."""
    room = Room(redis, prequeue=-10_000, starts=0, awaited=awaited)
    await room.tick(-5_000)
    for number in range(10):
        await room.join(f"t{number}", -4_000, score=number / 10)
    return room


async def test_while_the_spin_is_awaited_nobody_is_called_to_the_millisecond(redis: ScriptRunner) -> None:
    room = await drawn_room(redis)
    before = [await room.tick(at) for at in (0, 1, 15_000, 29_999)]
    after = await room.tick(30_000)

    assert [(snapshot["called"], snapshot["spin_source"], snapshot["phase"]) for snapshot in before] == [
        (0, "", "open")
    ] * 4
    assert (after["spin"], after["spin_source"]) == ("0", "none")
    assert after["called"] == 1, "and nothing was saved up for a burst"


async def test_the_spin_ends_the_waiting_and_turns_the_order(redis: ScriptRunner) -> None:
    room = await drawn_room(redis)
    await room.tick(0)
    await room.spin(0.45, at=100)
    snapshot = await room.tick(200)

    assert (snapshot["spin"], snapshot["spin_source"]) == ("0.45", "beacon")
    assert snapshot["called"] >= 1
    assert (await room.claim("t5", 200))[0] == "admitted"
    assert (await room.claim("t0", 200))[0] == "waiting"


async def test_without_a_beacon_the_draw_goes_on_at_the_opening(redis: ScriptRunner) -> None:
    room = await drawn_room(redis, awaited=None)

    assert (await room.tick(-1))["spin_source"] == ""
    snapshot = await room.tick(0)
    assert (snapshot["spin_source"], snapshot["called"]) == ("none", 1)


async def test_an_always_on_room_has_no_draw(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.crowd(3)
    snapshot = await room.tick(1000)

    assert (snapshot["spin_source"], snapshot["called"]) == ("", 3)
    assert await room.line("drawn_ms") is None


async def test_a_spin_that_redis_lost_is_put_back_by_whoever_has_seen_it(redis: ScriptRunner) -> None:
    room = await drawn_room(redis)
    await room.tick(0)
    await room.spin(0.45, at=100)
    await room.tick(200)
    memory = room.last_memory
    await redis.client.flushdb()
    newcomer = await room.tick(40_000)
    witness = await room.tick(40_100, memory=memory)
    late = await room.tick(40_200)

    assert newcomer["spin_source"] == "", "it has seen nothing, and waits for somebody who has"
    assert (witness["spin"], witness["spin_source"]) == ("0.45", "beacon")
    assert late["spin"] == "0.45"
    assert await room.spin(0.7, "another", 40_300) == ["spun", "0.45", "beacon"]


async def test_nobody_is_called_before_a_lost_spin_could_be_put_back(redis: ScriptRunner) -> None:
    room = await drawn_room(redis)
    await redis.client.flushdb()
    await room.tick(40_000)
    await room.join("t7", 40_001, kept=0.7)

    assert (await room.tick(44_999))["called"] == 0
    assert (await room.tick(45_000))["called"] == 1


async def test_what_redis_knows_is_stronger_than_what_a_worker_remembers(redis: ScriptRunner) -> None:
    room = await drawn_room(redis)
    await room.tick(0)
    await room.spin(0.45, at=100)
    await room.tick(200)
    memory = room.last_memory.replace("0.45", "0.7").replace("beacon", "another")

    assert (await room.tick(300, memory=memory))["spin"] == "0.45"


async def test_a_spin_that_alone_was_lost_is_put_back(redis: ScriptRunner) -> None:
    room = await drawn_room(redis)
    await room.tick(0)
    await room.spin(0.45, at=100)
    await room.tick(200)
    await redis.client.hdel(KEYS.line, "spin_source")
    await redis.client.hset(KEYS.line, "spin", "0")
    snapshot = await room.tick(300, memory=room.last_memory)

    assert (snapshot["spin"], snapshot["spin_source"]) == ("0.45", "beacon")
