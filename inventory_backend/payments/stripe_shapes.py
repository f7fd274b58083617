"""Read what Stripe's API answers, whoever carried it here: charges, lists, and what each refusal means.

No answer is ever taken for a no: what is not understood is a gateway that cannot be reached.

Source: https://docs.stripe.com/api/payment_intents/object, https://docs.stripe.com/api/errors
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from inventory_backend.payments.payments import (
    Charge,
    ChargeStatus,
    GatewayBusy,
    GatewayRefused,
    GatewayUnavailable,
    Intent,
    Listed,
)
from inventory_backend.sales import Money

MOST_LISTED = 100
"""Objects on one page of a list."""
_LONGEST_WAIT_S = 60
_TOO_MANY = 429
_NO = (400, 402)


class AlreadyRefunded(GatewayRefused):
    """The money went back before."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What we write beside each charge, so that we find it again, and where its shopper comes back to.

    `shop` is the name of the ledger: an account may have charges of others, and those are none of our business.
    """

    shop: str = ""
    return_url: str = ""

    def beside(self, intent: Intent) -> dict[str, str]:
        """Return the metadata of a charge."""
        return {
            "shop": self.shop,
            "pid": intent.pid,
            "rid": intent.rid,
            "order_id": intent.order_id,
            "expires_ms": str(intent.expires_ms),
        }

    def return_url_of(self, intent: Intent) -> str:
        """Return where the shopper goes when their bank has asked them; "" is nowhere."""
        return self.return_url.replace("{order_id}", intent.order_id)


def search_for(pid: str) -> str:
    """Return the query that finds the charge of our payment `pid`."""
    return f"metadata['pid']:'{pid}'"


def charge_in(found: Mapping[str, Any]) -> Charge:
    """Return a payment intent as a charge.

    Raises:
        GatewayUnavailable: it is none that we understand.
    """
    try:
        action = members(members(found.get("next_action")).get("redirect_to_url")).get("url")
        return Charge(str(found["id"]), ChargeStatus(found["status"]), str(action) if action else None)
    except (KeyError, ValueError) as fault:
        raise _strange(fault) from fault


def listed_in(found: Mapping[str, Any]) -> Listed:
    """Return one of a list, whose `latest_charge` was asked for too.

    Raises:
        GatewayUnavailable: it is none that we understand.
    """
    marks, taken = members(found.get("metadata")), members(found.get("latest_charge"))
    try:
        return Listed(
            ref=str(found["id"]),
            status=ChargeStatus(found["status"]),
            cost=Money(int(found["amount"]), str(found["currency"]).upper()),
            refunded=int(taken.get("amount_refunded") or 0),
            pid=str(marks.get("pid", "")),
            shop=str(marks.get("shop", "")),
        )
    except (KeyError, TypeError, ValueError) as fault:
        raise _strange(fault) from fault


def rows_in(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the objects on one page of a list.

    Raises:
        GatewayUnavailable: it is no list.
    """
    rows = found.get("data")
    if not isinstance(rows, list):
        raise GatewayUnavailable("gateway: an answer that is no list")
    return [members(one) for one in rows]


def understood(asked: str, status: int, found: object, retry_after: str) -> Mapping[str, Any]:
    """Return the object in an answer; one that comes inside a refusal is as good.

    Raises:
        GatewayBusy: it asks for fewer calls.
        GatewayRefused: it does not take such a request.
        GatewayUnavailable: anything else; the same call must be made again.
    """
    if status < 400:
        return members(found)
    error = members(members(found).get("error"))
    told = f"gateway: {asked}: {status} {error.get('code') or error.get('type')}"
    wait_s = min(int(retry_after), _LONGEST_WAIT_S) if re.fullmatch("[0-9]{1,6}", retry_after) else 1
    if status == _TOO_MANY or error.get("code") == "rate_limit":
        raise GatewayBusy(told, retry_after_s=wait_s)
    about = members(error.get("payment_intent"))
    if status < 500 and about:
        return about
    if status in _NO and error.get("code") == "charge_already_refunded":
        raise AlreadyRefunded(told, status=status)
    if status in _NO and error.get("type") in {"invalid_request_error", "card_error"}:
        raise GatewayRefused(told, status=status)
    raise GatewayUnavailable(told, retry_after_s=wait_s)


def members(found: object) -> Mapping[str, Any]:
    """Return the members of an object; what is none has none."""
    return found if isinstance(found, Mapping) else {}


def _strange(fault: Exception) -> GatewayUnavailable:
    return GatewayUnavailable(f"gateway: an answer we do not understand: {fault!r}")
