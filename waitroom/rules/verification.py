"""Check a draw from what was published: every step computed anew, nobody's word taken for it.

`docs/verify_draw.py` does the same in fifty lines that need nothing but Python, for who trusts none of ours.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from itertools import pairwise
from math import sqrt
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from waitroom.rules.beacons import BeaconKind, spin_of
from waitroom.rules.merkle import leaf_hash, root_from
from waitroom.rules.scores import commitment, draw_score, turn

_SIGMAS = 6
"""How far from its expected index a ticket may stand: a fair draw goes further once in a thousand million."""

Hash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Hex = Annotated[str, StringConstraints(pattern=r"^([0-9a-f]{2})*$", max_length=4096)]
Unit = Annotated[float, Field(ge=0, lt=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class Source(_Part):
    """Where the spin came from."""

    kind: str
    round: int | None = None
    randomness: Hex | None = None
    signature: Hex | None = None
    chain_hash: str | None = None
    value: str | None = None
    missed: str | None = None


class RosterPart(_Part):
    """Everybody in the draw, as one hash."""

    count: int | None = Field(None, ge=0)
    merkle_root: Hash | None = None


class AdmissionPart(_Part):
    """One move of the threshold."""

    at_ms: int
    lane: str
    serving: float
    called: int


class Inclusion(_Part):
    """Where a ticket stands in the roster."""

    index: int = Field(ge=0)
    path: list[Hash] = Field(max_length=64)


class TicketPart(_Part):
    """What the room says of one ticket."""

    ticket_id: str
    score: Unit
    turn: Unit | None = None
    place: int | None = None
    called_at_ms: int | None = None
    inclusion: Inclusion


class Proof(_Part):
    """A proof document, of all or of one ticket."""

    room: str
    event: str
    starts_ms: int | None = None
    commitment: Hash
    seed: Hash | None
    spin: Unit | None
    spin_source: Source
    roster: RosterPart
    admissions: list[AdmissionPart]
    ticket: TicketPart | None = None


class Outcome(StrEnum):
    """What a check found."""

    FITS = "fits"
    WRONG = "wrong"
    OPEN = "open"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at, what was found, and what that means."""

    name: str
    outcome: Outcome
    told: str


def verify(proof: Proof, ticket_id: str) -> list[Check]:
    """Return every check of the draw in `proof`, and of the place of `ticket_id` in it."""
    checks = [_commitment(proof), *_spin(proof), _threshold(proof)]
    if proof.seed is None:
        return [*checks, Check("score", Outcome.OPEN, "the seed is revealed at the opening: check again then")]
    score = draw_score(bytes.fromhex(proof.seed), ticket_id)
    return [*checks, _score(proof, ticket_id, score), *_inclusion(proof, ticket_id, score), *_turn(proof, score)]


def is_right(checks: list[Check]) -> bool:
    """Whether nothing is wrong; some of it may still be open."""
    return all(check.outcome is not Outcome.WRONG for check in checks)


def _commitment(proof: Proof) -> Check:
    if proof.seed is None:
        told = f"published: {proof.commitment}; keep it, and compare when the seed is revealed"
        return Check("commitment", Outcome.OPEN, told)
    if commitment(bytes.fromhex(proof.seed)) == proof.commitment:
        return Check("commitment", Outcome.FITS, "the seed is the one that was committed to")
    return Check("commitment", Outcome.WRONG, "the seed is another one than was committed to")


def _spin(proof: Proof) -> Iterator[Check]:
    source, spin = proof.spin_source, proof.spin
    if spin is None:
        yield Check("spin", Outcome.OPEN, f"awaited from: {_named(source)}")
        return
    if source.kind == BeaconKind.NONE:
        without = f"it was to come from {source.missed}, which did not answer in time" if source.missed else "none"
        outcome = Outcome.FITS if spin == 0 else Outcome.WRONG
        yield Check("spin", outcome, f"the draw was not turned: {without}. It rests on the seed alone")
        return
    if source.randomness is None or spin_of(bytes.fromhex(source.randomness)) != spin:
        yield Check("spin", Outcome.WRONG, "it does not follow from the randomness that is named")
        return
    yield Check("spin", Outcome.FITS, f"{spin:.6f} follows from {_named(source)}")
    yield from _randomness(source)


