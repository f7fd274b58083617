"""What only the gateway of Stripe does; what all do is in test_payments.py."""

import aiohttp
import pytest
from aiohttp import web

from inventory_backend.payments.payments import GatewayUnavailable, Intent
from inventory_backend.payments.stripe_gateway import StripeGateway
from inventory_backend.payments.stripe_shapes import Marks
from inventory_backend.sales import Money
from tests.till import serving

INTENT = Intent("p1", "r1", "o1", Money(12900, "EUR"), "pm_card_visa", expires_ms=0)


async def test_it_asks_in_the_words_of_stripe_and_only_once() -> None:
    asked = list[tuple[str, dict[str, str], dict[str, str]]]()

    async def create(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        asked.append((request.path, form, dict(request.headers)))
        return web.json_response({"error": {"type": "api_error"}}, status=500, headers={"Stripe-Should-Retry": "true"})

    app = web.Application()
    app.router.add_post("/v1/payment_intents", create)
    async with serving(app) as url, aiohttp.ClientSession() as session:
        psp = StripeGateway(session, "sk_test_1", url, timeout_ms=1000, marks=Marks("shop-1", "https://s.example/o"))
        with pytest.raises(GatewayUnavailable):
            await psp.authorise(INTENT, key="pay:p1")

    [(_, form, headers)] = asked  # a retry of the library's own would be a second
    assert headers["Authorization"] == "Bearer sk_test_1"
    assert headers["Idempotency-Key"] == "pay:p1"
    assert form == {
        "amount": "12900",
        "currency": "eur",
        "payment_method": "pm_card_visa",
        "allowed_payment_method_types[0]": "card",
        "capture_method": "manual",
        "confirm": "true",
        "return_url": "https://s.example/o",
        "metadata[shop]": "shop-1",
        "metadata[pid]": "p1",
        "metadata[rid]": "r1",
        "metadata[order_id]": "o1",
        "metadata[expires_ms]": "0",
    }
