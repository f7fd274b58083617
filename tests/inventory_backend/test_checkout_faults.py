"""Random sales with random faults on the real parts: the books balance after every step (I1-I5), whatever happens.

Real ledger, real Valkey, the real saga on the simulated gateway over HTTP; the faults are those of the failure table:
a process that dies after Redis and before the ledger, lost requests and lost answers, Redis flushed, rolled back,
corrupted, restarted; deliveries doubled; a till killed at any point.
"""

import asyncio
from collections import Counter as Counts
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from inventory_backend.catalogue import Catalogue
from inventory_backend.checkout import Checkout, Paying, Terms
from inventory_backend.ledger import holds, orders, settlement
from inventory_backend.ledger.holds import Taken
from inventory_backend.ledger.idempotency import asked
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.schema import outbox
from inventory_backend.outbox import Outbox
from inventory_backend.payments.saga import Saga, SagaSettings
from inventory_backend.payments.simulated_cards import Behaviour, Card
from inventory_backend.payments.simulated_gateway import SimulatedGateway
from inventory_backend.sales import HoldState
from inventory_backend.stock.counter import Counter
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.reconciler import Reconciler
from inventory_backend.stock.stock import Stock
from tests.bookkeeping import books
from tests.fakes import FakeClock
from tests.flaky_gateway import FlakyGateway
from tests.till import gateway, sale
from waitroom.kernel.errors import StoreUnavailable, WaitroomError
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Pass

TOTAL, LIMIT = 3, 2
SALE = sale(TOTAL, LIMIT, hold_ms=60_000)
SHOPPERS = st.sampled_from(["alice", "bob", "eve"])
CARDS = st.sampled_from([Card.OK, Card.OK, Card.DECLINED, Card.THREE_DS, Card.ERROR, Card.LATE])
FAULTS = st.sampled_from([None, None, None, "before", "after"])


class Till:
    """One till, with everything that must survive it."""

    def __init__(self, ledger: Ledger, scripts: ScriptRunner, psp: FlakyGateway, clock: FakeClock) -> None:
        self.ledger, self.scripts, self.psp, self.clock = ledger, scripts, psp, clock
        self.stock = Stock(scripts)
        self.catalogue = Catalogue(ledger, [SALE])
        self.promised: dict[str, tuple[str, int]] = {}
        self.orders: dict[str, str] = {}
        self.serial = 0
        self.start()

    def start(self) -> None:
        """Begin anew, knowing nothing but what the ledger and Redis have."""
        self.rebuild = Rebuild(self.ledger, self.stock, [SALE])
        self.counter = Counter(self.stock, self.rebuild)
        self.saga = Saga(self.ledger, {"simulated": self.psp}, SagaSettings(poll_ms=1000))
        self.outbox = Outbox(self.ledger, self.stock, self.rebuild)
        self.reconciler = Reconciler(self.ledger, self.stock, self.rebuild, [SALE])
        terms = Terms(window_ms=20_000, grace_ms=5_000, providers=frozenset({"simulated"}))
        self.checkout = Checkout(self.ledger, self.counter, self.catalogue, self.saga, terms)

    def shopper(self, name: str) -> Pass:
        return Pass("drop", name, 0, 2**60)

    async def reserve(self, name: str, qty: int, *, dies: bool) -> None:
        self.serial += 1
        ask = asked("reserve", name, f"k{self.serial}", {"qty": qty})
        if dies:  # after Redis, before the ledger
            lines = SALE.priced([("sneaker", qty)])
            await self.counter.hold(SALE, lines, f"dead-{self.serial}", name)
            return
        answer = await self.checkout.reserve(self.shopper(name), "drop", [("sneaker", qty)], ask)
        assert answer.status == 201
        rid = answer.body.split('"reservation_id":"')[1][:36]
        self.promised[rid] = (name, qty)

    async def commit(self, rid: str, card: Card) -> None:
        self.serial += 1
        name, _ = self.promised[rid]
        ask = asked("commit", name, f"k{self.serial}", {"rid": rid})
        await self.checkout.commit(self.shopper(name), rid, Paying("simulated", card), ask)

    async def quiet(self) -> None:
        """Wait until no payment is between two steps."""
        async with asyncio.timeout(20):
            while self.saga._in_hand:
                await asyncio.sleep(0.001)

    async def work(self) -> None:
        """Let every job take a step."""
        for job in (self.rebuild.step, self.checkout.expire, self.saga.resume):
            await job()
        await self.quiet()
        await self.outbox.deliver()
        await self.reconciler.step()


