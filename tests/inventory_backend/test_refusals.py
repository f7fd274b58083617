"""Every no has a status, a kind and a sentence."""

import pytest

from inventory_backend.ledger.holds import Taken
from inventory_backend.ledger.orders import Placed
from inventory_backend.refusals import refused
from inventory_backend.stock.stock import Hold


@pytest.mark.parametrize(
    "word",
    [
        *(word for word in Taken if word not in {Taken.HELD, Taken.KNOWN}),
        *(word for word in Placed if word not in {Placed.PAYING, Placed.CANCELLED}),
        Hold.SOLD_OUT,
        Hold.LIMIT_REACHED,
    ],
)
def test_every_refusing_word_can_be_said(word: str) -> None:
    found = refused(word)

    assert 400 <= found.status < 500
    assert found.kind == word
    assert found.public.endswith(".")


def test_facts_become_members_of_the_problem() -> None:
    assert refused("sold-out", sale="drop").extra == {"sale": "drop"}
