"""Write prices as shoppers read them."""

from collections.abc import Mapping

_SYMBOLS = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "KRW": "₩", "INR": "₹"}
_NO_MINOR_UNITS = frozenset({"JPY", "KRW", "CLP", "VND", "ISK"})
"""Currencies whose smallest unit is the whole one (ISO 4217)."""


def price_text(money: Mapping[str, object]) -> str:
    """Return `{"amount", "currency"}` as text: "€129.00", "¥1,500", "129.00 CHF"."""
    amount, currency = money["amount"], str(money["currency"])
    assert isinstance(amount, int)
    figure = f"{amount:,}" if currency in _NO_MINOR_UNITS else f"{amount // 100:,}.{amount % 100:02d}"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{figure}" if symbol else f"{figure} {currency}"
