"""Read what a gateway tells by webhook; the shapes are Stripe's.

Source: https://docs.stripe.com/api/events/types
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inventory_backend.payments.payments import ChargeStatus
from inventory_backend.payments.stripe_shapes import members
from inventory_backend.sales import Money

_LONGEST_ID = 128


@dataclass(frozen=True, slots=True)
class Told:
    """What a gateway says happened to a charge; without a status it is about something else."""

    event_id: str
    kind: str
    ref: str = ""
    pid: str = ""
    status: ChargeStatus | None = None
    cost: Money | None = None
    is_refunded: bool = False


def told(body: bytes) -> Told:
    """Return what `body` says.

    Raises:
        ValueError: it is no event.
    """
    event = members(json.loads(body))
    event_id, kind = event.get("id"), event.get("type")
    if not isinstance(event_id, str) or not isinstance(kind, str) or not 1 <= len(event_id) <= _LONGEST_ID:
        raise ValueError("an event has an id and a type")
    about = members(members(event.get("data")).get("object"))
    if about.get("object") == "payment_intent":
        return _of_intent(Told(event_id, kind), about)
    if kind == "charge.refunded" and about.get("object") == "charge":
        return _of_refund(Told(event_id, kind), about)
    return Told(event_id, kind)


def _of_intent(event: Told, about: Mapping[str, Any]) -> Told:
    status = about.get("status")
    if status not in set(ChargeStatus):
        return event
    return Told(event.event_id, event.kind, *_names(about, "id"), ChargeStatus(status), _cost(about))


def _of_refund(event: Told, about: Mapping[str, Any]) -> Told:
    ref, pid = _names(about, "payment_intent")
    is_whole = about.get("refunded") is True
    return Told(event.event_id, event.kind, ref, pid, ChargeStatus.CAPTURED, _cost(about), is_whole)


def _names(about: Mapping[str, Any], member: str) -> tuple[str, str]:
    return str(about.get(member, "")), str(members(about.get("metadata")).get("pid", ""))


def _cost(about: Mapping[str, Any]) -> Money | None:
    amount, currency = about.get("amount"), about.get("currency")
    return Money(amount, currency.upper()) if isinstance(amount, int) and isinstance(currency, str) else None