def _randomness(source: Source) -> Iterator[Check]:
    if source.kind == BeaconKind.MANUAL:
        is_text = source.value is not None and source.value.encode().hex() == source.randomness
        told = f'typed before a witness: "{source.value}"; ask the witness'
        yield Check("randomness", Outcome.FITS if is_text else Outcome.WRONG, told)
    if source.kind == BeaconKind.DRAND:
        is_hash = sha256(bytes.fromhex(source.signature or "")).hexdigest() == source.randomness
        told = f"the hash of the beacon's signature; compare with /{source.chain_hash}/public/{source.round} of drand"
        yield Check("randomness", Outcome.FITS if is_hash else Outcome.WRONG, told)


def _threshold(proof: Proof) -> Check:
    by_lane: dict[str, list[AdmissionPart]] = {}
    for moved in proof.admissions:
        by_lane.setdefault(moved.lane, []).append(moved)
    for moves in by_lane.values():
        if any(after.serving < before.serving or after.at_ms < before.at_ms for before, after in pairwise(moves)):
            return Check("admissions", Outcome.WRONG, "the threshold went back: somebody was called again or skipped")
    if not proof.admissions:
        return Check("admissions", Outcome.OPEN, "nobody has been called yet")
    if proof.starts_ms is not None and proof.admissions[0].at_ms < proof.starts_ms:
        return Check("admissions", Outcome.WRONG, "somebody was called before the opening")
    return Check("admissions", Outcome.FITS, "the threshold only ever moved on, from the opening on")


def _score(proof: Proof, ticket_id: str, score: float) -> Check:
    told = proof.ticket
    if told is not None and (told.ticket_id, told.score) != (ticket_id, score):
        return Check("score", Outcome.WRONG, f"the seed gives {score:.6f} to {ticket_id}; the proof says otherwise")
    return Check("score", Outcome.FITS, f"the seed gives {score:.6f} to {ticket_id}")


def _inclusion(proof: Proof, ticket_id: str, score: float) -> Iterator[Check]:
    roster, told = proof.roster, proof.ticket
    if roster.merkle_root is None or roster.count is None:
        yield Check("roster", Outcome.OPEN, "its root is published shortly after the opening: check again then")
        return
    if told is None:
        yield Check("roster", Outcome.OPEN, f"this proof is of everybody: ask for ?ticket_id={ticket_id}")
        return
    index, path = told.inclusion.index, [bytes.fromhex(text) for text in told.inclusion.path]
    root = root_from(leaf_hash(ticket_id.encode()), index, roster.count, path)
    if root is None or root.hex() != roster.merkle_root:
        yield Check("roster", Outcome.WRONG, "the ticket is not in the published roster at that index")
        return
    yield Check("roster", Outcome.FITS, f"number {index + 1:,} of {roster.count:,} on the wheel, under the root")
    away, spread = abs(index - score * roster.count), sqrt(score * (1 - score) * roster.count)
    if away > _SIGMAS * spread + _SIGMAS:
        told_so = f"{away:,.0f} places from where the score puts it: no fair roster is that uneven"
        yield Check("evenness", Outcome.WRONG, told_so)
        return
    yield Check("evenness", Outcome.FITS, "about as many stand before it on the wheel as its score says")


def _turn(proof: Proof, score: float) -> Iterator[Check]:
    if proof.spin is None:
        yield Check("turn", Outcome.OPEN, "the draw has not been turned yet")
        return
    my_turn, told = turn(score, proof.spin), proof.ticket
    if told is not None and told.turn is not None and told.turn != my_turn:
        yield Check("turn", Outcome.WRONG, f"score and spin give the turn {my_turn:.6f}; the proof says otherwise")
        return
    place = f", place {told.place:,} of the draw" if told is not None and told.place is not None else ""
    yield Check("turn", Outcome.FITS, f"score and spin give the turn {my_turn:.6f}{place}")
    called_at_ms = next((moved.at_ms for moved in proof.admissions if moved.serving >= my_turn), None)
    if told is not None and told.called_at_ms != called_at_ms:
        yield Check("call", Outcome.WRONG, "the admissions call this turn at another time than the proof says")
    elif called_at_ms is None:
        yield Check("call", Outcome.OPEN, "the line has not come to this turn yet")
    else:
        yield Check("call", Outcome.FITS, f"the line came to this turn at {called_at_ms} (ms since 1970)")


def _named(source: Source) -> str:
    match source.kind:
        case BeaconKind.DRAND:
            return f"drand, round {source.round} of the chain {source.chain_hash}"
        case BeaconKind.MANUAL:
            return "a value typed by the operator before a witness"
        case _:
            return source.kind
