"""What shoppers' clients read about holds and orders: money in minor units, times in RFC 3339."""

from collections.abc import Sequence

from inventory_backend.ledger.orders import Hold, Order
from inventory_backend.ledger.waitlist import Standing
from inventory_backend.sales import HoldState, Line, Money, OrderStatus, Sale, WaitlistState, order_status
from waitroom.kernel.units import spell_instant


def status_url(order_id: str) -> str:
    """Return where to ask how an order is doing."""
    return f"/checkout/orders/{order_id}"


def held(sale: Sale, lines: Sequence[Line], rid: str, expires_ms: int) -> dict[str, object]:
    """Return a fresh hold."""
    return {
        "reservation_id": rid,
        "sale": sale.name,
        "lines": _lines(sale.currency, lines),
        "status": HoldState.HELD,
        "expires_at": spell_instant(expires_ms),
        "total": sale.cost(lines).as_json(),
    }


def hold(found: Hold) -> dict[str, object]:
    """Return a hold as it stands."""
    return {
        "reservation_id": found.rid,
        "sale": found.sale,
        "lines": _lines(found.cost.currency, found.lines),
        "status": found.state,
        "expires_at": spell_instant(found.held_until_ms),
        "total": found.cost.as_json(),
        "order_id": found.order_id,
    }


def placed(order_id: str) -> dict[str, object]:
    """Return the order that a commit began."""
    return {"order_id": order_id, "status": OrderStatus.PAYING, "status_url": status_url(order_id)}


def order(found: Order) -> dict[str, object]:
    """Return an order as it stands.

    `can_retry` says whether another payment may be tried, `action_url` where the shopper's bank wants to ask them.
    """
    return {
        "order_id": found.order_id,
        "status": order_status(found.hold, found.payment),
        "reservation_id": found.rid,
        "sale": found.sale,
        "lines": _lines(found.cost.currency, found.lines),
        "total": found.cost.as_json(),
        "created_at": spell_instant(found.placed_ms),
        "paid_at": None if found.paid_ms is None else spell_instant(found.paid_ms),
        "expires_at": spell_instant(found.held_until_ms),
        "can_retry": found.hold is HoldState.HELD,
        "attempts": found.attempts,
        "action_url": found.action_url,
    }


def standing(sale: str, found: Standing | None, offer: Hold | None) -> dict[str, object]:
    """Return where a shopper stands on the waitlist; `offer` is the hold that was made for them, if it was."""
    if found is None:
        return {"sale": sale, "status": WaitlistState.NONE}
    return {
        "sale": sale,
        "status": found.state,
        "lines": _lines(found.currency, found.lines),
        "joined_at": spell_instant(found.joined_ms),
        "units_ahead": found.units_ahead,
        "may_return": found.may_return,
        "offer": None if offer is None else hold(offer),
    }


def _lines(currency: str, lines: Sequence[Line]) -> list[dict[str, object]]:
    return [{"sku": line.sku, "qty": line.qty, "price": Money(line.unit_amount, currency).as_json()} for line in lines]
