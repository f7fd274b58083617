"""What a draw shows of itself, so that anybody can check it: nothing in here has to be believed.

The roster is everybody who was in the draw at the opening, in the order of their scores, before the spin turns that
order (then by ticket id, should two scores be the same). So the root is fixed before the spin is known, and the index
in an inclusion proof says how many stand before a ticket on the wheel: it must be about score x count, and tickets
slipped in before others would show there.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import islice

from waitroom.rules.beacons import SpinSource
from waitroom.rules.merkle import MerkleTree, leaf_hash
from waitroom.rules.scores import draw_score, turn

MOST_ADMISSIONS = 1_000
"""As many moves of the threshold as one proof holds; of a longer sale it holds fewer, further apart."""
_PIECE = 10_000
_STEPS_MS = (1_000, 5_000, 15_000, 60_000, 300_000, 900_000, 3_600_000)


@dataclass(frozen=True, slots=True)
class Roster:
    """Everybody who was in the draw at the opening: how many, and the hash that stands for all of them (hex)."""

    count: int
    merkle_root: str


@dataclass(frozen=True, slots=True)
class Admission:
    """One move of the threshold: whose turn is at most `serving` was called by `at_ms`, `called` of them just then."""

    at_ms: int
    lane: str
    serving: float
    called: int


@dataclass(frozen=True, slots=True)
class Draw:
    """One draw, as far as it may be known: the seed from the opening on, the spin and the roster a little later."""

    room: str
    event: str
    starts_ms: int | None
    commitment: str
    seed: bytes | None
    spin: float | None
    source: SpinSource
    roster: Roster | None


class Wheel:
    """All tickets of a draw in the order of their scores: to prove each one's place."""

    def __init__(self, scores: Mapping[str, float]) -> None:
        """Sort and hash the tickets: seconds for a million, so not on the event loop."""
        self._scores = array("d")
        self._tree = MerkleTree(self._leaves(scores))

    def _leaves(self, scores: Mapping[str, float]) -> Iterator[bytes]:
        for score, ticket_id in _in_order(scores):
            self._scores.append(score)
            yield ticket_id.encode("ascii")

    @property
    def roster(self) -> Roster:
        """What is published of it."""
        return Roster(len(self._tree), self._tree.root.hex())

    def index(self, ticket_id: str, score: float) -> int | None:
        """Return where a ticket stands, counted from 0; None of one that is not in the draw."""
        wanted, at = leaf_hash(ticket_id.encode("ascii")), bisect_left(self._scores, score)
        while at < len(self._scores) and self._scores[at] == score:
            if self._tree.leaf(at) == wanted:
                return at
            at += 1
        return None

    def path(self, index: int) -> list[str]:
        """Return the inclusion proof of the ticket at `index`, in hex, lowest first."""
        return [neighbour.hex() for neighbour in self._tree.path(index)]

    def place(self, index: int, spin: float) -> int:
        """Return the place of the ticket at `index` among all of the draw: 1 is served first."""
        return (index - bisect_left(self._scores, spin)) % len(self._scores) + 1


def proof_document(draw: Draw, admissions: Sequence[Admission]) -> dict[str, object]:
    """Return the proof of a draw that is the same for everybody."""
    roster = draw.roster
    return {
        "room": draw.room,
        "event": draw.event,
        "starts_ms": draw.starts_ms,
        "commitment": draw.commitment,
        "seed": draw.seed.hex() if draw.seed else None,
        "spin": draw.spin,
        "spin_source": draw.source.document(),
        "roster": {"count": roster.count if roster else None, "merkle_root": roster.merkle_root if roster else None},
        "admissions": [
            {"at_ms": moved.at_ms, "lane": moved.lane, "serving": moved.serving, "called": moved.called}
            for moved in admissions
        ],
    }


def ticket_document(
    draw: Draw, wheel: Wheel, ticket_id: str, admissions: Sequence[Admission]
) -> dict[str, object] | None:
    """Return the proof of one ticket, whole in itself; None of one that is not in the draw, or before the opening.

    Of the admissions it holds the two that matter: the one that called this ticket, and the one before.
    """
    if draw.seed is None:
        return None
    score = draw_score(draw.seed, ticket_id)
    index = wheel.index(ticket_id, score)
    if index is None:
        return None
    is_spun = draw.spin is not None
    my_turn = turn(score, draw.spin or 0.0)
    at = call_of(my_turn, admissions) if is_spun else None
    shown = admissions[-1:] if at is None else admissions[max(0, at - 1) : at + 1]
    return proof_document(draw, shown) | {
        "ticket": {
            "ticket_id": ticket_id,
            "score": score,
            "turn": my_turn if is_spun else None,
            "place": wheel.place(index, draw.spin or 0.0) if is_spun else None,
            "called_at_ms": None if at is None else admissions[at].at_ms,
            "inclusion": {"index": index, "path": wheel.path(index)},
        }
    }


def call_of(my_turn: float, admissions: Sequence[Admission]) -> int | None:
    """Return which admission called a turn; None while none has. Thresholds only grow."""
    at = bisect_left(admissions, my_turn, key=lambda moved: moved.serving)
    return at if at < len(admissions) else None


def thinned(admissions: Sequence[Admission], most: int = MOST_ADMISSIONS) -> list[Admission]:
    """Return at most `most` admissions: moves of one stretch of time are one move."""
    for step_ms in _STEPS_MS:
        if len(merged := _merged(admissions, step_ms)) <= most:
            return merged
    return _merged(admissions, _STEPS_MS[-1])[-most:]


def _in_order(scores: Mapping[str, float]) -> Iterator[tuple[float, str]]:
    """Yield the tickets by score, then id; sorted in pieces, because one long sort would let no other thread run."""
    tickets = zip(scores.values(), scores, strict=True)
    pieces = iter(lambda: sorted(islice(tickets, _PIECE)), [])
    return merge(*pieces)


def _merged(admissions: Sequence[Admission], step_ms: int) -> list[Admission]:
    merged: dict[tuple[int, str], Admission] = {}
    for moved in admissions:
        stretch = (moved.at_ms // step_ms, moved.lane)
        before = merged.get(stretch)
        called = moved.called + (before.called if before else 0)
        merged[stretch] = Admission(moved.at_ms, moved.lane, moved.serving, called)
    return list(merged.values())
