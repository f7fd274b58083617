"""Receivers can tell that it is us; each of their answers has its consequence."""

import asyncio
import json
from base64 import b64decode
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from inventory_backend.confirmations.sinks import SENT, Fate
from inventory_backend.confirmations.webhooks import Receiver, WebhookSink, document, opened, signed
from inventory_backend.ledger.deliveries import Notice
from inventory_backend.ledger.news import News
from inventory_backend.sales import Line, Money
from tests import receivers
from tests.receivers import SECRET, listening
from waitroom.kernel.clock import SystemClock

KEY = b"a-secret-of-a-receiver-in-tests!"
NOTICE = Notice(
    serial=1,
    message_id="msg_1",
    kind=News.PAID,
    at_ms=1_700_000_000_000,
    tries=1,
    rid="r",
    version=4,
    order_id="o",
    sale="drop",
    lines=(Line("sneaker", 2, 12900),),
    cost=Money(25800, "EUR"),
    facts={"receipt": "x"},
)


def sink(url: str, *, timeout_ms: int = 30_000, is_allowed: bool = True) -> AbstractAsyncContextManager[WebhookSink]:
    receiver = Receiver("erp", url, [KEY], frozenset(News), timeout_ms, is_allowed)
    return opened(receiver, SystemClock())


async def fate(status: int, **headers: str) -> tuple[Fate, int]:
    answer = receivers.Receiver(lambda _count: web.Response(status=status, headers=headers))
    async with listening(answer), sink(answer.url) as erp:
        found = await erp.send(NOTICE)
    assert len(answer.hits) == 1
    return found.fate, found.wait_s


def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the reference implementations."""
    key = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed([key], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')

    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_two_secrets_make_two_signatures_and_either_verifies() -> None:
    now_s = SystemClock().now_ms() // 1000
    headers = signed([KEY, b"n" * 32], "msg_1", now_s, b"{}")

    for secret in (SECRET, "whsec_" + "bm5u" * 10 + "bm4="):
        Webhook(secret).verify("{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "eHh4" * 10).verify("{}", headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify('{"a":1}', headers)


def test_the_body_says_what_happened_and_is_the_same_at_every_try() -> None:
    assert document(NOTICE) == document(replace(NOTICE, tries=7, serial=9))
    assert json.loads(document(NOTICE)) == {
        "type": "order.paid",
        "timestamp": "2023-11-14T22:13:20Z",
        "data": {
            "reservation_id": "r",
            "order_id": "o",
            "sale": "drop",
            "version": 4,
            "lines": [{"sku": "sneaker", "qty": 2, "price": {"amount": 12900, "currency": "EUR"}}],
            "total": {"amount": 25800, "currency": "EUR"},
            "receipt": "x",
        },
    }


async def test_a_receiver_with_a_library_of_its_own_takes_it() -> None:
    async with listening(receivers.Receiver()) as receiver, sink(receiver.url) as erp:
        assert await erp.send(NOTICE) == SENT
    assert (receiver.ids, receiver.kinds) == (["msg_1"], ["order.paid"])


@pytest.mark.parametrize("status", [200, 202, 299])
async def test_any_2xx_is_done(status: int) -> None:
    assert await fate(status) == (Fate.SENT, 0)


@pytest.mark.parametrize("status", [304, 400, 404, 429, 500, 503])
async def test_any_other_answer_comes_again(status: int) -> None:
    assert await fate(status) == (Fate.LATER, 0)


async def test_410_is_for_ever() -> None:
    assert await fate(410) == (Fate.GONE, 0)


async def test_a_redirect_is_not_followed() -> None:
    assert await fate(307, Location="http://127.0.0.1:9/") == (Fate.LATER, 0)
    assert await fate(307, Location="/hooks") == (Fate.LATER, 0)


async def test_retry_after_is_respected_within_a_day() -> None:
    named = "Retry-After"
    assert await fate(503, **{named: "120"}) == (Fate.LATER, 120)
    assert await fate(503, **{named: "999999999"}) == (Fate.LATER, 86_400)
    assert await fate(503, **{named: "Fri, 31 Dec 2100 23:59:59 GMT"}) == (Fate.LATER, 86_400)
    assert await fate(503, **{named: "Fri, 31 Dec 1999 23:59:59 GMT"}) == (Fate.LATER, 0)
    assert await fate(503, **{named: "soon"}) == (Fate.LATER, 0)


async def test_who_does_not_answer_in_time_is_asked_again() -> None:
    receiver = receivers.Receiver(gate=asyncio.Event())
    async with listening(receiver), sink(receiver.url, timeout_ms=100) as erp:
        found = await erp.send(NOTICE)
        assert receiver.gate is not None
        receiver.gate.set()
    assert found.fate is Fate.LATER
    assert found.fault.endswith("TimeoutError")


async def test_a_port_nobody_listens_on_is_asked_again(unused_tcp_port: int) -> None:
    async with sink(f"http://127.0.0.1:{unused_tcp_port}/") as erp:
        assert (await erp.send(NOTICE)).fate is Fate.LATER


async def test_a_name_that_leads_inside_is_not_called() -> None:
    async with listening(receivers.Receiver()) as receiver:
        url = receiver.url.replace("127.0.0.1", "localhost")
        async with sink(url, is_allowed=False) as erp:
            assert (await erp.send(NOTICE)).fate is Fate.LATER
        assert receiver.hits == []
        async with sink(url) as erp:
            assert await erp.send(NOTICE) == SENT
