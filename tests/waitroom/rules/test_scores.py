"""The draw, computed a second time from the words of DESIGN section 4, and the order of coming."""

import hashlib
import hmac
from random import Random
from statistics import correlation, fmean

import pytest

from waitroom.kernel.tokens import Keys
from waitroom.rules.scores import commitment, derive_seed, draw_score, head_score, tail_score, tie_break, turn

SEED = bytes(range(32))
VECTORS = {"ticket-1": "0x1.6e832690b1630p-1", "ticket-2": "0x1.4838809470508p-1"}


def by_the_words(seed: bytes, ticket_id: str) -> float:
    """Return the score as the words have it: the first 8 bytes of the HMAC, big-endian, >> 12, / 2^52."""
    inner = hashlib.sha256(bytes(b ^ 0x36 for b in seed.ljust(64, b"\0")) + ticket_id.encode("ascii")).digest()
    outer = hashlib.sha256(bytes(b ^ 0x5C for b in seed.ljust(64, b"\0")) + inner).hexdigest()
    return (int(outer[:16], 16) >> 12) / 2**52


@pytest.mark.parametrize("ticket_id", ["", "a", "T1cket-_id", "x" * 200])
def test_a_score_in_the_draw_is_what_anybody_can_compute(ticket_id: str) -> None:
    assert draw_score(SEED, ticket_id) == by_the_words(SEED, ticket_id)


def test_the_vectors_stay_what_they_were() -> None:
    assert commitment(SEED) == "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd"
    assert {ticket: draw_score(SEED, ticket).hex() for ticket in VECTORS} == VECTORS


def test_a_commitment_is_the_hash_of_the_seed() -> None:
    assert commitment(SEED) == hashlib.sha256(SEED).hexdigest()


def test_every_score_of_the_draw_lies_in_its_segment_with_52_bits() -> None:
    scores = [draw_score(SEED, f"t{number}") for number in range(2000)]

    assert all(0 <= score < 1 for score in scores)
    assert all((score * 2**52).is_integer() for score in scores)
    assert len(set(scores)) == 2000


def test_whoever_joins_first_gains_nothing_in_the_draw() -> None:
    count, boxes = 20_000, 20
    scores = [draw_score(SEED, f"ticket-{number}") for number in range(count)]
    order = sorted(range(count), key=scores.__getitem__)
    rank = {ticket: place for place, ticket in enumerate(order)}
    chi_square = 0.0
    for begin in range(0, count, count // 10):  # each tenth of those who join, over twenty stretches of the line
        seen = [0] * boxes
        for ticket in range(begin, begin + count // 10):
            seen[rank[ticket] * boxes // count] += 1
        chi_square += sum((found - count / 10 / boxes) ** 2 / (count / 10 / boxes) for found in seen)

    assert chi_square < 228, "171 degrees of freedom: 228 is passed once in 400 fair draws, and this one is fixed"
    assert abs(correlation(range(count), [rank[ticket] for ticket in range(count)])) < 0.02
    assert abs(fmean(scores) - 0.5) < 0.01


def test_a_seed_belongs_to_one_room_and_one_event_and_needs_no_redis() -> None:
    key = Keys([b"k" * 32]).derive("draw")[-1]
    seeds = {
        derive_seed(key, room, event) for room, event in [("a", "b"), ("a", "c"), ("b", "b"), ("a\0b", ""), ("", "")]
    }

    assert len(seeds) == 5
    assert derive_seed(key, "a", "b") == hmac.digest(key, b"wr-seed\0a\0b", "sha256")


def test_a_new_secret_leaves_the_seeds_of_the_elder_where_they_were() -> None:
    before = Keys([b"k" * 32]).derive("draw")
    after = Keys([b"k" * 32, b"n" * 32]).derive("draw")

    assert derive_seed(after[0], "a", "b") == derive_seed(before[-1], "a", "b") != derive_seed(after[-1], "a", "b")


@pytest.mark.parametrize("issued_ms", [999, 1000, 1001, 5000])
def test_the_first_stand_before_the_draw_however_late_they_solved(issued_ms: int) -> None:
    assert head_score(issued_ms, 1000, "t") < 0


@pytest.mark.parametrize("issued_ms", [-5000, 999, 1000, 1001, 1_700_000_000_000])
def test_whoever_comes_later_stands_behind_the_draw(issued_ms: int) -> None:
    assert tail_score(issued_ms, 1000, "t") >= 1


@pytest.mark.parametrize("score", [head_score, tail_score])
def test_whoever_asked_a_millisecond_earlier_stands_before(score: object) -> None:
    assert callable(score)
    starts_ms, chance = 1_700_000_000_000, Random(7)
    offset = -10_000 if score is head_score else 0
    tickets = [f"t{chance.getrandbits(64):x}" for _ in range(500)]
    scores = [score(starts_ms + offset + number, starts_ms, ticket) for number, ticket in enumerate(tickets)]

    assert scores == sorted(scores)
    assert len(set(scores)) == 500


def test_a_tie_is_broken_by_the_ticket_in_steps_that_today_can_hold() -> None:
    ties = {tie_break(f"t{number}") for number in range(5000)}
    today = 1_800_000_000_000

    assert len(ties) == 256
    assert len({today + tie for tie in ties}) == 256
    assert all(0 <= tie < 1 for tie in ties)


@pytest.mark.parametrize("spin", [0.0, 0.25, 2**-52, 1 - 2**-52, 0.7071067811865476])
def test_turns_order_the_four_segments(spin: float) -> None:
    spin = int(spin * 2**52) / 2**52
    chance = Random(repr(spin))
    draw = [chance.getrandbits(52) / 2**52 for _ in range(500)] + [0.0, spin, 1 - 2**-52]
    after = sorted(score for score in draw if score >= spin)
    before = sorted(score for score in draw if score < spin)

    assert sorted([*draw, -2.5, -0.004, 1.0, 3.5], key=lambda score: turn(score, spin)) == [
        -2.5,
        -0.004,
        *after,
        *before,
        1.0,
        3.5,
    ]
    assert all(0 <= turn(score, spin) < 1 for score in draw)
    assert len({turn(score, spin) for score in draw}) == len(set(draw)), "no two places fall together"
