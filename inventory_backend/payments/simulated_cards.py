"""The charges of the simulated gateway: what each test card does, and when."""

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from inventory_backend.payments.payments import ChargeStatus

NEVER_MS = 2**53
"""A time that does not come by itself."""


class Card(StrEnum):
    """The payment methods of the simulated gateway."""

    OK = "card_ok"
    DECLINED = "card_declined"
    THREE_DS = "card_3ds"
    PAGE = "card_page"
    SLOW = "card_slow"
    ERROR = "card_error"
    LATE = "card_late"


_ASK_THE_SHOPPER = frozenset({Card.THREE_DS, Card.PAGE})


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
    is_confirmed: bool = True
    is_manual: bool = True  # money that is set aside waits to be captured, else it is taken at once
    return_url: str = ""
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(18))  # who has it may say yes for the shopper
    told: str = ""  # the status that the last event told of

    def status(self, now_ms: int) -> ChargeStatus:
        """Return what Stripe would call the status."""
        if self.is_cancelled:
            return ChargeStatus.CANCELLED
        if self.captured:
            return ChargeStatus.CAPTURED
        if not self.is_confirmed:
            return ChargeStatus.UNCONFIRMED
        if self.authorised_ms is None:
            return ChargeStatus.DECLINED
        if now_ms >= self.authorised_ms:
            return ChargeStatus.AUTHORISED if self.is_manual else ChargeStatus.CAPTURED
        return ChargeStatus.ACTION_REQUIRED if self.card in _ASK_THE_SHOPPER else ChargeStatus.PROCESSING

    def received(self, now_ms: int) -> int:
        """Return how much was taken, whatever was sent back since."""
        return self.amount if self.status(now_ms) is ChargeStatus.CAPTURED else 0

    def can_be_cancelled(self, now_ms: int) -> bool:
        """Tell whether it can be let go of; what a bank is working on cannot (as with bank debits at Stripe)."""
        return self.status(now_ms) not in {ChargeStatus.CAPTURED, ChargeStatus.CANCELLED, ChargeStatus.PROCESSING}

    def as_json(self, now_ms: int, page_url: str = "") -> dict[str, object]:
        """Return it in the shape of Stripe's PaymentIntent; `page_url` is where its shopper can be asked."""
        status = self.status(now_ms)
        is_asking = status is ChargeStatus.ACTION_REQUIRED and bool(page_url)
        redirect = {"url": page_url, "return_url": self.return_url or None}
        return {
            "id": self.ref,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_received": self.received(now_ms),
            "currency": self.currency,
            "created": self.created_ms // 1000,
            "capture_method": "manual" if self.is_manual else "automatic",
            "latest_charge": self._charge_ref if self.is_confirmed else None,
            "payment_method": self.card,
            "next_action": {"type": "redirect_to_url", "redirect_to_url": redirect} if is_asking else None,
            "status": status,
            "metadata": dict(self.metadata),
        }

    def charge_json(self, now_ms: int) -> dict[str, object]:
        """Return the attempt to take the money in the shape of Stripe's Charge."""
        return {
            "id": self._charge_ref,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.received(now_ms),
            "amount_refunded": self.refunded,
            "currency": self.currency,
            "payment_intent": self.ref,
            "refunded": 0 < self.amount <= self.refunded,
            "metadata": dict(self.metadata),
        }

    @property
    def _charge_ref(self) -> str:
        return f"ch_{self.ref.removeprefix('pi_')}"


def authorised_ms(card: Card, now_ms: int, metadata: Mapping[str, str], behaviour: Behaviour) -> int | None:
    """Return when `card` says yes; None when it says no."""
    match card:
        case Card.DECLINED:
            return None
        case Card.THREE_DS:
            return now_ms + behaviour.pause_ms
        case Card.PAGE:  # when its shopper says so
            return NEVER_MS
        case Card.LATE:  # after the shop stopped waiting, whenever that is
            return (whole(metadata.get("expires_ms", "")) or now_ms) + behaviour.late_ms
        case Card.OK | Card.SLOW | Card.ERROR:
            return now_ms


def whole(text: str) -> int | None:
    """Return the whole number in a form's field; None when it is none."""
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else None
