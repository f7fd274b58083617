"""What may be said of a new charge, and what Stripe answers to anything else."""

import re

from inventory_backend.payments.simulated_books import Reply
from inventory_backend.payments.simulated_cards import Card, whole
from inventory_backend.payments.simulated_keys import Form, error, invalid

_LARGEST_AMOUNT = 99_999_999
_KNOWN = re.compile(
    r"amount|currency|payment_method|allowed_payment_method_types\[\d\]|capture_method|confirm|return_url"
    r"|description|metadata\[\w+\]|expand\[\d?\]",
    re.ASCII,
)
"""Stripe refuses what it does not know, so that nobody relies on it."""


def odd(form: Form) -> Reply | None:
    """Return what Stripe says to a new charge that it does not take; None when it takes it."""
    for name in form:
        if not _KNOWN.fullmatch(name):
            return error(400, "invalid_request_error", "parameter_unknown", f"Unknown: {name}", param=name)
    if not 1 <= (whole(form.get("amount", "")) or 0) <= _LARGEST_AMOUNT:
        return invalid("amount must be a positive integer in minor units", "amount")
    if not re.fullmatch("[A-Za-z]{3}", form.get("currency", "")):
        return invalid("currency must be a three-letter code", "currency")
    if form.get("payment_method") not in set(Card):
        return invalid(f"payment_method must be one of {', '.join(Card)}", "payment_method")
    if form.get("return_url") and not re.fullmatch(r"https?://[!-~]{1,2000}", form["return_url"]):
        return invalid("return_url must be an address", "return_url")
    return None
