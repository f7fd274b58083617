"""News of the gateway move a payment once, in whatever order they come, and never against what the charge is now."""

import itertools
import json
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import aiohttp
import pytest

from inventory_backend.ledger import holds, settlement
from inventory_backend.ledger.inbox import Heard
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.payments.events import told
from inventory_backend.payments.listener import Listener
from inventory_backend.payments.payments import GatewayUnavailable
from inventory_backend.payments.simulated_cards import Behaviour
from inventory_backend.sales import HoldState, PaymentState
from tests.bookkeeping import books, wanted
from tests.fakes import FakeClock
from tests.inventory_backend.payments.test_saga import Till
from tests.till import gateway

PAID = (PaymentState.CAPTURED, HoldState.PAID)


class Told(Till):
    """A till that hears what its gateway tells."""

    async def hear(self, event: dict[str, Any]) -> Heard:
        body = json.dumps(event)
        word = await Listener(self.ledger, {"simulated": self.gateway}, self.saga).hear(
            "simulated", told(body.encode()), body
        )
        await self.quiet()
        return word

    async def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return what happened at the gateway, oldest first."""
        async with self.session.get(f"{self.url}/v1/events?limit=100") as answer:
            found = (await answer.json())["data"]
        return [one for one in reversed(found) if one["type"].endswith(kind)]

    async def act(self, path: str, **form: str) -> None:
        """Do something in the gateway's own console."""
        async with self.session.post(f"{self.url}/v1/{path}", data=form) as answer:
            assert answer.status == 200, await answer.text()

    async def ref(self, pid: str) -> str:
        return (await self.ledger.read(partial(settlement.attempt, pid=pid))).ref or ""


@pytest.fixture
async def till(ledger: Ledger, clock: FakeClock) -> AsyncIterator[Told]:
    async with gateway(clock, Behaviour(pause_ms=5000, late_ms=2000)) as url, aiohttp.ClientSession() as session:
        found = Told(ledger, clock, url, session)
        yield found
        await found.saga.close()


async def test_news_come_before_the_call_has_returned(till: Told) -> None:
    """The charge was made, its answer is lost, and the webhook is faster than the next try."""
    till.gateway.fail(authorise="after")
    pid = await till.pay()
    await till.step()

    [authorised] = await till.events("amount_capturable_updated")
    assert await till.hear(authorised) is Heard.NEW

    assert await till.end(pid) == PAID
    assert till.gateway.calls == ["authorise", "capture"]


async def test_the_same_news_ten_times_move_once(till: Told) -> None:
    pid = await till.pay("card_3ds")
    await till.step()
    await till.clock.advance(5)
    [authorised] = await till.events("amount_capturable_updated")

    assert [await till.hear(authorised) for _ in range(10)] == [Heard.NEW] + [Heard.KNOWN] * 9
    assert await till.end(pid) == PAID
    assert till.gateway.calls.count("capture") == 1
    await books(till.ledger)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
async def test_the_order_of_news_does_not_matter(till: Told, order: tuple[int, ...]) -> None:
    till.gateway.fail(authorise="after")
    pid = await till.pay("card_3ds")
    await till.step()
    await till.clock.advance(5)
    [asking, authorised] = await till.events()
    await till.act(f"payment_intents/{authorised['data']['object']['id']}/capture")
    news = [asking, authorised, *await till.events("succeeded")]

    for index in order:
        assert await till.hear(news[index]) is Heard.NEW

    assert await till.end(pid) == PAID
    assert await till.charges() == ["succeeded"]
    await books(till.ledger)


async def test_a_cancel_at_the_gateway_gives_the_units_back(till: Told) -> None:
    pid = await till.pay("card_page")
    await till.step()
    await till.act(f"payment_intents/{await till.ref(pid)}/cancel")

    [cancelled] = await till.events("canceled")
    await till.hear(cancelled)

    assert await till.end(pid) == (PaymentState.CANCELLED, HoldState.EXPIRED)
    assert (await books(till.ledger)).allocated["sneaker"] == 0


