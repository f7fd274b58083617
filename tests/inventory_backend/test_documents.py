"""What shoppers' clients read."""

from inventory_backend import documents
from inventory_backend.ledger.orders import Hold, Order
from inventory_backend.sales import HoldState, PaymentState
from tests.bookkeeping import NOW_MS
from tests.till import sale

LINES = sale().priced([("sneaker", 2)])
COST = sale().cost(LINES)
SHOWN = [{"sku": "sneaker", "qty": 2, "price": {"amount": 12900, "currency": "EUR"}}]
TOTAL = {"amount": 25800, "currency": "EUR"}


def test_a_fresh_hold() -> None:
    assert documents.held(sale(), LINES, "r1", NOW_MS) == {
        "reservation_id": "r1",
        "sale": "drop",
        "lines": SHOWN,
        "status": "held",
        "expires_at": "2023-11-14T22:13:20Z",
        "total": TOTAL,
    }


def test_a_hold_as_it_stands() -> None:
    found = documents.hold(Hold("r1", "drop", LINES, COST, HoldState.PAYING, NOW_MS, "o1"))

    assert (found["status"], found["order_id"], found["total"]) == ("paying", "o1", TOTAL)


def test_a_placed_order_says_where_to_ask() -> None:
    assert documents.placed("o1") == {"order_id": "o1", "status": "paying", "status_url": "/checkout/orders/o1"}


def test_an_order_as_it_stands() -> None:
    paid = Order("o1", "r1", "drop", LINES, COST, HoldState.PAID, PaymentState.CAPTURED, NOW_MS, NOW_MS, NOW_MS + 5, 1)
    declined = Order("o1", "r1", "drop", LINES, COST, HoldState.HELD, PaymentState.DECLINED, NOW_MS, NOW_MS, None, 2)

    assert documents.order(paid) == {
        "order_id": "o1",
        "status": "paid",
        "reservation_id": "r1",
        "sale": "drop",
        "lines": SHOWN,
        "total": TOTAL,
        "created_at": "2023-11-14T22:13:20Z",
        "paid_at": "2023-11-14T22:13:20.005Z",
        "expires_at": "2023-11-14T22:13:20Z",
        "can_retry": False,
        "attempts": 1,
        "action_url": None,
    }
    found = documents.order(declined)
    assert (found["status"], found["can_retry"], found["paid_at"], found["attempts"]) == ("declined", True, None, 2)
