"""The pulse, as a document."""

from dataclasses import replace
from typing import Any

import pytest

from tests.snapshots import snapshot
from waitroom.rules.health import Circuit, Health
from waitroom.rules.lanes import MAIN
from waitroom.rules.pulse import Difference, difference, is_undecided, pulse
from waitroom.rules.rooms import LaneState, Polling
from waitroom.rules.stock import Stock

SEED = bytes(32)


def test_the_seed_shows_once_the_opening_is_past() -> None:
    early = replace(snapshot(), now_ms=4_999)

    assert pulse(early, Polling(), SEED)["seed"] is None
    assert pulse(snapshot(), Polling(), SEED)["seed"] == SEED.hex()


def test_an_always_on_room_has_no_draw_to_reveal() -> None:
    assert pulse(replace(snapshot(), starts_ms=None), Polling(), SEED)["seed"] is None


def test_no_message_is_null() -> None:
    assert pulse(snapshot(), Polling(), SEED)["message"] is None


@pytest.mark.parametrize(("score", "is_secret"), [(-1.0, False), (0.0, True), (0.99, True), (1.0, True)])
def test_before_the_draw_only_the_head_has_a_place(score: float, is_secret: bool) -> None:
    assert is_undecided(replace(snapshot(), now_ms=0), score) is is_secret
    assert not is_undecided(snapshot(), score)


def test_until_the_draw_is_turned_there_is_no_spin_and_no_place() -> None:
    awaiting = replace(snapshot(), spin_source=None)

    assert (pulse(awaiting, Polling(), SEED)["spin"], pulse(snapshot(), Polling(), SEED)["spin"]) == (None, 0.0)
    assert [is_undecided(awaiting, score) for score in (-1.0, 0.5, 1.5)] == [False, True, True]
    assert not is_undecided(replace(awaiting, starts_ms=None), 1.5)


def test_what_the_store_has_is_told_and_not_how_many_are_called_for_it() -> None:
    assert pulse(snapshot(), Polling(), SEED)["stock"] is None
    assert pulse(replace(snapshot(), stock=Stock(40, 3, 12)), Polling(), SEED)["stock"] == {"left": 40, "held": 3}


def test_a_store_that_suffers_shows_in_the_pulse_and_one_that_is_well_does_not() -> None:
    slowed = replace(snapshot(), health=Health(0.5, Circuit.CLOSED, 0, 300.0))

    assert "health" not in pulse(snapshot(), Polling(), SEED)
    told = pulse(slowed, Polling(), SEED)
    assert (told["rate_per_minute"], told["health"]) == (300.0, {"ratio": 0.5, "circuit": "closed"})


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, Difference.NONE),
        ({"now_ms": 10_250}, Difference.CLOCK),
        ({"lanes": {MAIN: LaneState(0.5, 1, 0)}}, Difference.LINE),
        ({"health": Health(0.5, Circuit.CLOSED, 0, 300.0), "now_ms": 10_250}, Difference.LINE),
        ({"stock": Stock(7, 0, 7)}, Difference.LINE),
        ({"message": "soon"}, Difference.ROOM),
        ({"generation": "another", "now_ms": 10_250}, Difference.ROOM),
        ({"now_ms": 4_999}, Difference.ROOM),  # the seed of the draw is a secret again
        ({"open_until_ms": 20_000}, Difference.ROOM),  # a member that was not there before
        ({"is_closed": True}, Difference.ROOM),
    ],
)
def test_how_much_two_pulses_differ(changed: dict[str, Any], found: Difference) -> None:
    before, after = (pulse(one, Polling(), SEED) for one in (snapshot(), replace(snapshot(), **changed)))

    assert difference(before, after) is found
