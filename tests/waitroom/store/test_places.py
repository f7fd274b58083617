"""What the script answers becomes a place, and each kind of room gives it the scores it needs."""

from dataclasses import replace

import pytest

from waitroom.kernel.errors import Refused
from waitroom.kernel.tokens import Ticket
from waitroom.rules.rooms import Queueing, RoomRules
from waitroom.rules.scores import draw_score, head_score, tail_score
from waitroom.store.places import Place, Standing, place_of, scores_of

SEED = b"s" * 32
OPENS_MS = 2_000_000
TICKET = Ticket("drop", "opening", "main", "QpZDkoEPftF458Mp914T", 1_000_000, None)
DRAW = repr(draw_score(SEED, TICKET.ticket_id))
HEAD = repr(head_score(TICKET.issued_ms, OPENS_MS, TICKET.ticket_id))
TAIL = repr(tail_score(TICKET.issued_ms, OPENS_MS, TICKET.ticket_id))


@pytest.mark.parametrize("word", list(Standing))
def test_each_standing_is_a_place(word: Standing) -> None:
    assert place_of([word.value, "0.25", 7, 1]) == Place(word, 0.25, 7, was_known=True)


@pytest.mark.parametrize(("word", "status"), [("full", 503), ("ended", 410)])
def test_a_room_that_takes_nobody_says_why(word: str, status: int) -> None:
    with pytest.raises(Refused) as told:
        place_of([word])

    assert told.value.status == status


def test_a_room_without_state_gives_none() -> None:
    assert place_of(["unloaded"]) is None


@pytest.mark.parametrize(
    ("rules", "scores"),
    [
        (RoomRules("drop", queueing=Queueing.FIFO), ["", HEAD, "0", HEAD, TAIL]),
        (RoomRules("drop", queueing=Queueing.RANDOM), ["", "0", "0", DRAW, TAIL]),
        (RoomRules("drop", queueing=Queueing.HYBRID, fifo_head=5), ["", HEAD, "5", DRAW, TAIL]),
    ],
)
def test_a_newcomer_has_the_scores_of_the_kind_of_room(rules: RoomRules, scores: list[str]) -> None:
    assert scores_of(rules, TICKET, OPENS_MS, SEED, is_new=True) == scores


def test_a_ticket_that_was_given_keeps_its_score() -> None:
    rules = RoomRules("drop", queueing=Queueing.RANDOM)

    assert scores_of(rules, TICKET, OPENS_MS, SEED, is_new=False)[0] == DRAW
    assert scores_of(rules, replace(TICKET, score=17.5), OPENS_MS, SEED, is_new=False)[0] == "17.5"
