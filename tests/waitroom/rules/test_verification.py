"""The verifier: every true ticket is accepted, whatever was moved or forged is not."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from random import Random
from statistics import correlation
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.draws import SEED, STARTS_MS, called_one_by_one, draw_of, service_of, tickets, wheel_of
from waitroom.rules.beacons import (
    Beacon,
    BeaconKind,
    SpinSource,
    answered,
    manual,
    planned,
    unspun,
)
from waitroom.rules.proofs import Wheel, proof_document, ticket_document
from waitroom.rules.scores import draw_score, turn
from waitroom.rules.verification import Outcome, Proof, is_right, verify

DRAND = Beacon(BeaconKind.DRAND, "ab" * 32, genesis_ms=0, period_ms=3000, timeout_ms=30_000)
ROUND = DRAND.round_after(STARTS_MS)
SIGNED = {"round": ROUND, "randomness": hashlib.sha256(b"signed").hexdigest(), "signature": b"signed".hex()}
SOURCES = [manual("3 17 28"), answered(DRAND, STARTS_MS, SIGNED), SpinSource(BeaconKind.NONE), unspun(DRAND, STARTS_MS)]
IDS = tickets(200)
WHEEL = wheel_of(IDS)


def told_of(ticket: str, source: SpinSource = SOURCES[0], *, called: int = 200) -> dict[str, Any]:
    document = ticket_document(draw_of(WHEEL, source), WHEEL, ticket, called_one_by_one(IDS, source.spin)[:called])
    assert document is not None
    return document


def found(document: dict[str, Any], ticket: str) -> dict[str, Outcome]:
    return {check.name: check.outcome for check in verify(Proof.model_validate(document), ticket)}


def is_accepted(document: dict[str, Any], ticket: str) -> bool:
    return is_right(verify(Proof.model_validate(document), ticket))


@pytest.mark.parametrize("source", SOURCES)
def test_every_true_ticket_is_accepted(source: SpinSource) -> None:
    for ticket in IDS:
        outcomes = found(told_of(ticket, source), ticket)
        assert set(outcomes.values()) == {Outcome.FITS}, outcomes


def test_the_proof_of_everybody_is_accepted_too_and_says_what_it_does_not_show() -> None:
    document = proof_document(draw_of(WHEEL), called_one_by_one(IDS, SOURCES[0].spin))
    outcomes = found(document, IDS[7])

    assert outcomes["call"] is Outcome.FITS
    assert outcomes["roster"] is Outcome.OPEN
    assert Outcome.WRONG not in outcomes.values()


def test_before_the_opening_everything_is_open_and_nothing_wrong() -> None:
    draw = replace(draw_of(WHEEL), seed=None, spin=None, source=planned(DRAND, STARTS_MS), roster=None)
    outcomes = found(proof_document(draw, []), IDS[0])

    assert set(outcomes.values()) == {Outcome.OPEN}


def test_whoever_is_not_called_yet_is_told_so() -> None:
    last = service_of(IDS, SOURCES[0].spin)[-1]

    assert found(told_of(last, called=100), last)["call"] is Outcome.OPEN


@pytest.mark.parametrize(
    ("name", "forge"),
    [
        ("commitment", lambda d: d.update(commitment="00" * 32)),
        ("commitment", lambda d: d.update(seed="11" * 32)),
        ("score", lambda d: d["ticket"].update(score=0.25)),
        ("score", lambda d: d["ticket"].update(ticket_id=IDS[1])),
        ("spin", lambda d: d.update(spin=0.25)),
        ("spin", lambda d: d["spin_source"].update(randomness=b"3 17 29".hex())),
        ("spin", lambda d: d["spin_source"].update(randomness=None)),
        ("spin", lambda d: d["spin_source"].update(kind="none")),
        ("randomness", lambda d: d["spin_source"].update(value="3 17 29")),
        ("randomness", lambda d: d["spin_source"].update(kind="drand")),
        ("roster", lambda d: d["ticket"]["inclusion"].update(index=d["ticket"]["inclusion"]["index"] ^ 1)),
        ("roster", lambda d: d["ticket"]["inclusion"]["path"].pop()),
        ("roster", lambda d: d["ticket"]["inclusion"]["path"].reverse()),
        ("roster", lambda d: d["roster"].update(merkle_root="00" * 32)),
        ("roster", lambda d: d["roster"].update(count=1)),
        ("turn", lambda d: d["ticket"].update(turn=0.5)),
        ("call", lambda d: d["ticket"].update(called_at_ms=STARTS_MS)),
        ("call", lambda d: d["admissions"].clear()),
        ("admissions", lambda d: d["admissions"].reverse()),
        ("admissions", lambda d: d["admissions"][0].update(at_ms=STARTS_MS - 1)),
    ],
)
def test_a_forged_proof_is_found_out(name: str, forge: Callable[[dict[str, Any]], object]) -> None:
    document = told_of(IDS[0])
    assert is_accepted(document, IDS[0])
    forge(document)

    assert found(document, IDS[0])[name] is Outcome.WRONG


@given(st.sampled_from(IDS), st.sampled_from(IDS), st.sampled_from(SOURCES))
def test_nobody_takes_the_place_of_another(mine: str, other: str, source: SpinSource) -> None:
    assert is_accepted(told_of(mine, source), other) is (mine == other)


@given(st.sampled_from(IDS), st.integers(0, 199))
def test_a_ticket_that_was_moved_is_found_out(mine: str, index: int) -> None:
    document = told_of(mine)
    is_moved = document["ticket"]["inclusion"]["index"] != index
    document["ticket"]["inclusion"] = {"index": index, "path": WHEEL.path(index)}

    assert is_accepted(document, mine) is not is_moved


def test_in_a_large_draw_too_every_true_place_is_accepted_and_every_other_one_refused() -> None:
    ids = tickets(100_000)
    wheel = wheel_of(ids)
    draw = draw_of(wheel)
    for ticket in ids[::200]:
        document = ticket_document(draw, wheel, ticket, [])
        assert document is not None
        assert found(document, ticket)["roster"] is Outcome.FITS
        moved = (document["ticket"]["inclusion"]["index"] + 1) % len(ids)  # type: ignore[index]  # JSON
        document["ticket"]["inclusion"] = {"index": moved, "path": wheel.path(moved)}  # type: ignore[index]  # JSON
        assert found(document, ticket)["roster"] is Outcome.WRONG


def test_friends_slipped_in_before_others_show_in_the_index() -> None:
    ids = tickets(1_000)
    friends = {f"friend-{number}": 1e-9 * number for number in range(300)}  # at scores that the seed never gave them
    wheel = Wheel({ticket: draw_score(SEED, ticket) for ticket in ids} | friends)
    document = ticket_document(draw_of(wheel), wheel, min(ids, key=lambda ticket: draw_score(SEED, ticket)), [])
    assert document is not None

    assert found(document, str(document["ticket"]["ticket_id"]))["evenness"] is Outcome.WRONG  # type: ignore[index]  # JSON


def test_a_draw_that_missed_its_beacon_may_not_be_turned() -> None:
    document = told_of(IDS[0], unspun(DRAND, STARTS_MS))
    document["spin"] = 0.5

    assert found(document, IDS[0])["spin"] is Outcome.WRONG


@pytest.mark.parametrize("source", [SOURCES[0], SOURCES[2]])
def test_a_hundred_thousand_are_served_without_regard_to_when_they_joined(source: SpinSource) -> None:
    count, boxes = 100_000, 50
    joined = tickets(count, Random(2_026))
    turns = [turn(draw_score(SEED, ticket), source.spin) for ticket in joined]
    order = sorted(range(count), key=turns.__getitem__)
    rank = [0] * count
    for place, number in enumerate(order):
        rank[number] = place
    seen = [[0] * boxes for _ in range(boxes)]
    for number in range(count):
        seen[number * boxes // count][rank[number] * boxes // count] += 1
    expected = count / boxes / boxes
    chi_square = sum((cell - expected) ** 2 / expected for row in seen for cell in row)

    assert 2_129 < chi_square < 2_674, "49 x 49 degrees of freedom: a fair draw lies in here 9,999 times in 10,000"
    assert abs(correlation(range(count), rank)) < 0.012
