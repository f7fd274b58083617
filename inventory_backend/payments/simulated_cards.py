"""The charges of the simulated gateway: what each test card does, and when."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inventory_backend.payments.payments import ChargeStatus


class Card(StrEnum):
    """The payment methods of the simulated gateway."""

    OK = "card_ok"
    DECLINED = "card_declined"
    THREE_DS = "card_3ds"
    SLOW = "card_slow"
    ERROR = "card_error"
    LATE = "card_late"


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How long the unusual cards take."""

    slow_ms: int = 3000
    pause_ms: int = 2000
    late_ms: int = 2000


@dataclass(slots=True)
class PaymentIntent:
    """One charge; its status follows from what was done to it and from the time."""

    amount: int
    currency: str
    card: Card
    created_ms: int
    authorised_ms: int | None  # when the card says yes; None = it says no
    metadata: Mapping[str, str]
    ref: str = field(default_factory=lambda: f"pi_{secrets.token_hex(12)}")
    is_cancelled: bool = False
    captured: int = 0
    refunded: int = 0

    def status(self, now_ms: int) -> ChargeStatus:
        """Return what Stripe would call the status."""
        if self.is_cancelled:
            return ChargeStatus.CANCELLED
        if self.captured:
            return ChargeStatus.CAPTURED
        if self.authorised_ms is None:
            return ChargeStatus.DECLINED
        if now_ms >= self.authorised_ms:
            return ChargeStatus.AUTHORISED
        return ChargeStatus.ACTION_REQUIRED if self.card is Card.THREE_DS else ChargeStatus.PROCESSING

    def can_be_cancelled(self, now_ms: int) -> bool:
        """Tell whether it can be let go of; what a bank is working on cannot (as with bank debits at Stripe)."""
        return self.status(now_ms) not in {ChargeStatus.CAPTURED, ChargeStatus.CANCELLED, ChargeStatus.PROCESSING}

    def as_json(self, now_ms: int) -> dict[str, object]:
        """Return it in the shape of Stripe's PaymentIntent."""
        return {
            "id": self.ref,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_received": self.captured,
            "currency": self.currency,
            "created": self.created_ms // 1000,
            "capture_method": "manual",
            "payment_method": self.card,
            "status": self.status(now_ms),
            "metadata": dict(self.metadata),
        }


def authorised_ms(card: Card, now_ms: int, metadata: Mapping[str, str], behaviour: Behaviour) -> int | None:
    """Return when `card` says yes; None when it says no."""
    match card:
        case Card.DECLINED:
            return None
        case Card.THREE_DS:
            return now_ms + behaviour.pause_ms
        case Card.LATE:  # after the shop stopped waiting, whenever that is
            return (whole(metadata.get("expires_ms", "")) or now_ms) + behaviour.late_ms
        case Card.OK | Card.SLOW | Card.ERROR:
            return now_ms


def whole(text: str) -> int | None:
    """Return the whole number in a form's field; None when it is none."""
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None
