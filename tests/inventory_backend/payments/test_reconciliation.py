"""Whatever the ledger has lost or missed, the gateway's own books bring it to one order, or the money back."""

from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial

import aiohttp
import pytest
from sqlalchemy import Connection, delete, update

from inventory_backend.differences import Kind, Repair
from inventory_backend.ledger import settlement
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import payment
from inventory_backend.payments.payments import ChargeStatus, GatewayUnavailable, Listed
from inventory_backend.payments.reconciliation import Account, Found, Reconciliation, judge
from inventory_backend.payments.saga import Saga, SagaSettings
from inventory_backend.payments.simulated_cards import Behaviour
from inventory_backend.payments.stripe_shapes import Marks
from inventory_backend.sales import HoldState, Money, PaymentState
from tests.bookkeeping import NOW_MS, books
from tests.fakes import FakeClock
from tests.flaky_gateway import FlakyGateway, adapter
from tests.inventory_backend.payments.test_listener import Told
from tests.till import gateway

SHOP = "shop-1"


class Compared(Told):
    """A till whose ledger is held against its gateway's books."""

    def restarted(self) -> Saga:
        psp = adapter(self.ledger, self.session, self.url, marks=Marks(SHOP))
        self.gateway = FlakyGateway(psp, self.session, self.url)
        self.saga = Saga(self.ledger, {"simulated": self.gateway}, SagaSettings(poll_ms=1000))
        self.reconciliation = Reconciliation(
            self.ledger, Account("simulated", self.gateway, SHOP), lambda pid: self.saga.start(pid)
        )
        return self.saga

    async def found(self) -> list[Found]:
        return [one async for one in self.reconciliation.differences(NOW_MS - 1000)]

    async def told(self) -> list[tuple[Kind, Repair]]:
        return [(one.difference.kind, one.difference.repair) for one in await self.found()]

    async def reconciled(self) -> None:
        for one in await self.found():
            await self.reconciliation.repair(one)
        await self.quiet()


@pytest.fixture
async def till(ledger: Ledger, clock: FakeClock) -> AsyncIterator[Compared]:
    async with gateway(clock, Behaviour(pause_ms=5000, late_ms=2000)) as url, aiohttp.ClientSession() as session:
        found = Compared(ledger, clock, url, session)
        yield found
        await found.saga.close()


async def test_books_that_agree_are_left_alone(till: Compared) -> None:
    for shopper, card in (("alice", "card_ok"), ("bob", "card_declined"), ("eve", "card_page")):
        await till.pay(card, shopper)
    await till.step()
    before = await books(till.ledger)

    assert await till.told() == []
    await till.reconciliation.step()
    assert await books(till.ledger) == before


def forget(connection: Connection, pid: str) -> None:
    """Lose a payment, as a ledger does that was restored from yesterday."""
    connection.execute(delete(payment).where(payment.c.pid == pid))


@pytest.mark.parametrize(
    ("card", "fails", "repair", "end"),
    [
        ("card_ok", None, Repair.REFUND, "succeeded"),
        ("card_ok", "capture", Repair.VOID, "canceled"),
        ("card_page", None, Repair.VOID, "canceled"),
    ],
)
async def test_a_charge_that_the_ledger_has_lost_goes_back(
    till: Compared, card: str, fails: str | None, repair: Repair, end: str
) -> None:
    till.gateway.fail(**({fails: "before"} if fails else {}))
    pid = await till.pay(card)
    await till.step()
    await till.ledger.write(lambda c: forget(c, pid))

    assert await till.told() == [(Kind.CHARGE_WITHOUT_PAYMENT, repair)]
    assert await till.charges() != ["canceled"], "looking changes nothing"
    till.gateway.fail(refund="after", cancel="after")
    with pytest.raises(GatewayUnavailable):
        await till.reconciled()
    await till.reconciled()

    assert await till.charges() == [end]
    assert len(await till.gateway.refunds()) == (repair is Repair.REFUND)
    assert await till.told() == []


async def test_charges_of_another_shop_on_the_account_are_none_of_our_business(till: Compared) -> None:
    pid = await till.pay()
    await till.step()
    await till.ledger.write(lambda c: forget(c, pid))
    other = Reconciliation(till.ledger, Account("simulated", till.gateway, "shop-2"), till.saga.start)

    assert [one async for one in other.differences(0)] == []


async def test_a_payment_that_nobody_carries_goes_on(till: Compared) -> None:
    """The charge was taken, the ledger does not know, and the saga that should ask has lost sight of it."""
    till.gateway.fail(authorise="after")
    pid = await till.pay()
    await till.step()
    [charge] = await till.gateway.charges()
    await till.act(f"payment_intents/{charge['id']}/capture")
    await till.clock.advance(62)

    assert await till.told() == [(Kind.BEHIND, Repair.GO_ON)]
    await till.reconciled()

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.told() == []
    await books(till.ledger)


