"""A new charge is taken or refused as Stripe does it; that a refusal leaves nothing is in test_simulated_server.py."""

import pytest

from inventory_backend.payments.simulated_forms import odd
from tests.inventory_backend.payments.test_simulated_server import FORM


def test_what_both_gateways_send_is_taken() -> None:
    more = {"allowed_payment_method_types[0]": "card", "return_url": "https://shop.example/o/1?a=b"}

    assert odd(FORM | more) is None


@pytest.mark.parametrize("name", ["payment_method_types[0]", "metadata", "amount ", "metadata[a b]", "off_session"])
def test_what_is_not_known_is_named(name: str) -> None:
    refusal = odd(FORM | {name: "x"})

    assert refusal is not None
    error = refusal.body["error"]
    assert isinstance(error, dict)
    assert (refusal.status, error["code"], error["param"]) == (400, "parameter_unknown", name)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//evil.example", "https://a b", "data:,x"])
def test_a_shopper_is_sent_back_by_http_only(url: str) -> None:
    assert odd(FORM | {"return_url": url}) is not None
