"""What is left, in words and numbers."""

import pytest

from waitroom.rules.stock import Stock, about, in_line, told


def test_without_a_report_nothing_is_told() -> None:
    assert told(None) is None
    assert told(Stock(40, 3, 12)) == {"left": 40, "held": 3}


@pytest.mark.parametrize(
    ("units", "text"),
    [
        (0, "0"),
        (1, "1"),
        (19, "19"),
        (20, "About 20"),
        (99, "About 99"),
        (104, "About 100"),
        (1_953, "About 1,900"),
        (1_000_000, "About 1,000,000"),
    ],
)
def test_a_stock_is_never_told_larger_than_it_is(units: int, text: str) -> None:
    assert about(units) == text


@pytest.mark.parametrize(
    ("stock", "ahead", "text"),
    [
        (Stock(1953, 0, 0), 900, "About 1,900 left, 900 ahead of you."),
        (Stock(40, 3, 0), 900, "About 40 left, 900 ahead of you: it may sell out before your turn."),
        (Stock(40, 3, 0), 43, "About 40 left, 43 ahead of you: it may sell out before your turn."),
        (Stock(40, 3, 0), 42, "About 40 left, 42 ahead of you."),
        (Stock(3, 0, 0), 0, "3 left, nobody ahead of you."),
        (Stock(0, 12, 0), 5, "Nothing is free this moment. 12 set aside may come back: then the line moves on."),
    ],
)
def test_who_waits_is_told_the_truth(stock: Stock, ahead: int, text: str) -> None:
    assert in_line(stock, ahead) == text