async def test_a_no_that_became_a_yes_meanwhile_is_a_yes(till: Told) -> None:
    """The shopper's first card was refused and a second one taken, before we heard of either."""
    till.gateway.fail(authorise="after")
    pid = await till.pay("card_declined")
    await till.step()
    [failed] = await till.events("payment_failed")
    await till.act(f"payment_intents/{failed['data']['object']['id']}/confirm", payment_method="card_ok")

    await till.hear(failed)

    assert await till.end(pid) == PAID


async def test_a_no_is_a_no(till: Told) -> None:
    till.gateway.fail(authorise="after")
    pid = await till.pay("card_declined")
    await till.step()

    await till.hear((await till.events("payment_failed"))[0])

    assert await till.end(pid) == (PaymentState.DECLINED, HoldState.HELD)


async def test_money_for_a_payment_that_was_over_goes_back(till: Told) -> None:
    pid = await till.pay("card_declined")
    await till.step()
    await till.act(f"payment_intents/{await till.ref(pid)}/confirm", payment_method="card_ok")

    await till.hear((await till.events("amount_capturable_updated"))[0])

    assert await till.end(pid) == (PaymentState.VOIDED, HoldState.HELD), "the shopper may still pay with another card"
    assert await till.charges() == ["canceled"]


async def test_old_news_of_money_that_is_gone_change_nothing(till: Told) -> None:
    pid = await till.pay("card_3ds")
    await till.step()
    await till.clock.advance(5)
    [authorised] = await till.events("amount_capturable_updated")
    await till.act(f"payment_intents/{await till.ref(pid)}/cancel")
    await till.hear((await till.events("canceled"))[0])
    assert await till.end(pid) == (PaymentState.CANCELLED, HoldState.EXPIRED)

    assert await till.hear(authorised) is Heard.NEW
    assert await till.end(pid) == (PaymentState.CANCELLED, HoldState.EXPIRED)


async def test_late_money_without_units_is_let_go_by_its_news(till: Told) -> None:
    pid = await till.pay("card_late")
    for seconds in (0, 600, 10):
        await till.step(seconds)
    for n in range(10):
        await till.ledger.write_together(holds.take, wanted(f"s{n}"))
    await till.clock.advance(5)

    await till.hear((await till.events("amount_capturable_updated"))[0])
    await till.hear((await till.events("canceled"))[0])

    assert await till.end(pid) == (PaymentState.VOIDED, HoldState.REFUNDED)


async def test_a_refund_in_the_console_of_the_gateway_is_a_refund(till: Told) -> None:
    pid = await till.pay()
    await till.step()
    await till.act("refunds", payment_intent=await till.ref(pid))

    await till.hear((await till.events("charge.refunded"))[0])

    assert await till.end(pid) == (PaymentState.REFUNDED, HoldState.REFUNDED)
    assert (await books(till.ledger)).allocated["sneaker"] == 0


async def test_a_part_of_the_money_is_no_refund_of_the_order(till: Told) -> None:
    pid = await till.pay()
    await till.step()
    await till.act("refunds", payment_intent=await till.ref(pid), amount="100")

    await till.hear((await till.events("charge.refunded"))[0])

    assert await till.end(pid) == PAID


@pytest.mark.parametrize(
    "other", [{"amount": 1}, {"currency": "usd"}, {"id": "pi_other", "metadata": {}}, {"status": "teapot"}]
)
async def test_news_of_another_amount_or_of_another_charge_change_nothing(till: Told, other: dict[str, object]) -> None:
    till.gateway.fail(authorise="after")
    pid = await till.pay()
    await till.step()
    [event] = await till.events("amount_capturable_updated")
    event["data"]["object"] |= other

    assert await till.hear(event) is Heard.UNKNOWN
    assert await till.end(pid) == (PaymentState.INIT, HoldState.PAYING)


async def test_when_the_charge_cannot_be_asked_for_nothing_is_kept_and_it_is_told_again(till: Told) -> None:
    till.gateway.fail(authorise="after")
    pid = await till.pay("card_declined")
    await till.step()
    [failed] = await till.events("payment_failed")
    till.gateway.fail(retrieve="before")

    with pytest.raises(GatewayUnavailable):
        await till.hear(failed)
    assert await till.hear(failed) is Heard.NEW
    assert await till.end(pid) == (PaymentState.DECLINED, HoldState.HELD)
