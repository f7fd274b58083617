"""What an answer of Stripe's shape means; the whole of it is tested through each gateway in test_payments.py."""

import pytest

from inventory_backend.payments.payments import (
    ChargeStatus,
    GatewayBusy,
    GatewayRefused,
    GatewayUnavailable,
    Intent,
)
from inventory_backend.payments.stripe_shapes import AlreadyRefunded, Marks, listed_in, rows_in, understood
from inventory_backend.sales import Money

INTENT = Intent("p1", "r1", "o1", Money(100, "EUR"), "card_ok", expires_ms=7)
BAD = "invalid_request_error"


@pytest.mark.parametrize(
    ("status", "error", "fault"),
    [
        (429, {}, GatewayBusy),
        (400, {"type": BAD, "code": "rate_limit"}, GatewayBusy),
        (400, {"type": BAD, "code": "charge_already_refunded"}, AlreadyRefunded),
        (400, {"type": BAD}, GatewayRefused),
        (402, {"type": "card_error"}, GatewayRefused),
        (400, {"type": "idempotency_error"}, GatewayUnavailable),
        (409, {"type": "idempotency_error"}, GatewayUnavailable),
        (401, {"type": BAD}, GatewayUnavailable),
        (404, {"type": BAD}, GatewayUnavailable),
        (500, {"type": "api_error"}, GatewayUnavailable),
    ],
)
def test_a_refusal_means_one_thing(status: int, error: dict[str, object], fault: type[Exception]) -> None:
    with pytest.raises(fault) as raised:
        understood("asked", status, {"error": error}, "")
    assert type(raised.value) is fault


@pytest.mark.parametrize(
    ("said", "wait_s"), [("7", 7), ("999999", 60), ("", 1), ("-1", 1), ("Wed, 21 Oct 2026 07:28:00 GMT", 1)]
)
def test_how_long_to_wait_is_read_with_care(said: str, wait_s: int) -> None:
    with pytest.raises(GatewayBusy) as busy:
        understood("asked", 429, None, said)
    assert busy.value.wait_s == wait_s


def test_the_object_inside_a_refusal_is_as_good() -> None:
    about = {"id": "pi_1", "status": "succeeded"}

    assert understood("asked", 400, {"error": {"type": BAD, "payment_intent": about}}, "") == about


def test_a_charge_of_somebody_else_has_no_name_of_ours() -> None:
    listed = listed_in({"id": "pi_1", "status": "succeeded", "amount": 5, "currency": "eur", "latest_charge": "ch_1"})

    assert (listed.shop, listed.pid, listed.refunded, listed.status) == ("", "", 0, ChargeStatus.CAPTURED)


@pytest.mark.parametrize("found", [{}, {"data": {}}, {"data": None}])
def test_what_is_no_list_is_not_taken_for_an_empty_one(found: dict[str, object]) -> None:
    with pytest.raises(GatewayUnavailable):
        rows_in(found)


def test_marks_say_whose_a_charge_is_and_where_its_shopper_comes_back_to() -> None:
    marks = Marks("shop-1", "https://shop.example/drop/orders/{order_id}")

    assert marks.beside(INTENT)["shop"] == "shop-1"
    assert marks.return_url_of(INTENT) == "https://shop.example/drop/orders/o1"
    assert Marks().return_url_of(INTENT) == ""
