"""Each payment is carried to its end, whatever the gateway does and wherever the process dies."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import aiohttp
import pytest
from sqlalchemy import update
from sqlalchemy.pool import QueuePool

from inventory_backend.ledger import holds, settlement
from inventory_backend.ledger.idempotency import Kept
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.orders import Placing, place
from inventory_backend.ledger.schema import payment
from inventory_backend.payments.pace import Paced
from inventory_backend.payments.payments import Charge, Gateway, Intent
from inventory_backend.payments.saga import Saga, SagaSettings
from inventory_backend.payments.simulated_cards import Behaviour
from inventory_backend.sales import HoldState, PaymentState
from tests.bookkeeping import NOW_MS, books, wanted
from tests.fakes import FakeClock
from tests.flaky_gateway import FlakyGateway, adapter
from tests.mortal import Cut, Life, MortalLedger
from tests.till import gateway

End = tuple[PaymentState, HoldState]


class Till:
    """A saga on a real gateway, both on a clock that the test turns."""

    def __init__(self, ledger: Ledger, clock: FakeClock, url: str, session: aiohttp.ClientSession) -> None:
        self.ledger, self.clock, self.url, self.session = ledger, clock, url, session
        self.gateway = FlakyGateway(adapter(ledger, session, url), session, url)
        self.saga = self.restarted()

    def restarted(self) -> Saga:
        """Return a saga that knows nothing of what was under way."""
        self.saga = Saga(self.ledger, {"simulated": self.gateway}, SagaSettings(poll_ms=1000))
        return self.saga

    async def pay(self, card: str = "card_ok", shopper: str = "alice", *, qty: int = 1) -> str:
        one = wanted(shopper, ("sneaker", qty))
        await self.ledger.write_together(holds.take, one)
        kept = Kept(f"commit {shopper}", "c", "f", 202, "{}")
        now_ms = self.clock.now_ms()
        asked = Placing(one.rid, shopper, "simulated", card, now_ms, window_ms=60_000, grace_ms=10_000, kept=kept)
        return (await self.ledger.write(lambda connection: place(connection, asked)))[1]

    async def step(self, seconds: float = 0) -> None:
        """Let time pass, then carry on whatever is due, until nothing moves."""
        await self.clock.advance(seconds)
        await self.saga.resume()
        await self.quiet()

    async def quiet(self) -> None:
        async with asyncio.timeout(60):
            while self.saga._in_hand:
                await asyncio.sleep(0.005)

    async def end(self, pid: str) -> End:
        found = await self.ledger.read(partial(settlement.attempt, pid=pid))
        return found.state, found.hold

    async def charges(self) -> list[str]:
        """Return how the charges stand at the gateway."""
        async with self.session.get(f"{self.url}/v1/payment_intents?limit=100") as answer:
            return [one["status"] for one in (await answer.json())["data"]]


@pytest.fixture
async def till(ledger: Ledger, clock: FakeClock) -> AsyncIterator[Till]:
    async with gateway(clock, Behaviour(pause_ms=5000, late_ms=2000)) as url, aiohttp.ClientSession() as session:
        found = Till(ledger, clock, url, session)
        yield found
        await found.saga.close()


async def test_a_good_card_is_charged_once(till: Till) -> None:
    pid = await till.pay()
    till.saga.start(pid)
    till.saga.start(pid)
    await till.quiet()

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert till.gateway.calls == ["authorise", "capture"]
    assert await till.charges() == ["succeeded"]
    await books(till.ledger)


async def test_a_declined_card_leaves_the_hold(till: Till) -> None:
    pid = await till.pay("card_declined")
    await till.step()

    assert await till.end(pid) == (PaymentState.DECLINED, HoldState.HELD)
    await books(till.ledger)


async def test_3ds_is_polled_until_the_shopper_agreed(till: Till) -> None:
    pid = await till.pay("card_3ds")
    await till.step()
    assert await till.end(pid) == (PaymentState.INIT, HoldState.PAYING)

    for _ in range(6):
        await till.step(1)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert till.gateway.calls.count("authorise") == 1


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["authorise", "capture"])
async def test_a_lost_request_or_answer_is_asked_again_and_charged_once(till: Till, call: str, when: str) -> None:
    till.gateway.fail(**{call: when})
    pid = await till.pay()
    await till.step()
    assert (await till.end(pid))[0] is not PaymentState.CAPTURED

    await till.step(2)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.charges() == ["succeeded"]
    await books(till.ledger)


async def test_the_card_whose_first_call_fails_is_charged_once(till: Till) -> None:
    pid = await till.pay("card_error")
    await till.step()
    await till.step(2)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.charges() == ["succeeded"]


async def test_a_gateway_that_is_down_is_asked_less_and_less_often(till: Till) -> None:
    nobody = adapter(till.ledger, till.session, "http://127.0.0.1:9", timeout_ms=100)
    real, till.gateway.real = till.gateway.real, nobody
    pid = await till.pay()
    for _ in range(60):
        await till.step(1)
    assert 4 <= len(till.gateway.calls) <= 8
    assert await till.end(pid) == (PaymentState.INIT, HoldState.PAYING), "unknown stays allocated (W7)"

    till.gateway.real = real
    await till.step(60)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)


@pytest.mark.parametrize("step", ["authorise", "capture"])
async def test_a_process_that_died_is_replaced_and_the_payment_goes_on(till: Till, step: str) -> None:
    """The old process did the call and never wrote down the answer."""
    till.gateway.fail(**{step: "after"})
    pid = await till.pay()
    await till.step()

    till.restarted()
    await till.step(2)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.charges() == ["succeeded"]


async def test_what_the_bank_said_while_no_process_ran_is_asked_for_before_it_is_called_off(till: Till) -> None:
    till.gateway.fail(authorise="after")
    pid = await till.pay("card_3ds")
    await till.step()

    till.restarted()  # under its key, the gateway repeats what it said then: the shopper must still agree
    await till.step(605)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)


async def fault(till: Till, **what: object) -> None:
    async with till.session.post(f"{till.url}/control/faults", json=what) as answer:
        assert answer.status == 204


async def test_a_failure_that_the_gateway_keeps_under_the_key_is_looked_up(till: Till) -> None:
    """The charge was made, and each repetition gets the failure that was kept: only a search tells."""
    till.gateway.fail(authorise="after")
    pid = await till.pay()
    await till.step()
    await till.ledger.write(lambda c: c.execute(update(payment).values(provider_key="pay:other")))
    await fault(till, on="create", fate="failed-kept", times=100)

    for _ in range(8):
        await till.step(4)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.charges() == ["succeeded"]


@pytest.mark.parametrize(("when", "end"), [("before", "canceled"), ("after", "paid")])
async def test_a_key_that_the_gateway_may_have_forgotten_charges_nobody_twice(till: Till, when: str, end: str) -> None:
    till.gateway.fail(authorise=when)
    pid = await till.pay()
    await till.step()

    await till.step(24 * 3600 + 1)

    paid, none = (PaymentState.CAPTURED, HoldState.PAID), (PaymentState.CANCELLED, HoldState.EXPIRED)
    assert await till.end(pid) == (paid if end == "paid" else none)
    assert await till.charges() == (["succeeded"] if end == "paid" else [])
    assert till.gateway.calls.count("authorise") == 1


async def test_what_the_gateway_refuses_for_good_is_asked_again_seldom_and_told(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await late(till)
    for n in range(10):
        await till.ledger.write_together(holds.take, wanted(f"s{n}"))
    await till.step(5)
    ref = (await till.ledger.read(partial(settlement.attempt, pid=pid))).ref
    await till.ledger.write(
        lambda c: c.execute(update(payment).where(payment.c.pid == pid).values(state="refund_due", next_ms=0))
    )
    await till.session.post(f"{till.url}/v1/payment_intents/{ref}/cancel")  # nothing was taken: nothing to refund

    for _ in range(25):
        await till.step(30)

    assert till.gateway.calls.count("refund") == 2
    assert "gateway refuses" in caplog.text


async def test_a_payment_of_a_provider_that_was_changed_waits_for_it(
    till: Till, caplog: pytest.LogCaptureFixture
) -> None:
    pid = await till.pay()
    till.saga = Saga(till.ledger, {"stripe": till.gateway}, SagaSettings(poll_ms=1000))
    for _ in range(30):
        await till.step(1)
    assert caplog.text.count("simulated is not configured any more") == 1
    assert await till.end(pid) == (PaymentState.INIT, HoldState.PAYING)

    till.restarted()
    await till.step(600)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)


async def test_a_pause_is_shared_by_all_payments(till: Till, clock: FakeClock) -> None:
    paced = Paced(till.gateway, clock, most=64)
    till.saga = Saga(till.ledger, {"simulated": paced}, SagaSettings(poll_ms=1000))
    await fault(till, on="create", fate="too-many-requests", times=3, retry_after_s=20)
    pids = [await till.pay(shopper=f"s{n}") for n in range(3)]
    await till.step()
    await till.session.delete(f"{till.url}/control/faults")
    asked = len(till.gateway.calls)
    pids += [await till.pay(shopper=f"s{n}") for n in range(3, 10)]

    for _ in range(19):
        await till.step(1)
    assert len(till.gateway.calls) == asked <= 3

    for _ in range(15):
        await till.step(1)
    assert {await till.end(pid) for pid in pids} == {(PaymentState.CAPTURED, HoldState.PAID)}
    assert await till.charges() == ["succeeded"] * 10


async def test_a_payment_whose_process_died_before_the_call_goes_on(till: Till) -> None:
    pid = await till.pay()

    till.restarted()
    await till.step()

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)


async def test_a_payment_begun_at_the_last_moment_keeps_its_units_until_it_is_over(till: Till) -> None:
    """The bank asks the shopper for longer than the hold was promised."""
    one = wanted("alice", ("sneaker", 2))
    await till.ledger.write_together(holds.take, one)
    await till.clock.advance((one.expires_ms - NOW_MS) / 1000 - 0.001)
    pid = await till.pay("card_3ds", qty=2)
    await till.step()

    await till.step(3)  # past the end of the hold, and before the bank has said yes
    gone = await till.ledger.write(lambda connection: holds.expire(connection, till.ledger.now_ms()))
    assert (gone, await till.end(pid)) == ([], (PaymentState.INIT, HoldState.PAYING))
    assert (await books(till.ledger)).allocated["sneaker"] == 2
    await till.step(3)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)


async def test_a_payment_that_takes_too_long_is_called_off_before_the_units_go_back(till: Till) -> None:
    pid = await till.pay("card_3ds")
    await till.step()
    till.gateway.fail(cancel="before")
    # the shopper never agrees: this gateway forgets to let the pause end
    till.gateway.real = Stuck(till.gateway.real)  # type: ignore[assignment]  # a gateway whose retrieve never moves on

    await till.step(600)
    assert await till.end(pid) == (PaymentState.INIT, HoldState.PAYING), "not before the gateway agreed"
    await till.step(5)

    assert await till.end(pid) == (PaymentState.CANCELLED, HoldState.EXPIRED)
    assert await till.charges() == ["canceled"]
    assert (await books(till.ledger)).allocated["sneaker"] == 0


class Stuck:
    """A gateway on which a charge waits for its shopper for ever."""

    def __init__(self, real: Gateway) -> None:
        self.real = real

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    async def retrieve(self, ref: str) -> Charge:
        from inventory_backend.payments.payments import ChargeStatus

        return Charge(ref, ChargeStatus.ACTION_REQUIRED)


async def late(till: Till) -> str:
    """Return a payment that nobody can call off, after its hold was given back."""
    pid = await till.pay("card_late")
    await till.step()
    await till.step(600)
    assert await till.end(pid) == (PaymentState.INIT, HoldState.PAYING), "the deadline, but not the hard one"
    await till.step(10)
    assert await till.end(pid) == (PaymentState.INIT, HoldState.EXPIRED)
    assert (await books(till.ledger)).allocated["sneaker"] == 0
    return pid


async def test_late_money_buys_when_units_are_free(till: Till) -> None:
    pid = await late(till)

    for _ in range(3):
        await till.step(5)

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert (await books(till.ledger)).allocated["sneaker"] == 1


async def test_late_money_is_let_go_when_others_have_the_units(till: Till) -> None:
    pid = await late(till)
    for n in range(10):
        await till.ledger.write_together(holds.take, wanted(f"s{n}"))
    till.gateway.fail(cancel="after")

    for _ in range(4):
        await till.step(5)

    assert await till.end(pid) == (PaymentState.VOIDED, HoldState.REFUNDED)
    assert await till.charges() == ["canceled"]
    assert (await books(till.ledger)).allocated["sneaker"] == 10


async def test_money_that_was_taken_meanwhile_is_sent_back_once(till: Till) -> None:
    pid = await late(till)
    for n in range(10):
        await till.ledger.write_together(holds.take, wanted(f"s{n}"))
    await till.clock.advance(5)
    ref = (await till.ledger.read(partial(settlement.attempt, pid=pid))).ref
    async with till.session.post(f"{till.url}/v1/payment_intents/{ref}/capture") as answer:
        assert answer.status == 200  # somebody at the gateway's own console
    till.gateway.fail(refund="after")

    for _ in range(3):
        await till.step(5)

    assert await till.end(pid) == (PaymentState.REFUNDED, HoldState.REFUNDED)
    async with till.session.get(f"{till.url}/v1/refunds") as answer:
        assert [one["amount"] for one in (await answer.json())["data"]] == [12900]


async def test_many_payments_are_carried_at_once_but_not_too_many(till: Till) -> None:
    till.saga = Saga(till.ledger, {"simulated": till.gateway}, SagaSettings(concurrency=3, poll_ms=1000))
    pids = [await till.pay(shopper=f"s{n}") for n in range(10)]

    for pid in pids:
        till.saga.start(pid)
    assert len(till.saga._in_hand) == 3
    for _ in range(5):
        await till.step()

    assert {await till.end(pid) for pid in pids} == {(PaymentState.CAPTURED, HoldState.PAID)}
    assert (await books(till.ledger)).allocated["sneaker"] == 10
    assert till.clock.now_ms() == NOW_MS


async def test_no_connection_of_the_ledger_is_held_while_the_gateway_thinks(till: Till) -> None:
    pools = [database.engine.pool for database in (till.ledger._writer, till.ledger._reader)]
    held: list[int] = []
    authorise = till.gateway.authorise

    async def slow(intent: Intent, *, key: str) -> Charge:
        for _ in range(50):
            await asyncio.sleep(0)
        held.extend(pool.checkedout() for pool in pools if isinstance(pool, QueuePool))
        return await authorise(intent, key=key)

    till.gateway.authorise = slow  # type: ignore[method-assign]  # the gateway is ours to steer: it stands at the edge
    pid = await till.pay()
    await till.step()

    assert held == [0, 0]
    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)


async def test_a_till_whose_ledger_was_cut_off_goes_on_with_its_own_claim(till: Till) -> None:
    life = Life()
    till.saga = Saga(MortalLedger(till.ledger, life), {"simulated": till.gateway}, SagaSettings(poll_ms=1000))
    pid = await till.pay()
    life.will_be(Cut(3, "before", is_deadly=False))
    await till.step()
    assert (life.calls[-1], await till.end(pid)) == ("authorised", (PaymentState.INIT, HoldState.PAYING))

    await till.step()

    assert await till.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.charges() == ["succeeded"]


LEASE_S = SagaSettings().claim_ms / 1000


@pytest.fixture
async def other(till: Till, clock: FakeClock, ledger_url: str) -> AsyncIterator[Till]:
    """Give another till at the same gateway, with connections of its own to the same ledger."""
    async with opened(LedgerSettings(ledger_url, group_delay_ms=0), clock) as ledger:
        found = Till(ledger, clock, till.url, till.session)
        yield found
        await found.saga.close()


async def asked(till: Till) -> dict[str, int]:
    """Return how often the gateway was asked for what."""
    async with till.session.get(f"{till.url}/control/faults") as answer:
        calls = (await answer.json())["calls"]
    return {kind: calls[kind] for kind in ("create", "retrieve", "capture", "refund", "search") if kind in calls}


async def thinks(till: Till, about: int) -> None:
    """Wait until the gateway thinks about so many payments."""
    async with asyncio.timeout(10):
        while (await asked(till)).get("create", 0) < about:
            await asyncio.sleep(0.005)


async def test_of_two_tills_one_asks_while_the_gateway_is_slow(till: Till, other: Till) -> None:
    pids = [await till.pay("card_slow", shopper=f"s{n}") for n in range(5)]
    till.saga.start(pids[0])
    await asyncio.gather(till.saga.resume(), other.saga.resume())
    await thinks(till, about=5)

    for _ in range(3):
        await asyncio.gather(till.saga.resume(), other.saga.resume())
    other.saga.start(pids[0])  # as a webhook does that reached the other till
    till.saga.start(pids[1])
    await till.step(3)
    await other.quiet()

    assert await asked(till) == {"create": 5, "capture": 5}
    assert {await till.end(pid) for pid in pids} == {(PaymentState.CAPTURED, HoldState.PAID)}
    await books(till.ledger)


async def test_many_payments_are_shared_out_among_tills_and_each_is_asked_for_once(till: Till, other: Till) -> None:
    for each in (till, other):
        each.saga = Saga(each.ledger, {"simulated": each.gateway}, SagaSettings(concurrency=3, poll_ms=1000))
    pids = [await till.pay("card_slow", shopper=f"s{n}") for n in range(10)]

    for about in (6, 10):
        await asyncio.gather(till.saga.resume(), other.saga.resume())
        assert max(len(till.saga._in_hand), len(other.saga._in_hand)) <= 3
        await thinks(till, about)
        await till.clock.advance(3)
        await asyncio.gather(till.quiet(), other.quiet())

    assert {await till.end(pid) for pid in pids} == {(PaymentState.CAPTURED, HoldState.PAID)}
    assert await asked(till) == {"create": 10, "capture": 10}


async def take_over(till: Till, seconds: float = 0) -> None:
    """Let time pass, then carry on what another till left while it was asked for, to its end."""
    await till.clock.advance(seconds)
    await till.saga.resume()
    await thinks(till, about=2)
    await till.step(3)


async def die(till: Till) -> None:
    """End the process of a till between two bytes: nothing is given back."""
    for task in tuple(till.saga._errands._tasks):
        task.cancel()
    await asyncio.sleep(0)


async def test_what_a_till_claimed_that_died_is_taken_over_and_charged_once(till: Till, other: Till) -> None:
    pid = await till.pay("card_slow")
    await till.saga.resume()
    await thinks(till, about=1)
    await die(till)

    await other.step(LEASE_S - 0.001)
    assert await asked(till) == {"create": 1}, "it may still live"
    await take_over(other, 0.001)

    assert await other.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.charges() == ["succeeded"]
    assert other.gateway.calls == ["authorise", "capture"]
    await books(other.ledger)


async def test_a_till_that_was_taken_over_stops_where_it_is(till: Till, other: Till) -> None:
    """It is slow, not dead: the other has the payment by the time it goes on."""
    pid = await till.pay("card_3ds")
    asking, going_on = asyncio.Event(), asyncio.Event()
    authorise = till.gateway.authorise

    async def slow(intent: Intent, *, key: str) -> Charge:
        asking.set()
        await going_on.wait()
        return await authorise(intent, key=key)

    till.gateway.authorise = slow  # type: ignore[method-assign]  # the gateway is ours to steer: it stands at the edge
    await till.saga.resume()
    await asking.wait()
    await other.step(LEASE_S)
    assert other.gateway.calls == ["authorise"]

    before = await other.ledger.read(partial(settlement.attempt, pid=pid))
    going_on.set()
    await till.quiet()

    assert await other.ledger.read(partial(settlement.attempt, pid=pid)) == before, "nor does it disturb the other"
    for _ in range(6):
        await other.step(1)
    assert await other.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.charges() == ["succeeded"]


async def test_a_till_that_is_closed_leaves_its_payments_to_the_others_at_once(
    till: Till, other: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inventory_backend.payments.saga._CLOSE_LIMIT_S", 0)
    pid = await till.pay("card_slow")
    await till.saga.resume()
    await thinks(till, about=1)

    await till.saga.close()
    await take_over(other)

    assert await other.end(pid) == (PaymentState.CAPTURED, HoldState.PAID)
    assert await till.charges() == ["succeeded"]
