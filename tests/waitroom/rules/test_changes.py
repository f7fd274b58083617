"""Which values ops may give."""

import pytest

from waitroom.kernel.errors import Refused
from waitroom.rules.changes import refuse_above_ceiling, value_of
from waitroom.rules.rooms import Change, ChangeKind


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        (ChangeKind.RATE, "600", "600.0"),
        (ChangeKind.RATE, " 0.2 ", "0.2"),
        (ChangeKind.RATE, "0.001", "0.001"),
        (ChangeKind.RATE, "1e8", "100000000.0"),
        (ChangeKind.CAP, "0", "0"),
        (ChangeKind.CAP, "500", "500"),
        (ChangeKind.CAP, "5e2", "500"),
        (ChangeKind.MESSAGE, "We are back at 10 <o'clock>.", "We are back at 10 <o'clock>."),
        (ChangeKind.MESSAGE, "", ""),
        (ChangeKind.REVOKE, "tK-9_a", "tK-9_a"),
        (ChangeKind.SPIN, "3 17 28, Ms Ölmez", "3 17 28, Ms Ölmez"),
        (ChangeKind.PAUSE, "now", ""),
        (ChangeKind.RESUME, "", ""),
        (ChangeKind.END, "", ""),
    ],
)
def test_a_value_that_fits_is_told_to_the_script(kind: ChangeKind, value: str, told: str) -> None:
    assert value_of(Change(kind, value)) == told


@pytest.mark.parametrize(
    ("kind", "value", "slug"),
    [
        *((ChangeKind.RATE, value, "bad-rate") for value in ("", "0", "-1", "fast", "nan", "inf", "1e9", "0.0009")),
        *((ChangeKind.CAP, value, "bad-cap") for value in ("", "-1", "many", "nan", "-inf", "1e9", "3.7")),
        (ChangeKind.MESSAGE, "x" * 501, "too-long"),
        *((ChangeKind.REVOKE, value, "bad-session") for value in ("", "x" * 65, "a b", "a\n")),
        *((ChangeKind.SPIN, value, "bad-spin") for value in ("", "x" * 201, "3\n17", "\0")),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind: ChangeKind, value: str, slug: str) -> None:
    with pytest.raises(Refused) as refused:
        value_of(Change(kind, value))

    assert (refused.value.status, refused.value.kind) == (422, slug)


def test_a_rate_above_its_ceiling_must_be_meant() -> None:
    refuse_above_ceiling(Change(ChangeKind.RATE, "600"), 600.0)
    refuse_above_ceiling(Change(ChangeKind.RATE, "601", is_forced=True), 600.0)
    refuse_above_ceiling(Change(ChangeKind.CAP, "601"), 600.0)
    with pytest.raises(Refused) as refused:
        refuse_above_ceiling(Change(ChangeKind.RATE, "601"), 600.0)
    assert (refused.value.status, refused.value.kind) == (409, "above-ceiling")
