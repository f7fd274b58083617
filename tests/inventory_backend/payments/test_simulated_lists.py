"""Lists and searches are Stripe's: newest first, in pages, by when and by what was written beside."""

from dataclasses import dataclass

import pytest

from inventory_backend.payments.simulated_cards import Card, PaymentIntent
from inventory_backend.payments.simulated_lists import BadQuery, page, searched


@dataclass(frozen=True)
class Row:
    """Something made at a time."""

    ref: str
    created_ms: int

    def shown(self) -> dict[str, object]:
        return {"id": self.ref}


ROWS = [Row(f"r{n}", 1000 * n) for n in range(15)]


def listed(**query: str) -> list[object]:
    found = page(
        {name.replace("_of_", "[") + ("]" if "_of_" in name else ""): v for name, v in query.items()}, ROWS, Row.shown
    )
    rows = found["data"]
    assert isinstance(rows, list)
    return [one["id"] for one in rows] + [found["has_more"]]


def test_the_newest_ten_come_first() -> None:
    assert listed() == [f"r{n}" for n in range(14, 4, -1)] + [True]
    assert listed(starting_after="r5") == ["r4", "r3", "r2", "r1", "r0", False]


def test_bounds_of_time_are_kept() -> None:
    assert listed(created_of_gte="12", created_of_lt="14") == ["r13", "r12", False]
    assert listed(created_of_gt="12", created_of_lte="13") == ["r13", False]
    assert listed(created="3") == ["r3", False]


@pytest.mark.parametrize(
    ("name", "value"), [("limit", "0"), ("limit", "101"), ("limit", "x"), ("created", "now"), ("starting_after", "no")]
)
def test_an_odd_parameter_is_named(name: str, value: str) -> None:
    with pytest.raises(BadQuery) as bad:
        listed(**{name: value})
    assert bad.value.param == name


def intent(pid: str, *, is_cancelled: bool = False) -> PaymentIntent:
    return PaymentIntent(1, "eur", Card.OK, 0, 0, {"pid": pid}, pid, is_cancelled)


def test_a_search_finds_by_metadata_and_status() -> None:
    rows = [intent("a"), intent("b"), intent("b", is_cancelled=True)]

    assert searched({"query": "metadata['pid']:'b'"}, rows, 0) == rows[:0:-1]
    assert searched({"query": 'metadata["pid"]:"b" AND status:\'canceled\''}, rows, 0) == rows[2:]
    assert searched({"query": "metadata['other']:'b'"}, rows, 0) == []


@pytest.mark.parametrize("query", ["", "pid:'b'", "metadata['pid']~'b'", "status:'a' OR status:'b'", "status:'a\"'x"])
def test_a_search_that_cannot_be_understood_is_refused(query: str) -> None:
    with pytest.raises(BadQuery):
        searched({"query": query}, [], 0)