@asynccontextmanager
async def open_till(redis_url: str) -> AsyncIterator[Till]:
    clock = FakeClock()
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        ledger_url = f"sqlite:///{Path(folder) / 'ledger.db'}"
        ledger = await stack.enter_async_context(opened(LedgerSettings(ledger_url, group_delay_ms=0), clock))
        scripts = await stack.enter_async_context(connected(RedisSettings(redis_url, timeout_ms=5000)))
        await scripts.client.flushdb()
        url = await stack.enter_async_context(gateway(clock, Behaviour(pause_ms=3000, late_ms=2000)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        till = Till(ledger, scripts, FlakyGateway(SimulatedGateway(session, url, timeout_ms=5000)), clock)
        await till.catalogue.seed()
        await till.rebuild.step()
        yield till
        await till.saga.close()
        await till.counter.close()


class Sales(RuleBasedStateMachine):
    """Shoppers and faults, in any order."""

    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.snapshot: dict[str, bytes] = {}

    def do(self, work: Coroutine[Any, Any, object]) -> None:
        """Run `work`; a refusal is a fine answer, a fault of ours is not."""
        fault: WaitroomError | None = None
        try:
            self.runner.run(work)
        except WaitroomError as refused:
            fault = refused
        assert fault is None or fault.status in {404, 409, 410, 422, 503}, fault

    @initialize()
    def open(self) -> None:
        self.till = self.runner.run(self.stack.enter_async_context(open_till(self.redis_url)))

    @rule(name=SHOPPERS, qty=st.integers(1, 2), dies=st.sampled_from([False, False, False, True]))
    def reserve(self, name: str, qty: int, dies: bool) -> None:
        self.do(self.till.reserve(name, qty, dies=dies))

    @rule(data=st.data(), card=CARDS, authorise=FAULTS, capture=FAULTS)
    def pay(self, data: st.DataObject, card: Card, authorise: str | None, capture: str | None) -> None:
        if self.till.promised:
            rid = data.draw(st.sampled_from(sorted(self.till.promised)))
            self.till.psp.fail(authorise=authorise, capture=capture)
            self.do(self.till.commit(rid, card))

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.till.promised:
            rid = data.draw(st.sampled_from(sorted(self.till.promised)))
            self.do(self.till.checkout.cancel(self.till.shopper(self.till.promised[rid][0]), rid))

    @rule(seconds=st.sampled_from([0, 1, 4, 21, 70]), cancel=FAULTS, refund=FAULTS)
    def time_passes(self, seconds: int, cancel: str | None, refund: str | None) -> None:
        self.till.psp.fail(cancel=cancel, refund=refund)
        self.runner.run(self.till.clock.advance(seconds))
        self.do(self.till.work())

    @rule(name=SHOPPERS, qty=st.integers(1, 2), others=st.booleans())
    def somebody_pays_when_the_hold_is_over(self, name: str, qty: int, others: bool) -> None:
        self.do(self.pay_late(name, qty))
        for other in ("carol", "dave") if others else ():  # they take what came back, before the money does
            self.do(self.till.reserve(other, 2, dies=False))
        self.runner.run(self.till.clock.advance(4))
        self.do(self.till.work())

    async def pay_late(self, name: str, qty: int) -> None:
        await self.till.reserve(name, qty, dies=False)
        self.till.psp.fail()
        await self.till.commit(next(reversed(self.till.promised)), Card.LATE)
        await self.till.quiet()
        await self.till.clock.advance(66)  # past the hard deadline; the bank says yes a second later
        await self.till.work()

    @rule()
    def redis_is_flushed(self) -> None:
        self.do(self.flush())

    async def flush(self) -> None:
        await self.till.scripts.client.flushdb()

    @rule(by=st.integers(-2, 5))
    def redis_is_corrupted(self, by: int) -> None:
        self.do(self.corrupt(by))

    async def corrupt(self, by: int) -> None:
        client = self.till.scripts.client
        if await client.hexists("inv:{drop:sneaker}:st", "avail"):
            await client.hincrby("inv:{drop:sneaker}:st", "avail", by)
            await client.delete("inv:{drop:sneaker}:u")

    @rule()
    def redis_remembers(self) -> None:
        self.runner.run(self.remember())

    async def remember(self) -> None:
        raw = self.till.scripts.client
        names = [f"inv:{{drop:sneaker}}:{part}" for part in ("st", "h", "u")]
        self.kept = {name: await raw.hgetall(name) for name in names}

    @rule()
    def redis_rolls_back_unnoticed(self) -> None:
        if hasattr(self, "kept"):
            self.runner.run(self.roll_back())

    async def roll_back(self) -> None:
        for name, members in self.kept.items():
            await self.till.scripts.client.delete(name)
            if members:
                await self.till.scripts.client.hset(name, items=[part for pair in members.items() for part in pair])

    @rule()
    def the_till_is_killed(self) -> None:
        self.till.start()

    @rule()
    def everything_is_delivered_again(self) -> None:
        self.do(self.till.ledger.write(lambda c: c.execute(update(outbox).values(next_ms=0)).rowcount))

    @invariant()
    def the_books_balance(self) -> None:
        if hasattr(self, "till"):
            found = self.runner.run(books(self.till.ledger))
            assert found.allocated["sneaker"] <= TOTAL
            self.runner.run(self.no_promise_is_lost())

    async def no_promise_is_lost(self) -> None:
        for rid, (name, _) in self.till.promised.items():
            found = await self.till.ledger.read(partial(orders.hold, rid=rid, shopper=name))
            assert found is not None, "an acknowledged hold is on record"

    def teardown(self) -> None:
        try:
            if hasattr(self, "till"):
                self.runner.run(self.end())
        finally:
            self.runner.run(self.stack.aclose())
            self.runner.close()

    async def end(self) -> None:
        """Let everything settle: all money is an order or went back, and Redis agrees with the ledger."""
        self.till.psp.fail()
        self.till.start()
        for _ in range(12):
            await self.till.clock.advance(40)
            try:
                await self.till.work()
            except StoreUnavailable:
                continue
        await self.till.scripts.run("stock/sweep", keys=self.keys("st", "h", "x", "u"), args=(self.epoch, 100, 2**52))
        await self.till.reconciler.step()
        found = await books(self.till.ledger)
        assert not found.holds.keys() & {HoldState.HELD, HoldState.PAYING, HoldState.CAPTURING, HoldState.REFUND_DUE}
        paid = found.holds[HoldState.PAID]
        charges = Counts(str(one["status"]) for one in await self.till.psp.charges())
        assert charges["succeeded"] - len(await self.till.psp.refunds()) == paid, "money is an order or went back"
        assert charges.keys() <= {"succeeded", "canceled", "requires_payment_method"}, "nothing is left authorised"
        avail = await self.till.scripts.client.hget("inv:{drop:sneaker}:st", "avail")
        assert int(avail or 0) == TOTAL - found.allocated["sneaker"]

    def keys(self, *parts: str) -> list[str]:
        return self.till.rebuild.key("drop", "sneaker").names(*parts)

    @property
    def epoch(self) -> int:
        return self.till.rebuild.key("drop", "sneaker").epoch


def run_sales(redis_url: str, *, examples: int) -> None:
    Sales.redis_url = redis_url
    chosen = settings(
        phases=[Phase.generate, Phase.shrink],
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(Sales, settings=chosen)


def uncounted(*_given: object, **_named: object) -> bool:
    return True


def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answer before the commit, and let the commit never come."""

    async def at_once(_ledger: Ledger, work: object, item: object) -> object:
        return Taken.HELD if work is holds.take else item

    monkeypatch.setattr(Ledger, "write_together", at_once)


def let_go_on_paper_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def void(saga: Saga, _gateway: object, attempt: settlement.Attempt) -> settlement.Attempt:
        return await saga._write(settlement.returned, attempt)

    monkeypatch.setattr(Saga, "_void", void)


MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "the guard is gone": lambda patch: patch.setattr(holds, "allocate", uncounted),
    "the limit is in Redis only": lambda patch: patch.setattr(holds, "count_for_shopper", uncounted),
    "late money is not guarded": lambda patch: patch.setattr(settlement, "allocate", uncounted),
    "late money is let go on paper only": let_go_on_paper_only,
    "a hold is answered before its commit": forgotten,
}


def tell_story(redis_url: str) -> None:
    """Play one sale in which every rule matters: greed, a corrupted Redis, and late money for what others have."""
    Sales.redis_url = redis_url
    sale = Sales()
    try:
        sale.open()
        for name in ("alice", "alice", "bob", "eve"):
            sale.redis_is_corrupted(by=5)
            sale.reserve(name=name, qty=2, dies=False)
            sale.the_books_balance()
        sale.time_passes(seconds=70, cancel=None, refund=None)
        sale.somebody_pays_when_the_hold_is_over(name="alice", qty=2, others=True)
        sale.the_books_balance()
    finally:
        sale.teardown()


def test_the_story_ends_well_when_every_rule_is_kept(valkey_url: str) -> None:
    tell_story(f"{valkey_url}?db=2")


@pytest.mark.parametrize("name", MUTANTS)
def test_a_till_that_breaks_a_rule_is_found_out(valkey_url: str, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    MUTANTS[name](monkeypatch)

    with pytest.raises((AssertionError, IntegrityError)):
        tell_story(f"{valkey_url}?db=2")


def test_no_fault_oversells_loses_a_hold_or_keeps_money(valkey_url: str) -> None:
    run_sales(f"{valkey_url}?db=2", examples=25)
