"""A visitor finds its turn and its next question in the pulse alone."""

from typing import Any

import pytest

from waitroom.cli.visitors.place import Place
from waitroom.cli.visitors.site import Answer, GaveUp
from waitroom.rules.scores import draw_score

SEED = bytes(range(32))


def joined(score: float | None = None, place: int | None = 10) -> Answer:
    return Answer(201, {"ticket_id": "abc", "lane": "main", "score": score, "place": place})


def pulse(**changes: Any) -> dict[str, Any]:
    return {
        "generation": "g1",
        "phase": "open",
        "server_ms": 1_000_000,
        "starts_ms": 900_000,
        "lanes": {"main": {"serving": 0.5, "called": 500, "waiting": 500}},
        "rate_per_minute": 600.0,
        "poll": {"floor_ms": 1000, "ceiling_ms": 20000, "divisor": 10},
        "seed": SEED.hex(),
        "spin": 0.0,
    } | changes


@pytest.mark.parametrize(("score", "is_called"), [(0.4, True), (0.5, True), (0.6, False), (-3.0, True), (1.5, False)])
def test_a_score_up_to_the_threshold_is_called(score: float, is_called: bool) -> None:
    assert Place(joined(score)).is_called(pulse()) is is_called


def test_a_secret_score_is_worked_out_once_the_seed_is_told() -> None:
    place = Place(joined(None))
    score = draw_score(SEED, "abc")
    lanes = {"main": {"serving": score, "called": 1, "waiting": 1}}

    assert not place.is_called(pulse(seed=None, lanes=lanes))
    assert place.is_called(pulse(lanes=lanes))


def test_the_spin_turns_the_order() -> None:
    assert Place(joined(0.9)).is_called(pulse(spin=0.8))
    assert not Place(joined(0.4)).is_called(pulse(spin=0.8))


def test_nobody_is_called_before_anybody_was() -> None:
    lanes = {"main": {"serving": None, "called": 0, "waiting": 5}}

    assert not Place(joined(0.1)).is_called(pulse(lanes=lanes))


def test_a_room_that_lost_its_memory_is_noticed_once() -> None:
    place = Place(joined())

    assert [place.is_of_earlier_life(pulse(generation=name)) for name in ("a", "a", "b", "b")] == [
        False,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("changes", "low_s", "high_s"),
    [
        pytest.param({}, 1.0, 1.2, id="near the turn: the floor"),
        pytest.param({"rate_per_minute": 0.6}, 17.0, 23.0, id="far away: the ceiling"),
        pytest.param({"rate_per_minute": 0}, 17.0, 23.0, id="nothing moves: the ceiling"),
        pytest.param({"phase": "prequeue", "starts_ms": 1_050_000}, 4.2, 5.8, id="before the opening: a tenth of it"),
        pytest.param({"phase": "prequeue", "starts_ms": 1_000_400}, 0.4, 2.4, id="at the opening: spread out"),
    ],
)
def test_the_next_question_comes_by_the_rule_of_the_pulse(changes: dict[str, Any], low_s: float, high_s: float) -> None:
    for chance in (0.0, 0.5, 0.999):
        assert low_s <= Place(joined(0.52)).next_poll_s(pulse(**changes), chance) <= high_s


def test_an_answer_without_a_ticket_is_no_place() -> None:
    with pytest.raises(GaveUp, match="has no ticket_id"):
        Place(Answer(201, {}))
