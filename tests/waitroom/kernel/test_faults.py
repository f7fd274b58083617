"""A fault says where it is and what to do, in the words of the file."""

from typing import Any

import pytest
from pydantic import Field, ValidationError, model_validator

from waitroom.kernel.faults import Fault, Faults, entries, repeated, syntax, told
from waitroom.kernel.settings import DurationMs, Many, Settings


class Row(Settings):
    """One line of an order."""

    name: str
    hold_ms: DurationMs = 0

    @model_validator(mode="after")
    def _named(self) -> "Row":
        if self.name == "twice":
            raise Faults([Fault(("name",), "is bad"), Fault((), "is bad as a whole")])
        return self


class Order(Settings):
    """A few rows."""

    rows: Many[Row] = Field((), min_length=1)
    count: int | None = Field(None, ge=1)


def said(written: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        Order.model_validate(written, by_alias=True, by_name=False)
    return [str(fault) for fault in told(refused.value, Order)]


def test_a_path_is_spelled_as_in_the_file() -> None:
    assert str(Fault(("rooms", 0, "poll", "floor"), "is wrong")) == "rooms[0].poll.floor: is wrong"
    assert str(Fault((), "is wrong")) == "is wrong"


@pytest.mark.parametrize(
    ("written", "fault"),
    [
        ({"rows": [{}]}, "rows[0].name: is missing; add it"),
        ({"rows": [{"name": 5}]}, "rows[0].name: must be text in quotes"),
        ({"rows": "a"}, "rows: must be a list, such as [1, 2]"),
        ({"rows": [5]}, "rows[0]: must be a table"),
        ({"rows": []}, "rows: must hold at least 1"),
        ({"rows": [{"name": "a"}], "count": 0}, "count: must be at least 1"),
        ({"rows": [{"name": "a"}], "cuont": 0}, 'cuont: is not a setting; did you mean "count"?'),
        ({"rows": [{"name": "a", "hodl": "1s"}]}, 'rows[0].hodl: is not a setting; did you mean "hold"?'),
        ({"rows": [{"name": "a", "x": 1}]}, "rows[0].x: is not a setting; known here: hold, name"),
    ],
)
def test_each_kind_of_fault_has_its_words(written: dict[str, Any], fault: str) -> None:
    assert said(written) == [fault]


def test_one_validator_may_tell_several_faults() -> None:
    assert said({"rows": [{"name": "a"}, {"name": "twice"}]}) == ["rows[1].name: is bad", "rows[1]: is bad as a whole"]


def test_a_list_is_not_called_short_for_what_is_wrong_inside_it() -> None:
    assert said({"rows": [{"name": 5}]}) == ["rows[0].name: must be text in quotes"]


def test_a_syntax_fault_begins_with_its_line() -> None:
    assert syntax("Invalid value (at line 2, column 5)") == "line 2, column 5: Invalid value"
    assert syntax("Unterminated string (at end of document)") == "end of document: Unterminated string"
    assert syntax("Something else") == "Something else"


def test_a_name_taken_twice_points_to_the_first() -> None:
    rows = [{"name": "a"}, {"name": "b"}, {"name": "a"}, {"name": 5}, "odd", {}]

    assert [str(fault) for fault in repeated({"rows": rows}, "rows", "name")] == [
        'rows[2].name: "a" is taken by rows[0]; give it another'
    ]
    assert list(entries({"rows": rows}, "rows", "name")) == [(0, "a"), (1, "b"), (2, "a")]
    assert list(entries({"rows": 5}, "rows", "name")) == []
