"""What a draw shows of itself: the wheel, the places, the documents."""

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.draws import SEED, STARTS_MS, called_one_by_one, draw_of, service_of, tickets, wheel_of
from waitroom.rules.beacons import Beacon, BeaconKind, manual, planned
from waitroom.rules.merkle import leaf_hash, root_from
from waitroom.rules.proofs import Admission, Roster, Wheel, call_of, proof_document, thinned, ticket_document
from waitroom.rules.scores import draw_score


@given(st.integers(1, 300), st.text(max_size=20))
def test_each_ticket_has_the_place_in_which_it_is_served(count: int, value: str) -> None:
    ids, spin = tickets(count), manual(value).spin
    wheel = wheel_of(ids)

    for place, ticket in enumerate(service_of(ids, spin), 1):
        index = wheel.index(ticket, draw_score(SEED, ticket))
        assert index is not None
        assert wheel.place(index, spin) == place
        path = [bytes.fromhex(text) for text in wheel.path(index)]
        root = root_from(leaf_hash(ticket.encode()), index, count, path)
        assert root is not None
        assert Roster(count, root.hex()) == wheel.roster


def test_the_roster_does_not_hang_on_who_came_first() -> None:
    ids = tickets(50)

    assert wheel_of(ids).roster == wheel_of(Random(1).sample(ids, 50)).roster
    assert wheel_of(ids).roster != wheel_of(ids[1:]).roster


def test_a_stranger_has_no_index_also_at_the_score_of_somebody_else() -> None:
    ids = tickets(20)
    wheel = wheel_of(ids)

    assert wheel.index("stranger", draw_score(SEED, "stranger")) is None
    assert wheel.index("stranger", draw_score(SEED, ids[0])) is None
    assert Wheel({}).index("stranger", 0.5) is None


def test_equal_scores_stand_in_the_order_of_their_ids() -> None:
    wheel = Wheel({"c": 0.5, "a": 0.5, "b": 0.5, "z": 0.1})

    assert [wheel.index(ticket, 0.5) for ticket in "abc"] == [1, 2, 3]


def test_the_document_is_what_the_design_says_and_nothing_is_out_too_early() -> None:
    wheel = wheel_of(tickets(3))
    beacon = Beacon(BeaconKind.DRAND, "ab", period_ms=3000)
    before = replace(draw_of(wheel), seed=None, spin=None, source=planned(beacon, STARTS_MS), roster=None)

    assert proof_document(before, []) == {
        "room": "drop",
        "event": "opening",
        "starts_ms": STARTS_MS,
        "commitment": before.commitment,
        "seed": None,
        "spin": None,
        "spin_source": {
            "kind": "drand",
            "round": beacon.round_after(STARTS_MS),
            "randomness": None,
            "chain_hash": "ab",
        },
        "roster": {"count": None, "merkle_root": None},
        "admissions": [],
    }
    after = proof_document(draw_of(wheel), [Admission(1, "main", 0.25, 7)])
    assert after["seed"] == SEED.hex()
    assert after["roster"] == {"count": 3, "merkle_root": wheel.roster.merkle_root}
    assert after["admissions"] == [{"at_ms": 1, "lane": "main", "serving": 0.25, "called": 7}]
    assert ticket_document(before, wheel, "t", []) is None, "a score is a secret before the opening"


def test_a_number_survives_the_way_through_json() -> None:
    draw = draw_of(wheel_of(tickets(3)))

    assert json.loads(json.dumps(proof_document(draw, [])))["spin"] == draw.spin


def test_of_one_ticket_the_move_that_called_it_is_shown_and_the_one_before() -> None:
    ids = tickets(100)
    wheel, log = wheel_of(ids), called_one_by_one(ids, manual("3 17 28").spin)
    mine = service_of(ids, manual("3 17 28").spin)[41]
    told = ticket_document(draw_of(wheel), wheel, mine, log)

    assert told is not None
    part = told["ticket"]
    assert isinstance(part, dict)
    assert (part["place"], part["called_at_ms"]) == (42, STARTS_MS + 42_000)
    assert [moved["at_ms"] for moved in told["admissions"]] == [STARTS_MS + 41_000, STARTS_MS + 42_000]  # type: ignore[attr-defined]  # a JSON document
    waiting = ticket_document(draw_of(wheel), wheel, mine, log[:41])
    assert waiting is not None
    assert waiting["ticket"]["called_at_ms"] is None  # type: ignore[index]  # as above
    assert len(waiting["admissions"]) == 1  # type: ignore[arg-type]  # as above


def test_before_the_spin_nobody_has_a_place() -> None:
    ids = tickets(5)
    wheel = wheel_of(ids)
    told = ticket_document(replace(draw_of(wheel), spin=None), wheel, ids[0], [])

    assert told is not None
    part = told["ticket"]
    assert isinstance(part, dict)
    assert (part["turn"], part["place"], part["called_at_ms"]) == (None, None, None)


def test_a_call_is_found_at_the_threshold_itself() -> None:
    log = [Admission(1, "main", 0.25, 1), Admission(2, "main", 0.5, 1)]

    assert [call_of(turn, log) for turn in (0.1, 0.25, 0.26, 0.5, 0.51)] == [0, 0, 1, 1, None]


@pytest.mark.parametrize(("count", "every_ms", "most"), [(10, 10, 1), (5_000, 250, 1000), (40_000, 250, 1000)])
def test_a_long_log_is_thinned_and_calls_as_many_as_before(count: int, every_ms: int, most: int) -> None:
    log = [Admission(number * every_ms, "main", number / count, number % 3) for number in range(count)]
    thin = thinned(log)

    assert len(thin) <= most
    assert sum(moved.called for moved in thin) == sum(moved.called for moved in log)
    assert thin[-1].serving == log[-1].serving
    assert [moved.serving for moved in thin] == sorted(moved.serving for moved in thin)


def test_a_log_of_years_keeps_its_end() -> None:
    log = [Admission(number * 3_600_000, "main", float(number), 1) for number in range(5_000)]

    assert len(thinned(log)) == 1000
    assert thinned(log)[-1] == log[-1]
