"""The health of an upstream: who reports what, how far admission slows, when the circuit opens and closes."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS, ROOM_KEYS
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.scripts import load_script

WELL, SLOW, DOWN = (100, 0, 0), (100, 30, 0), (100, 0, 90)
FULL = 600.0


@pytest.fixture
async def room(redis: ScriptRunner) -> Room:
    room = Room(redis, rate=FULL, cap=100_000)
    await room.tick(0)
    return room


async def reports(room: Room, since_s: int, until_s: int, *seen: int) -> list[Any]:
    """Report the same, once a second; return the last answer."""
    found: list[Any] = []
    for second in range(since_s, until_s):
        found = await room.health(second * 1000, *seen)
    return found


async def rate_of(room: Room, at: int) -> float:
    return float((await room.tick(at))["in_force"])


async def opened(room: Room) -> int:
    """Let the upstream fail; return when the circuit opened."""
    await reports(room, 1, 3, *DOWN)
    assert (await room.tick(3000))["circuit"] == "open"
    return 2000


async def audit(room: Room) -> list[tuple[str, str, str]]:
    entries: Any = await room.redis.client.xrange(KEYS.audit)
    return [(one["who"], one["before"], one["value"]) for _, one in entries]


async def test_before_the_first_tick_there_is_nothing_to_judge(redis: ScriptRunner) -> None:
    assert await Room(redis).health(0, *SLOW) == ["unloaded"]


async def test_while_all_is_well_the_rate_is_full(room: Room) -> None:
    assert await reports(room, 0, 30, *WELL) == ["noted", "1", "closed", 0, 0]
    assert await rate_of(room, 30_000) == FULL


async def test_distress_slows_by_a_factor_then_waits_for_what_it_does(room: Room) -> None:
    await reports(room, 0, 5, *WELL)

    ratios = [float((await room.health(second * 1000, *SLOW))[1]) for second in range(5, 17)]
    assert ratios == pytest.approx([1.0] + [0.6] * 5 + [0.36] * 5 + [0.216])
    assert await rate_of(room, 17_000) == pytest.approx(FULL * 0.216)


async def test_a_handful_of_requests_proves_nothing(room: Room) -> None:
    assert (await reports(room, 0, 3, 2, 2, 0))[1] == "1"


async def test_small_samples_of_many_workers_prove_it_together(room: Room) -> None:
    for worker in range(12):
        reply = await room.health(1000 + worker, 2, 2, 0, worker=f"w{worker}")
    reply = await room.health(2001)

    assert float(reply[1]) == pytest.approx(0.6)


async def test_a_report_that_is_sent_again_counts_once(room: Room) -> None:
    for _ in range(9):
        await room.health(1000, 10, 10, 0, worker="w1", serial=7)

    assert (await room.health(2001))[1] == "1", "ten are fewer than twenty"


async def test_a_report_that_is_sent_again_is_as_old_as_it_was(room: Room) -> None:
    for at in (1000, 9000):
        await room.health(at, 15, 15, 0, worker="w1", serial=7)

    assert (await room.health(11_500, 10, 10, 0, worker="w1", serial=8))[1] == "1"


async def test_the_worker_who_reports_more_often_does_not_judge_more_often(room: Room) -> None:
    await room.health(0, *SLOW)
    replies = [await room.health(1000 + number, *SLOW) for number in range(900)]

    assert {reply[1] for reply in replies} == {"0.59999999999999998"}


async def test_calm_speeds_up_step_by_step_to_the_full_rate_in_the_recovery_time(room: Room) -> None:
    await reports(room, 1, 60, *SLOW)
    low = float((await room.tick(60_000))["ratio"])
    await reports(room, 60, 211, *WELL)  # the first few stand beside slow ones
    middle = float((await room.tick(211_000))["ratio"])
    await reports(room, 211, 372, *WELL)

    assert low < 0.01
    assert middle == pytest.approx(145 / 300, abs=0.02)
    assert await rate_of(room, 372_000) == FULL


async def test_between_calm_and_distress_the_rate_stays(room: Room) -> None:
    await reports(room, 1, 3, *SLOW)
    await reports(room, 3, 13, 100, 3, 0)
    settled = await rate_of(room, 13_000)

    await reports(room, 13, 60, 100, 3, 0)
    assert await rate_of(room, 60_000) == settled


async def test_where_nobody_asks_the_upstream_it_recovers(room: Room) -> None:
    await reports(room, 1, 30, *SLOW)
    slowed = await rate_of(room, 30_000)

    await reports(room, 30, 400)
    assert slowed < FULL / 5
    assert await rate_of(room, 400_000) == FULL


async def test_a_few_slow_ones_do_not_let_it_recover(room: Room) -> None:
    await reports(room, 1, 30, *SLOW)
    await reports(room, 30, 41, 1, 1, 0)
    slowed = await rate_of(room, 41_000)

    await reports(room, 41, 100, 1, 1, 0)
    assert await rate_of(room, 100_000) == slowed


async def test_a_gap_in_the_reports_is_no_recovery(room: Room) -> None:
    await reports(room, 1, 30, *SLOW)
    before = float((await room.tick(30_000))["ratio"])

    assert float((await room.health(55_000, *WELL))[1]) <= before + 10 / 300 + 1e-9


async def test_nobody_who_reports_no_more_is_slowed(room: Room) -> None:
    await reports(room, 1, 30, *DOWN)
    assert (await room.tick(59_000))["circuit"] == "open"

    snapshot = await room.tick(59_001)
    assert (snapshot["circuit"], snapshot["ratio"], float(snapshot["in_force"])) == ("closed", "1", FULL)


async def test_the_floor_is_never_taken(room: Room) -> None:
    await reports(room, 1, 120, *SLOW)

    assert await rate_of(room, 120_000) == room.rate_floor


async def test_a_rate_below_the_floor_is_the_rate(room: Room) -> None:
    await reports(room, 1, 120, *SLOW)
    await room.control("rate", "2.5", 120_000)

    assert await rate_of(room, 120_000) == 2.5


async def test_ops_change_the_full_rate_and_the_slowing_stays(room: Room) -> None:
    await reports(room, 1, 3, *SLOW)
    assert await rate_of(room, 3000) == pytest.approx(FULL * 0.6)

    assert await room.control("rate", "100", 3000) == ["changed", "600.0"]
    in_force: Any = await room.redis.client.hget(KEYS.room, "rate_per_minute")
    assert float(in_force) == pytest.approx(60), "at once, not at the next tick"
    snapshot = await room.tick(3000)
    assert float(snapshot["rate"]) == 100
    assert float(snapshot["in_force"]) == pytest.approx(60)


async def test_what_was_earned_before_was_earned_at_the_rate_of_then(room: Room) -> None:
    await room.health(0, *SLOW)
    await room.tick(0)
    await room.health(1000, *SLOW)  # 10 a second until here, 6 from here
    await room.tick(1500)

    tokens: Any = await room.redis.client.hget(KEYS.room, "tokens")
    assert float(tokens) == pytest.approx(min(1 + 10 + 3, 1 + 6), abs=1e-6), "and no more than a second's worth is kept"


async def test_slowed_admission_is_what_line_and_straight_way_get(room: Room) -> None:
    room.rate_floor = 60.0
    await reports(room, 1, 60, *SLOW)
    await room.tick(60_000)
    tickets = await room.crowd(200, 60_000)
    came_in: list[str] = []
    for at in range(60_250, 120_001, 250):
        if at % 1000 == 0:
            await room.health(at, *SLOW)
        called = (await room.tick(at))["called"]
        came_in += await room.claims(tickets[len(came_in) : called], at)

    assert 58 <= len(came_in) <= 62


async def test_a_flushed_redis_knows_nothing_and_learns_again(room: Room) -> None:
    await opened(room)
    await room.redis.client.flushdb()

    assert await room.health(3000, *DOWN) == ["unloaded"]
    snapshot = await room.tick(3000)
    assert (snapshot["circuit"], snapshot["ratio"]) == ("closed", "1")
    await reports(room, 4, 6, *DOWN)
    assert (await room.tick(6000))["circuit"] == "open"


# The circuit


async def test_when_half_of_them_fail_the_circuit_opens_and_it_is_written_down_once(room: Room) -> None:
    since = await opened(room)

    assert await room.health(3000) == ["noted", "0", "open", T0 + since, 0]
    assert await audit(room) == [("health", "closed", "open")]


async def test_a_tenth_that_fails_slows_and_opens_nothing(room: Room) -> None:
    reply = await reports(room, 1, 3, 100, 0, 10)

    assert float(reply[1]) == pytest.approx(0.6)
    assert reply[2] == "closed"


async def test_while_it_is_open_nobody_is_called_or_let_in(room: Room) -> None:
    tickets = await room.crowd(20)
    called = (await room.tick(0))["called"]
    await opened(room)
    await room.tick(2000)

    assert (await room.tick(20_000))["called"] <= called + 2 * 10 + 1
    assert await room.claims(tickets, 20_000) == []
    assert (await room.claim(tickets[0], 20_000))[0] == "later"
    await room.redis.client.delete(KEYS.queue)
    assert await room.enter("s1", 20_000) == ["wait", "health"]


async def test_an_outage_costs_nobody_their_call(room: Room) -> None:
    room.window_ms = 10_000
    (ticket, *_) = await room.crowd(1)
    await room.tick(0)
    since = await opened(room)
    for at in range(since + 1000, 60_000, 1000):
        await room.tick(at)
        await room.health(at)
    await room.health(60_000, probe="passed")
    await room.tick(60_000)

    assert (await room.tick(69_000))["lapsed"] == 0
    assert (await room.claim(ticket, 69_000))[0] == "admitted"


async def test_one_worker_at_a_time_may_try(room: Room) -> None:
    since = await opened(room)
    workers = [f"w{number}" for number in range(5)]

    async def granted(at: int) -> list[str]:
        return [worker for worker in workers if (await room.health(at, worker=worker))[4]]

    assert await granted(since + 4999) == []
    assert await granted(since + 5000) == ["w0"]
    assert await granted(since + 6000) == ["w0"], "asked again, it is the same one"
    assert await granted(since + 19_999) == ["w0"]
    assert await granted(since + 20_000) == ["w0"], "a lease that ran out goes to whoever comes first"


async def test_a_worker_that_died_with_the_probe_does_not_hold_it_for_ever(room: Room) -> None:
    since = await opened(room)
    assert (await room.health(since + 5000, worker="w1"))[4] == 1

    assert (await room.health(since + 19_999, worker="w2"))[4] == 0
    assert (await room.health(since + 20_000, worker="w2"))[4] == 1
    assert (await room.health(since + 20_001, worker="w1", probe="passed"))[2] == "open", "its word comes too late"


async def test_a_failed_probe_waits_for_the_next(room: Room) -> None:
    since = await opened(room)
    await room.health(since + 5000)

    assert (await room.health(since + 6000, probe="failed"))[2:] == ["open", T0 + since, 0]
    assert (await room.health(since + 10_999))[4] == 0
    assert (await room.health(since + 11_000))[4] == 1


@pytest.mark.parametrize("probe", ["passed", "unused"])
async def test_a_probe_that_passed_or_that_nobody_came_for_lets_in_a_few(room: Room, probe: str) -> None:
    await room.crowd(500)
    since = await opened(room)
    await room.health(since + 5000)
    called = (await room.tick(since + 6000))["called"]

    assert (await room.health(since + 6000, probe=probe))[2:] == ["half_open", T0 + since + 6000, 0]
    snapshot = await room.ticks(36, 250, since + 6000)
    assert float(snapshot["in_force"]) == room.rate_floor
    assert snapshot["called"] <= called + 2


async def test_half_open_closes_after_a_window_without_failures_and_recovers(room: Room) -> None:
    since = await opened(room)
    await room.health(since + 5000)
    half = since + 6000
    await room.health(half, probe="passed")
    replies = [await room.health(half + second * 1000, 5, 0, 0) for second in range(1, 40)]

    assert [reply[2] for reply in replies] == ["half_open"] * 9 + ["closed"] * 30
    assert await audit(room) == [("health", "closed", "open"), ("health", "open", "closed")]
    assert float(replies[-1][1]) == pytest.approx(29 / 300)


async def test_half_open_opens_at_the_first_failures_and_that_is_the_same_outage(room: Room) -> None:
    since = await opened(room)
    await room.health(since + 5000)
    await room.health(since + 6000, probe="passed")

    assert (await room.health(since + 7000, 1, 0, 1))[2] == "open"
    assert await audit(room) == [("health", "closed", "open")]
    assert (await room.health(since + 11_999))[4] == 0
    assert (await room.health(since + 12_000))[4] == 1


async def test_an_upstream_that_flaps_is_tried_at_most_once_an_interval(room: Room) -> None:
    since = await opened(room)
    probes, probe = [], ""
    for second in range(1, 120):
        at = since + second * 1000
        reply = await room.health(at, *((1, 0, 1) if second % 2 else (0, 0, 0)), probe=probe)
        probe = "passed" if reply[4] else ""
        probes += [at] if reply[4] else []

    assert all(later - earlier >= 5000 for earlier, later in pairwise(probes))
    assert len(await audit(room)) == 1


async def test_every_key_has_an_end(room: Room) -> None:
    await opened(room)
    found = [key async for key in room.redis.client.scan_iter("*")]

    assert KEYS.health in found
    assert all([await room.redis.client.pttl(key) > 0 for key in found])


STEPS = st.lists(
    st.tuples(
        st.sampled_from([1, 250, 1000, 1000, 5000, 31_000]),
        st.sampled_from(["report", "report", "report", "tick", "rate", "pause", "resume"]),
        st.sampled_from([WELL, SLOW, DOWN, (0, 0, 0), (3, 1, 1)]),
        st.sampled_from(["", "passed", "failed", "unused"]),
        st.sampled_from([0.01, 5.0, 600.0, 60_000.0]),
    ),
    max_size=60,
)


@given(steps=STEPS, floor=st.sampled_from([0.5, 6.0, 1000.0]))
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_the_rate_in_force_is_always_between_floor_and_rate(
    valkey_url: str, steps: list[tuple[int, str, tuple[int, ...], str, float]], floor: float
) -> None:
    client = Redis.from_url(f"{valkey_url}?db=4", decode_responses=True)
    client.flushdb()

    def run(name: str, *args: object) -> Any:
        keys = ROOM_KEYS[name]
        return client.eval(load_script(name).source, len(keys), *keys, *map(str, args))

    now, rate, serial = T0, 600.0, 0
    for ms, move, seen, probe, value in [(0, "tick", (), "", 0.0), *steps]:
        now, serial = now + ms, serial + 1
        if move == "report":
            terms = [floor, 10_000, 20, 0.05, 0.5, 300_000, 5_000, 120_000]
            run("rooms/health", now, "w", serial, *seen, probe, *terms)
        elif move != "tick":
            rate = value if move == "rate" else rate
            run("rooms/control", now, "e", move, value if move == "rate" else "", 1000, "ann", "", serial)
        limits = [600.0, 100, 120_000, 25_000, "one", "c", 3_600_000, "", "none", "", 25_000, 86_400_000, 3, 0.1]
        reply = run("rooms/tick", now, "e", "", "", "", *limits, 15_000, 20_000)

        in_force, ratio, circuit = float(reply[15]), float(reply[16]), reply[17]
        assert float(reply[9]) == rate
        assert min(floor, rate) <= in_force <= rate
        assert 0 <= ratio <= 1
        assert circuit in {"closed", "open", "half_open"}
        assert circuit == "closed" or in_force == min(floor, rate)
    client.close()
