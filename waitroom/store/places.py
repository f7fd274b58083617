"""A place in line, as the script `rooms/join` is asked for it and answers."""

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any

from waitroom.kernel.errors import Refused
from waitroom.kernel.tokens import Ticket
from waitroom.rules.lanes import PRIORITY, SLOW
from waitroom.rules.rooms import Queueing, RoomRules
from waitroom.rules.scores import draw_score, head_score, tail_score
from waitroom.store.keys import RoomKeys

_FULL_RETRY_S = 30


class Standing(StrEnum):
    """Where a ticket stands; the words are those of `join` and of the API."""

    WAITING = "waiting"
    CALLED = "called"
    ADMITTED = "admitted"
    LAPSED = "lapsed"


@dataclass(frozen=True, slots=True)
class Place:
    """The answer to a ticket that was presented: its score, and how many are before it, unless that is still open."""

    standing: Standing
    score: float
    ahead: int | None
    was_known: bool


def place_of(reply: Any) -> Place | None:
    """Return the place that a reply of `join` gives; None where Redis has lost the room's state.

    Raises:
        Refused: 410, the room takes nobody any more; 503, it is full, and this ticket never had a place.
    """
    match reply[0]:
        case "full":
            raise full()
        case "ended":
            raise Refused(410, "ended", "This waiting room is closed: it takes nobody any more.")
        case "unloaded":
            return None
        case word:
            return Place(Standing(word), float(reply[1]), reply[2], bool(reply[3]))


def full() -> Refused:
    """Return the answer to who comes when as many wait as may."""
    told = "The waiting room is full at the moment. Please try again shortly."
    return Refused(503, "full", told, retry_after_s=_FULL_RETRY_S)


@lru_cache(256)
def keys_of_join(room: str, event: str, lane: str) -> tuple[str, ...]:
    """Return the keys that `join` takes."""
    keys = RoomKeys(room, event, lane)
    return keys.room, keys.queue, keys.line, keys.claimed, keys.sessions, keys.calls, keys.strays, keys.knocks


def scores_of(rules: RoomRules, ticket: Ticket, starts_ms: int, seed: bytes, *, is_new: bool) -> list[str]:
    """Return kept, head, heads, draw and tail, as `join` takes them; the draw is of lane main alone."""
    is_slow = ticket.lane == SLOW
    dwell_ms = rules.slow_dwell_ms if is_slow else 0
    tail = tail_score(ticket.issued_ms + dwell_ms, starts_ms, ticket.ticket_id)
    if is_slow:
        kept = "" if is_new or ticket.score is None else repr(ticket.score)
        return [kept, "0", "0", repr(tail), repr(tail)]
    draw = draw_score(seed, ticket.ticket_id)
    kept = "" if is_new else repr(draw if ticket.score is None else ticket.score)
    if rules.queueing is Queueing.RANDOM and ticket.lane != PRIORITY:
        return [kept, "0", "0", repr(draw), repr(tail)]
    head = head_score(ticket.issued_ms, starts_ms, ticket.ticket_id)
    if rules.queueing is Queueing.FIFO or ticket.lane == PRIORITY:  # everybody is a head: none needs to be counted
        return [kept, repr(head), "0", repr(head), repr(tail)]
    heads = rules.fifo_head if rules.queueing is Queueing.HYBRID else 0
    return [kept, repr(head), str(heads), repr(draw), repr(tail)]
