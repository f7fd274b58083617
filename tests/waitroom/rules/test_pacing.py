"""Expected waits: ranges that keep their word."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from tests.snapshots import snapshot
from waitroom.rules.health import Health
from waitroom.rules.pacing import next_poll_ms, wait_range
from waitroom.rules.rooms import Phase, Polling

MINUTES_5 = 300_000


def test_at_the_promised_rate_sixty_people_at_sixty_a_minute_are_a_minute() -> None:
    wait = wait_range(snapshot(rate_per_minute=60.0), 60, session_ms=MINUTES_5, measured_per_minute=None)

    assert (wait.low_s, wait.likely_s, wait.high_s) == (60, 60, 90)


def test_a_slower_measured_rate_moves_the_likely_end_and_not_the_low_one() -> None:
    wait = wait_range(snapshot(rate_per_minute=60.0), 60, session_ms=MINUTES_5, measured_per_minute=30.0)

    assert (wait.low_s, wait.likely_s, wait.high_s) == (60, 120, 180)


def test_a_suffering_upstream_moves_the_likely_end_and_not_the_low_one() -> None:
    slowed = replace(snapshot(rate_per_minute=60.0), health=Health(0.5, limit_per_minute=30.0))
    wait = wait_range(slowed, 60, session_ms=MINUTES_5, measured_per_minute=None)

    assert (wait.low_s, wait.likely_s, wait.high_s) == (60, 120, 180)


def test_a_full_room_lets_in_as_fast_as_sessions_end() -> None:
    full = replace(snapshot(rate_per_minute=600.0), total_active_users=100, sessions=100)

    assert wait_range(full, 100, session_ms=MINUTES_5, measured_per_minute=None).likely_s == 300


def test_before_the_opening_the_opening_is_waited_for_too() -> None:
    early = replace(snapshot(rate_per_minute=60.0), phase=Phase.PREQUEUE, starts_ms=130_000, now_ms=10_000)

    assert wait_range(early, 0, session_ms=MINUTES_5, measured_per_minute=None).low_s == 120


@given(
    ahead=st.integers(0, 10**7),
    rate=st.floats(0.001, 1e6),
    measured=st.none() | st.floats(0, 1e6),
    cap=st.integers(0, 10**6),
    sessions=st.integers(0, 10**6),
)
def test_a_range_is_always_in_order(ahead: int, rate: float, measured: float | None, cap: int, sessions: int) -> None:
    room = replace(snapshot(rate_per_minute=rate), total_active_users=cap, sessions=sessions)
    wait = wait_range(room, ahead, session_ms=MINUTES_5, measured_per_minute=measured)

    assert 0 <= wait.low_s <= wait.likely_s <= wait.high_s


def test_who_is_near_asks_often_and_who_is_far_seldom() -> None:
    polling = Polling(floor_ms=1_000, ceiling_ms=20_000, divisor=10)

    assert [next_poll_ms(wait_s, polling) for wait_s in (0, 5, 60, 3600)] == [1_000, 1_000, 6_000, 20_000]
