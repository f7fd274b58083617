"""Attacks on what the till hears of money: only its gateway is believed, and only about what it was asked for."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from inventory_backend.ledger.schema import inbox
from inventory_backend.paying import WEBHOOK_SECRET_VARIABLE
from inventory_backend.payments.signatures import sign
from tests.bookkeeping import books
from tests.till import Shop, config, gateway, shop
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner

SECRET = b"whsec_of-the-gateway"


@pytest.fixture
async def till(
    tmp_path: Path, redis: ScriptRunner, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    monkeypatch.setenv(WEBHOOK_SECRET_VARIABLE, SECRET.decode())
    async with gateway() as url, shop(config(tmp_path, f"{valkey_url}?db=1", url), with_jobs=False) as found:
        yield found


async def charged(till: Shop) -> list[dict[str, Any]]:
    """Return the charges at the gateway, once there are some."""
    async with asyncio.timeout(60):
        while not (found := await till.charges()):
            await asyncio.sleep(0.02)
    return found


async def test_nobody_else_says_that_a_payment_went_well(till: Shop) -> None:
    """Whoever knows everything about a payment but the secret cannot make an order of it, with any signature."""
    alice = till.shopper()
    rid = (await alice.reserve()).body["reservation_id"]
    await alice.commit(rid, "card_page")
    [charge] = await charged(till)
    charge["status"] = "succeeded"
    body = json.dumps({"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": charge}}).encode()
    now_s = SystemClock().now_ms() // 1000
    genuine = sign(SECRET, now_s, body)
    old = sign(SECRET, now_s - 301, body)
    before = await books(till.till.jobs.ledger)

    for marks, sent in (
        ([], body),
        ([""], body),
        (["t=1,v1="], body),
        ([sign(b"", now_s, body)], body),
        ([sign(b"whsec_guessed-by-somebody", now_s, body)], body),
        ([old], body),
        ([old.replace(old[2:12], str(now_s))], body),
        ([genuine], body.replace(b"evt_1", b"evt_2")),
        ([genuine], body + b" "),
        ([genuine, genuine], body),
        ([genuine.replace("v1=", "v0=")], body),
    ):
        headers = [("Stripe-Signature", mark) for mark in marks]
        async with till.session.post(f"{till.url}/webhooks/simulated", data=sent, headers=headers) as answer:
            assert (answer.status, answer.content_type) == (400, "application/problem+json")
            assert (await answer.json(content_type=None))["type"] == "urn:waitroom:problem:forged-webhook"

    assert await books(till.till.jobs.ledger) == before
    heard = await till.till.jobs.ledger.read(lambda c: c.execute(select(inbox)).all())
    assert heard == []


async def test_a_genuine_word_of_another_amount_buys_nothing(till: Shop) -> None:
    alice = till.shopper()
    rid = (await alice.reserve()).body["reservation_id"]
    order = (await alice.commit(rid, "card_page")).body["order_id"]
    [charge] = await charged(till)
    charge |= {"status": "succeeded", "amount": 1}
    body = json.dumps({"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": charge}}).encode()
    mark = sign(SECRET, SystemClock().now_ms() // 1000, body)

    async with till.session.post(
        f"{till.url}/webhooks/simulated", data=body, headers={"Stripe-Signature": mark}
    ) as answer:
        assert (answer.status, await answer.json()) == (200, {"heard": "unknown"})
    assert (await alice.order(order))["status"] == "paying"
