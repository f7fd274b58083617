"""A room at one instant, and the event that counts."""

from dataclasses import replace

import pytest

from tests.snapshots import snapshot
from waitroom.rules.lanes import MAIN
from waitroom.rules.rooms import ALWAYS, Polling, RoomRules, Schedule, schedule_at, spell_of

FIRST = Schedule("first", 1000, 2000, 3000)
SECOND = Schedule("second", 5000, 6000, None)


@pytest.mark.parametrize(
    ("now_ms", "event"),
    [
        (0, ALWAYS),
        (999, ALWAYS),
        (1000, "first"),
        (2999, "first"),
        (3000, "first"),
        (4999, "first"),
        (5000, "second"),
        (10**15, "second"),
    ],
)
def test_the_event_that_counts_is_the_last_that_began_to_gather_people(now_ms: int, event: str) -> None:
    assert schedule_at([FIRST, SECOND], now_ms).event == event
    assert schedule_at([SECOND, FIRST], now_ms).event == event, "in whatever order they are written"


def test_within_a_spell_the_same_event_counts_and_beyond_it_another() -> None:
    for now_ms in (0, 999, 1000, 2500, 4999, 5000, 10**15):
        from_ms, until_ms = spell_of([SECOND, FIRST], now_ms)

        inside = [at_ms for at_ms in (0, 999, 1000, 2500, 4999, 5000, 10**15) if from_ms <= at_ms < until_ms]
        assert now_ms in inside
        assert {schedule_at([FIRST, SECOND], at_ms) for at_ms in inside} == {schedule_at([FIRST, SECOND], now_ms)}


def test_without_events_a_room_is_always_on() -> None:
    assert schedule_at([], 1000) == Schedule(ALWAYS, None, None, None)


def test_an_event_that_gathers_nobody_before_it_opens_is_none_yet() -> None:
    assert schedule_at([Schedule("odd", None, 1000, None)], 5000).event == ALWAYS


@pytest.mark.parametrize(("starts_ms", "is_drawn"), [(None, False), (10_001, False), (10_000, True), (9_999, True)])
def test_the_seed_may_be_known_from_the_opening_on(starts_ms: int | None, is_drawn: bool) -> None:
    assert replace(snapshot(), starts_ms=starts_ms).is_drawn is is_drawn


def test_every_room_has_the_main_lane() -> None:
    seen = snapshot(waiting=7)

    assert seen.main is seen.lanes[MAIN]
    assert seen.main.waiting == 7


@pytest.mark.parametrize(
    ("ceiling_ms", "window_ms", "settle_ms"), [(20_000, 120_000, 25_000), (20_000, 10_000, 10_000)]
)
def test_a_called_visitor_is_counted_on_for_one_poll_and_a_little_and_never_past_the_window(
    ceiling_ms: int, window_ms: int, settle_ms: int
) -> None:
    rules = RoomRules("drop", claim_window_ms=window_ms, polling=Polling(ceiling_ms=ceiling_ms))

    assert rules.settle_ms == settle_ms


@pytest.mark.parametrize(("lifetime_h", "forget_h"), [(1, 24), (24, 24), (72, 72)])
def test_a_ticket_is_forgotten_when_neither_it_nor_its_challenge_can_be_shown(lifetime_h: int, forget_h: int) -> None:
    assert RoomRules("drop", ticket_lifetime_ms=lifetime_h * 3_600_000).forget_ms == forget_h * 3_600_000
