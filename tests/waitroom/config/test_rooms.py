"""A room's own settings fit together, or each clash is told."""

from typing import Any

import pytest

from waitroom.config import Event, Poll, Room
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import parse
from waitroom.kernel.units import instant_ms

OPENING = "2026-11-28T10:00:00Z"


def event(name: str, start: str, end: str, **more: str) -> dict[str, str]:
    return {"name": name, "event_start_time": start, "event_end_time": end, **more}


def faults_of(**written: Any) -> list[str]:
    with pytest.raises(ConfigFault) as refused:
        parse({"name": "drop", "paths": ["/drop/"], **written}, Room)
    return refused.value.faults


def test_an_event_without_a_prequeue_gathers_nobody_before_its_opening() -> None:
    opening = Event(name="opening", event_start_time_ms=1000, event_end_time_ms=2000)

    assert opening.prequeue_start_time_ms == 1000


def test_every_clash_of_one_room_is_told_at_once() -> None:
    early = event("early", OPENING, "2026-11-28T12:00:00Z")
    late = event("late", "2026-11-28T11:00:00Z", "2026-11-28T13:00:00Z")

    assert faults_of(exempt_paths=["/drop/feed", "/feed"], events=[late, early], fifo_head=1) == [
        "exempt_paths[1]: lies below none of paths, so it is open already; remove it",
        'events: "late" begins before "early" ends; move one of them',
        'fifo_head: works only with queueing_method = "hybrid"; remove one of the two',
    ]


def test_an_event_may_begin_the_moment_another_ends() -> None:
    both = [event("b", "2026-11-28T11:00:00Z", "2026-11-28T12:00:00Z"), event("a", OPENING, "2026-11-28T11:00:00Z")]

    room = parse({"name": "drop", "paths": ["/"], "events": both}, Room)
    assert room.events[1].event_start_time_ms == instant_ms(OPENING)


def test_a_prequeue_counts_as_part_of_its_event() -> None:
    early = event("early", OPENING, "2026-11-28T12:00:00Z")
    late = event("late", "2026-11-28T13:00:00Z", "2026-11-28T14:00:00Z", prequeue_start_time="2026-11-28T11:59:59Z")

    assert faults_of(events=[early, late]) == ['events: "late" begins before "early" ends; move one of them']


def test_the_times_of_an_event_are_told_both_when_both_are_wrong() -> None:
    wrong = event("opening", OPENING, "2026-11-28T09:00:00Z", prequeue_start_time="2026-11-28T11:00:00Z")

    assert faults_of(events=[wrong]) == [
        "events[0].prequeue_start_time: must not be after event_start_time",
        "events[0].event_end_time: must be after event_start_time",
    ]


def test_a_browser_asks_between_floor_and_ceiling() -> None:
    assert Poll().floor_ms < Poll().ceiling_ms
    assert faults_of(poll={"floor": "2s", "ceiling": "1s"}) == ["poll.floor: must not be longer than ceiling"]
