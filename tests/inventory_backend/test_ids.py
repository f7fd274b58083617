"""The ids of holds, offers and orders."""

from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from inventory_backend.ids import _NAMESPACE, order_id, reservation_id


def test_the_same_request_meets_the_same_row() -> None:
    mine = reservation_id("drop", "alice", "k1")

    assert mine == reservation_id("drop", "alice", "k1")
    others = [("drop", "alice", "k2"), ("drop", "bob", "k1"), ("next", "alice", "k1"), ("drop\nalice", "", "k1")]
    assert len({mine, *(reservation_id(*other) for other in others)}) == 5
    assert order_id(mine) not in {mine, order_id("another")}


@given(st.text(), st.text(), st.text())
def test_an_id_is_the_one_that_the_library_would_make(of: str, shopper: str, key: str) -> None:
    assert reservation_id(of, shopper, key) == str(uuid5(_NAMESPACE, f"hold\n{of}\n{shopper}\n{key}"))
    assert order_id(of) == str(uuid5(_NAMESPACE, f"order\n{of}"))