async def test_money_for_a_payment_that_was_over_goes_back(till: Compared) -> None:
    pid = await till.pay("card_declined")
    await till.step()
    ref = await till.ref(pid)
    await till.act(f"payment_intents/{ref}/confirm", payment_method="card_ok")
    await till.act(f"payment_intents/{ref}/capture")

    assert await till.told() == [(Kind.NOT_EXPECTED, Repair.REFUND)]
    await till.reconciled()

    assert await till.end(pid) == (PaymentState.REFUNDED, HoldState.HELD)
    assert [one["amount"] for one in await till.gateway.refunds()] == [12900]
    assert await till.told() == []


async def test_a_refund_in_the_console_of_the_gateway_that_nobody_told_of_is_found(till: Compared) -> None:
    pid = await till.pay()
    await till.step()
    await till.act("refunds", payment_intent=await till.ref(pid))

    assert await till.told() == [(Kind.REFUNDED_THERE, Repair.REFUND)]
    await till.reconciled()

    assert await till.end(pid) == (PaymentState.REFUNDED, HoldState.REFUNDED)
    assert len(await till.gateway.refunds()) == 1
    assert await till.told() == []


async def test_an_order_whose_charge_is_gone_is_for_people_to_look_into(till: Compared) -> None:
    pid = await till.pay()
    await till.step()
    ref = await till.ref(pid)
    await till.ledger.write(
        lambda c: c.execute(update(payment).where(payment.c.pid == pid).values(provider_ref="pi_gone"))
    )

    assert (Kind.PAYMENT_WITHOUT_CHARGE, Repair.LOOK) in await till.told()
    await till.reconciled()
    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert ref


async def test_what_moved_while_the_list_was_read_does_not_differ(till: Compared) -> None:
    pid = await till.pay("card_3ds")
    await till.step()
    listed, gateway_ = till.gateway.listed, till.gateway

    async def slow(since_ms: int) -> AsyncIterator[Listed]:
        async for row in listed(since_ms):
            await till.step(5)  # it is captured and written down before the page is looked at
            yield row

    gateway_.listed = slow  # type: ignore[method-assign]  # the gateway is ours to steer: it stands at the edge

    assert await till.told() == []
    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)


async def test_a_round_that_could_not_be_ended_begins_again_where_it_began(till: Compared) -> None:
    pid = await till.pay()
    await till.step()
    await till.act("refunds", payment_intent=await till.ref(pid))
    await till.session.post(f"{till.url}/control/faults", json={"on": "list", "fate": "failed"})

    with pytest.raises(GatewayUnavailable):
        await till.reconciliation.step()
    await till.reconciliation.step()
    await till.quiet()

    assert await till.end(pid) == (PaymentState.REFUNDED, HoldState.REFUNDED)


CHARGE = Listed("pi_1", ChargeStatus.CAPTURED, Money(12900, "EUR"), 0, "p1", SHOP)
OVER = (PaymentState.DECLINED, PaymentState.CANCELLED, PaymentState.VOIDED)
NO_MONEY = (ChargeStatus.CANCELLED, ChargeStatus.DECLINED, ChargeStatus.UNCONFIRMED)
MAYBE = (ChargeStatus.AUTHORISED, ChargeStatus.PROCESSING, ChargeStatus.ACTION_REQUIRED)


async def test_every_pair_of_a_settled_payment_and_a_charge_is_judged(till: Compared) -> None:
    pid = await till.pay()
    await till.step()
    settled = await till.ledger.read(partial(settlement.attempt, pid=pid))
    judged = {
        (state, status): judge(replace(CHARGE, status=status), replace(settled, state=state), NOW_MS)
        for state in (*OVER, PaymentState.CAPTURED, PaymentState.REFUNDED)
        for status in ChargeStatus
    }

    for state in OVER:
        assert all(judged[state, status] is None for status in NO_MONEY)
        assert all(judged[state, status] == (Kind.NOT_EXPECTED, Repair.VOID) for status in MAYBE)
        assert judged[state, ChargeStatus.CAPTURED] == (Kind.NOT_EXPECTED, Repair.REFUND)
    for status in (*NO_MONEY, *MAYBE):
        assert judged[PaymentState.CAPTURED, status] == (Kind.MISSING, Repair.LOOK)
    assert judged[PaymentState.CAPTURED, ChargeStatus.CAPTURED] is None
    assert judged[PaymentState.REFUNDED, ChargeStatus.CAPTURED] == (Kind.NOT_REFUNDED, Repair.LOOK)
    back = replace(CHARGE, refunded=12900)
    assert judge(back, replace(settled, state=PaymentState.REFUNDED), NOW_MS) is None
    assert judge(replace(CHARGE, refunded=100), settled, NOW_MS) is None, "a part that went back is no refund"
    assert judge(replace(CHARGE, cost=Money(1, "EUR")), settled, NOW_MS) == (Kind.AMOUNT, Repair.LOOK)
