"""What only the gateway of Stripe does; what all do is in test_payments.py."""

import asyncio
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.refunds import refund
from inventory_backend.paying import API_KEY_VARIABLE
from inventory_backend.payments.payments import GatewayUnavailable, Intent
from inventory_backend.payments.stripe_gateway import StripeGateway
from inventory_backend.payments.stripe_shapes import Marks
from inventory_backend.sales import Money
from tests.till import Shop, Shopper, config, gateway, serving, shop

INTENT = Intent("p1", "r1", "o1", Money(12900, "EUR"), "pm_card_visa", expires_ms=0)


async def test_a_till_on_stripe_sells_and_sends_back(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "sk_test_1")
    async with gateway() as url:
        chosen = config(tmp_path, redis_url, url)
        paying = chosen.payments.model_copy(update={"provider": "stripe"})
        async with shop(chosen.model_copy(update={"payments": paying})) as till:
            alice, bob = till.shopper("alice"), till.shopper("bob")
            rid = (await alice.reserve()).body["reservation_id"]
            other = (await bob.reserve()).body["reservation_id"]
            placed = await commit(alice, rid, "card_ok")
            declined = await commit(bob, other, "card_declined")
            assert (await alice.settled(placed))["status"] == "paid"
            assert (await bob.settled(declined))["status"] == "declined"
            [paid] = [one for one in await till.charges() if one["status"] == "succeeded"]
            assert set(paid["metadata"]) == {"shop", "pid", "rid", "order_id", "expires_ms"}
            note = Note("ops:ann", till.till.jobs.ledger.now_ms(), "refunded")
            await till.till.jobs.ledger.write(lambda c: refund(c, order=paid["metadata"]["order_id"], note=note))
            await alice.settled(paid["metadata"]["order_id"], "refunded")
            await eventually_refunded(till)


async def commit(shopper: Shopper, rid: str, method: str) -> str:
    body = {"reservation_id": rid, "payment": {"provider": "stripe", "method": method}}
    placed = await shopper.post("/checkout/commit", body, "pay")
    assert placed.status == 202
    return str(placed.body["order_id"])


async def eventually_refunded(till: Shop) -> None:
    async with asyncio.timeout(60):
        while not (await till.refunds()):
            await asyncio.sleep(0.05)


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
