"""What a gateway tells is read with care: what is no event is refused, what is of no use to us is left alone."""

import json

import pytest

from inventory_backend.payments.events import told
from inventory_backend.payments.payments import ChargeStatus
from inventory_backend.sales import Money

INTENT = {
    "object": "payment_intent",
    "id": "pi_1",
    "status": "succeeded",
    "amount": 5,
    "currency": "eur",
    "metadata": {"pid": "p1"},
}


def event(about: object, kind: str = "payment_intent.succeeded") -> bytes:
    return json.dumps({"id": "evt_1", "type": kind, "data": {"object": about}}).encode()


def test_news_of_a_charge_say_which_and_how_it_stands() -> None:
    found = told(event(INTENT))

    assert (found.event_id, found.ref, found.pid) == ("evt_1", "pi_1", "p1")
    assert (found.status, found.cost, found.is_refunded) == (ChargeStatus.CAPTURED, Money(5, "EUR"), False)


@pytest.mark.parametrize(("refunded", "is_whole"), [(True, True), (False, False), ("yes", False)])
def test_only_a_whole_refund_is_one(refunded: object, is_whole: bool) -> None:
    charge = {"object": "charge", "payment_intent": "pi_1", "refunded": refunded, "amount": 5, "currency": "eur"}
    found = told(event(charge, "charge.refunded"))

    assert (found.ref, found.is_refunded) == ("pi_1", is_whole)


@pytest.mark.parametrize("about", [None, [], {}, {"object": "customer"}, INTENT | {"status": "teapot"}])
def test_news_of_something_else_say_nothing(about: object) -> None:
    found = told(event(about))

    assert (found.event_id, found.ref, found.status) == ("evt_1", "", None)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"id":1,"type":"a"}', b'{"id":"","type":"a"}', b"\xff", b'{"id":"e"}', b"null"]
)
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - JSON's own and UTF-8's are kinds of it
        told(body)


def test_an_odd_member_does_not_break_it() -> None:
    found = told(event(INTENT | {"amount": "5", "metadata": "x", "id": None}))

    assert (found.cost, found.pid) == (None, "")
