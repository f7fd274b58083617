"""Prices, as shoppers read them."""

import pytest

from inventory_backend.prices import price_text


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (12900, "EUR", "€129.00"),
        (5, "USD", "$0.05"),
        (123456789, "GBP", "£1,234,567.89"),
        (1500, "JPY", "¥1,500"),
        (12900, "CHF", "129.00 CHF"),
        (0, "EUR", "€0.00"),
    ],
)
def test_a_price_has_its_symbol_and_its_minor_units(amount: int, currency: str, text: str) -> None:
    assert price_text({"amount": amount, "currency": currency}) == text
