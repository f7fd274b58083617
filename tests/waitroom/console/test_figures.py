"""What ops read is right, and says nothing it does not know."""

from dataclasses import replace

import pytest

from tests.snapshots import snapshot
from waitroom.console.figures import History, Limit, limit_of, room_document, through_s
from waitroom.rules.beacons import BeaconKind, SpinSource
from waitroom.rules.health import Circuit, Health
from waitroom.rules.rooms import LaneState, Phase
from waitroom.rules.stock import Stock

NOW_MS = 1_700_000_000_000
ROOM = replace(
    snapshot(),
    now_ms=NOW_MS,
    lanes={"main": LaneState(None, 0, 100), "slow": LaneState(None, 0, 20)},
    total_active_users=50,
)

SLOWED = Health(0.5, limit_per_minute=300.0)


def seen(*, seconds: int, per_s: int) -> History:
    history = History()
    for second in range(seconds + 1):
        history.note(replace(ROOM, now_ms=NOW_MS + second * 1000, admitted=second * per_s))
    return history


def test_the_last_minute_counts_sixty_seconds_and_no_more() -> None:
    assert seen(seconds=200, per_s=3).admitted_last_minute() == 180
    assert seen(seconds=20, per_s=3).admitted_last_minute() == 60
    assert History().admitted_last_minute() == 0


def test_ten_minutes_are_kept() -> None:
    history = seen(seconds=900, per_s=1)

    assert history.seen_ms() == 600_000
    assert {len(curve) for curve in history.series().values() if isinstance(curve, list)} == {601}


def test_the_curves_have_one_length_and_begin_without_a_jump() -> None:
    curves = seen(seconds=3, per_s=5).series()

    assert curves["admitted_per_s"] == [0.0, 5.0, 5.0, 5.0]
    assert curves["waiting"] == [120] * 4
    assert set(curves) == set(History().series())
    assert {len(curve) for curve in curves.values() if isinstance(curve, list)} == {4}
    assert all(curve == [] for curve in History().series().values())


def test_the_limits_of_the_past_are_kept_as_they_were() -> None:
    history = seen(seconds=1, per_s=5)
    history.note(replace(ROOM, now_ms=NOW_MS + 2000, rate_per_minute=90.0, total_active_users=7))

    assert history.series()["rate_per_minute"] == [600.0, 600.0, 90.0]
    assert history.series()["total_active_users"] == [50, 50, 7]


@pytest.mark.parametrize("lost", [{"generation": "g2"}, {"admitted": 2}])
def test_a_count_that_began_anew_is_no_flow(lost: dict[str, object]) -> None:
    history = seen(seconds=10, per_s=5)

    history.note(replace(ROOM, **{"now_ms": NOW_MS + 11_000, "admitted": 90, **lost}))  # type: ignore[arg-type]  # fields by name

    assert history.admitted_last_minute() == 50


def test_a_clock_that_jumps_back_begins_the_curve_anew() -> None:
    history = seen(seconds=10, per_s=5)

    history.note(replace(ROOM, now_ms=NOW_MS))

    assert history.seen_ms() == 0


@pytest.mark.parametrize(
    ("changed", "last_minute", "limit"),
    [
        ({}, 600, Limit.RATE),
        ({"sessions": 50}, 10, Limit.CAP),
        ({"sessions": 40, "outstanding": 10}, 10, Limit.CAP),
        ({"sessions": 40, "outstanding": 10}, 600, Limit.RATE),
        ({"lanes": {"main": LaneState(None, 0, 0)}}, 0, Limit.NOBODY),
        ({"phase": Phase.PAUSED}, 0, Limit.CLOSED),
        ({"phase": Phase.PREQUEUE}, 0, Limit.CLOSED),
        ({"phase": Phase.IDLE, "lanes": {}}, 0, Limit.NOBODY),
        ({"health": SLOWED}, 300, Limit.HEALTH),
        ({"health": SLOWED, "sessions": 50}, 300, Limit.CAP),
        ({"health": SLOWED, "lanes": {}}, 0, Limit.NOBODY),
        ({"health": Health(0.0, Circuit.OPEN), "sessions": 50}, 0, Limit.HEALTH),
        ({"stock": Stock(5, 3, 0)}, 0, Limit.STOCK),
        ({"stock": Stock(0, 3, 0), "sessions": 50}, 0, Limit.STOCK),
        ({"stock": Stock(5, 3, 1)}, 600, Limit.RATE),
        ({"stock": Stock(0, 3, 0), "lanes": {}}, 0, Limit.NOBODY),
        ({"stock": Stock(0, 0, 0), "phase": Phase.SOLD_OUT}, 0, Limit.CLOSED),
    ],
)
def test_what_holds_the_line_back(changed: dict[str, object], last_minute: int, limit: Limit) -> None:
    assert limit_of(replace(ROOM, **changed), last_minute) is limit  # type: ignore[arg-type]  # fields by name


