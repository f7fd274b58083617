"""The board: the last snapshot of each room, and a measured rate that is honest about what it saw."""

from dataclasses import replace

import pytest

from tests.fakes import FakeClock
from tests.snapshots import snapshot
from waitroom.rules.rooms import Phase
from waitroom.store.board import Board


def watched(clock: FakeClock, seconds: int, per_second: int, phase: Phase = Phase.OPEN) -> Board:
    board = Board(clock)
    for second in range(seconds + 1):
        seen = replace(snapshot(phase=phase), now_ms=second * 1000, admitted=second * per_second)
        board.put(seen)
    return board


def test_before_the_first_tick_nothing_is_known(clock: FakeClock) -> None:
    board = Board(clock)

    assert board.get("drop") is None
    assert board.age_s("drop") == float("inf")
    assert board.admitted_per_minute("drop") is None


async def test_a_snapshot_ages(clock: FakeClock) -> None:
    board = watched(clock, 0, 0)
    await clock.advance(7)

    assert board.age_s("drop") == 7


def test_the_rate_is_that_of_the_last_minute(clock: FakeClock) -> None:
    board = watched(clock, 300, 5)

    assert board.admitted_per_minute("drop") == 300


def test_a_room_just_opened_has_no_measured_rate(clock: FakeClock) -> None:
    assert watched(clock, 19, 5).admitted_per_minute("drop") is None


def test_what_was_before_the_opening_does_not_count(clock: FakeClock) -> None:
    board = watched(clock, 60, 0, Phase.PREQUEUE)
    for second in range(61, 83):
        board.put(replace(snapshot(), now_ms=second * 1000, admitted=(second - 61) * 2))

    assert board.admitted_per_minute("drop") == 120


def test_a_count_that_went_back_begins_anew(clock: FakeClock) -> None:
    board = watched(clock, 60, 5)
    board.put(replace(snapshot(), now_ms=61_000, admitted=0))

    assert board.admitted_per_minute("drop") is None


@pytest.mark.parametrize("change", [{"event": "second"}, {"generation": "h"}])
def test_the_count_of_another_event_or_another_life_of_redis_begins_anew(
    clock: FakeClock, change: dict[str, str]
) -> None:
    board = watched(clock, 60, 5)
    board.put(replace(snapshot(), now_ms=61_000, admitted=1000, **change))  # type: ignore[arg-type]  # both are text

    assert board.admitted_per_minute("drop") is None
