"""What may differ between the ledger, Redis and the gateway, and what is done about it."""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What differs."""

    CHARGE_WITHOUT_PAYMENT = "charge-without-payment"
    PAYMENT_WITHOUT_CHARGE = "payment-without-charge"
    NOT_EXPECTED = "money-not-expected"
    MISSING = "money-missing"
    REFUNDED_THERE = "refunded-at-gateway"
    NOT_REFUNDED = "not-refunded"
    AMOUNT = "other-amount"
    BEHIND = "ledger-behind"
    STOCK = "stock"
    SHOPPERS = "shopper-counts"


class Repair(StrEnum):
    """What is done about it; what a program cannot know is left to people."""

    VOID = "void"
    REFUND = "refund"
    GO_ON = "go-on"
    MEND = "mend"
    LOOK = "look-into-it"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: what the ledger says, what the other side says."""

    kind: Kind
    subject: str
    ledger: str
    other: str
    repair: Repair