def test_a_line_that_does_not_move_has_no_end() -> None:
    assert through_s(120, 600.0) == 12
    assert through_s(0, 600.0) == 0
    assert through_s(120, 0) is None


def test_a_room_is_told_with_all_its_lanes_and_the_pace_only_when_a_minute_was_seen() -> None:
    young = room_document(ROOM, seen(seconds=10, per_s=1))
    old = room_document(ROOM, seen(seconds=60, per_s=1))

    assert young["waiting"] == 120
    assert young["figures"] == {
        "admitted_last_minute": 10,
        "seen_ms": 10_000,
        "limit": "rate",
        "through_at_rate_s": 12,
        "through_at_pace_s": None,
    }
    assert isinstance(old["figures"], dict)
    assert old["figures"]["through_at_pace_s"] == 120


def test_what_the_store_has_is_told_and_a_line_beyond_it_has_no_end() -> None:
    short = room_document(replace(ROOM, stock=Stock(5, 3, 0)), seen(seconds=10, per_s=1))

    assert room_document(ROOM, seen(seconds=10, per_s=1))["stock"] is None
    assert short["stock"] == {"left": 5, "held": 3}
    assert isinstance(short["figures"], dict)
    assert (short["figures"]["limit"], short["figures"]["through_at_rate_s"]) == ("stock", None)


def test_a_slowed_room_shows_both_rates_and_the_curve_of_what_was_allowed() -> None:
    history = seen(seconds=1, per_s=5)
    slowed = replace(ROOM, now_ms=NOW_MS + 2000, health=SLOWED)
    history.note(slowed)
    told = room_document(slowed, history)

    assert (told["rate_per_minute"], told["effective_rate_per_minute"]) == (600.0, 300.0)
    assert told["health"] == {"ratio": 0.5, "circuit": "closed"}
    assert history.series()["rate_per_minute"] == [600.0, 600.0, 300.0]
    assert room_document(ROOM, history)["health"] is None


def test_while_the_shop_is_down_nobody_knows_when_the_line_is_through() -> None:
    down = room_document(replace(ROOM, health=Health(0.0, Circuit.OPEN, 0, 6.0)), History())

    assert isinstance(down["figures"], dict)
    assert down["figures"]["through_at_rate_s"] is None


def test_what_ops_hold_is_told_only_while_it_holds() -> None:
    opened = replace(ROOM, open_until_ms=NOW_MS + 1, is_closed=True)

    assert room_document(opened, History())["open_until_ms"] == NOW_MS + 1
    assert room_document(opened, History())["is_closed"] is True
    assert room_document(replace(ROOM, open_until_ms=NOW_MS), History())["open_until_ms"] is None


def test_a_draw_waits_for_its_spin_from_the_opening_until_it_is_turned() -> None:
    before = replace(ROOM, starts_ms=NOW_MS + 1, spin_source=None)
    waits = replace(before, starts_ms=NOW_MS)
    turned = replace(waits, spin_source=SpinSource(BeaconKind.NONE))

    assert [room_document(room, History())["awaits_spin"] for room in (before, waits, turned)] == [False, True, False]
