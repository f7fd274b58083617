"""The shares of the lanes, and how long their people wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.rules.lanes import LaneTerms, admitted_before, shares

TERMS = LaneTerms(priority_weight=3.0, slow_share=0.1)


@pytest.mark.parametrize(
    ("waiting", "expected"),
    [
        ({"main": 5}, {"main": 1.0}),
        ({"slow": 5}, {"slow": 1.0}),
        ({"main": 5, "priority": 0}, {"main": 1.0}),
        ({"main": 5, "priority": 1}, {"main": 0.25, "priority": 0.75}),
        ({"main": 95, "slow": 5}, {"main": 0.95, "slow": 0.05}),
        ({"main": 50, "slow": 50}, {"main": 0.9, "slow": 0.1}),
        ({"priority": 1, "slow": 9}, {"priority": 0.9, "slow": 0.1}),
    ],
)
def test_the_share_of_each_lane(waiting: dict[str, int], expected: dict[str, float]) -> None:
    assert shares(waiting, TERMS) == pytest.approx(expected)


@given(
    waiting=st.fixed_dictionaries({lane: st.integers(0, 10**6) for lane in ("main", "priority", "slow")}),
    weight=st.floats(0.01, 1000),
    slow_share=st.floats(0.01, 1),
)
def test_slow_is_never_faster_than_main_and_never_above_its_cap(
    waiting: dict[str, int], weight: float, slow_share: float
) -> None:
    found = shares(waiting, LaneTerms(weight, slow_share))

    assert sum(found.values()) == pytest.approx(1 if any(waiting.values()) else 0)
    if waiting["slow"] and len(found) > 1:
        assert found["slow"] <= slow_share + 1e-9
    if waiting["slow"] and waiting["main"]:
        assert found["slow"] / waiting["slow"] <= found["main"] / waiting["main"] * (1 + 1e-9)


@pytest.mark.parametrize(
    ("lane", "ahead", "waiting", "expected"),
    [
        ("main", 7, {"main": 8}, 7),
        ("main", 10, {"main": 100, "priority": 1000}, 40),
        ("main", 10, {"main": 100, "priority": 3}, 13),  # they are through soon, and main has all again
        ("priority", 30, {"main": 100, "priority": 31}, 40),
        ("slow", 10, {"main": 1000, "slow": 1000}, 100),
        ("slow", 0, {}, 0),
    ],
)
def test_how_many_come_in_before_somebody(lane: str, ahead: int, waiting: dict[str, int], expected: int) -> None:
    assert admitted_before(lane, ahead, waiting, TERMS) == pytest.approx(expected, abs=2)


@given(
    lane=st.sampled_from(["main", "priority", "slow"]),
    ahead=st.integers(0, 10**6),
    waiting=st.fixed_dictionaries({lane: st.integers(0, 10**6) for lane in ("main", "priority", "slow")}),
)
def test_at_least_those_ahead_and_at_most_everybody(lane: str, ahead: int, waiting: dict[str, int]) -> None:
    elsewhere = sum(people for name, people in waiting.items() if name != lane)

    assert ahead <= admitted_before(lane, ahead, waiting, TERMS) <= ahead + elsewhere + 1
