"""A sale on real parts whose tills die and start anew, whose Redis forgets, and whose shoppers remember everything.

Real ledger (SQLite, PostgreSQL), real Valkey, the simulated gateway over HTTP. What was said to a shopper is kept, and
at every moment compared with what the books say (invariants I1-I5, write order W1-W10).
"""

import asyncio
import json
from collections import Counter as Counts
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from sqlalchemy import Connection, select

from inventory_backend.catalogue import Catalogue
from inventory_backend.checkout import Checkout, Paying, Terms
from inventory_backend.ids import order_id
from inventory_backend.ledger import deliveries, supply
from inventory_backend.ledger.idempotency import Answer, asked
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.schema import audit, line, payment, reservation, stock_change
from inventory_backend.ledger.schema import sale as sale_table
from inventory_backend.ledger.stock_changes import Change, Origin
from inventory_backend.outbox import Outbox
from inventory_backend.payments.saga import Saga, SagaSettings
from inventory_backend.payments.simulated_books import Books as Charges
from inventory_backend.payments.simulated_cards import Behaviour
from inventory_backend.payments.simulated_events import Event
from inventory_backend.payments.simulated_gateway import SimulatedGateway
from inventory_backend.payments.simulated_journal import Journal
from inventory_backend.payments.simulated_server import SimulatedGatewayServer
from inventory_backend.sales import COUNTED, HoldState, PaymentState, Sale, sku_of
from inventory_backend.stock import shoppers
from inventory_backend.stock.counter import Counter
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.reconciler import Reconciler
from inventory_backend.stock.restock import Restock
from inventory_backend.stock.shards import Shards
from inventory_backend.stock.stock import Stock
from inventory_backend.waitlist import Waitlist
from tests.bookkeeping import books
from tests.everything import Everything, all_of
from tests.fakes import FakeClock
from tests.mortal import Cut, Died, Life, MortalGateway, MortalLedger, MortalScripts
from tests.outsiders import GONE, Outsiders, doors
from tests.till import sale, serving
from waitroom.kernel.errors import StoreUnavailable, WaitroomError
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Pass

TOTAL, LIMIT = 3, 2
WINDOW_MS, GRACE_MS = 20_000, 5_000
SKUS = ("laces", "sneaker")
SAGA = SagaSettings(poll_ms=1000)
AT_ONCE = SagaSettings(poll_ms=1000, call_ms=0, write_ms=0, spare_ms=0)
"""What a till claimed that dies is free in the same millisecond: the next one goes on at once."""
FINE = {404, 409, 410, 422, 503}
"""What a shopper may be refused with: anything else is a bug of ours."""

_GOES_BACK = {PaymentState.REFUND_DUE, PaymentState.REFUNDED}
SetTime = Callable[[int], Awaitable[None]]


class Hands:
    """The clock of one machine, whose hands somebody may have turned; its quartz counts as all others do."""

    def __init__(self, time: FakeClock) -> None:
        self.time = time
        self.off_ms = 0

    def now_ms(self) -> int:
        return self.time.now_ms() + self.off_ms

    def tick_s(self) -> float:
        return self.time.tick_s()

    async def sleep(self, seconds: float) -> None:
        await self.time.sleep(seconds)


@dataclass
class Asked:
    """A request of a shopper under its key, and what came of it."""

    name: str
    body: Any
    answer: Answer | None = None


class Till:
    """One life of a till: the real parts, put together as `inventory_backend.app` does."""

    def __init__(
        self,
        ledger: Ledger,
        scripts: ScriptRunner,
        gateway: SimulatedGateway,
        settings: SagaSettings,
        one: Sale,
        closing: AsyncExitStack,
    ) -> None:
        self.life = Life()
        self.real_ledger = ledger
        self._closing = closing
        self.ledger = MortalLedger(ledger, self.life)
        self.stock = Stock(MortalScripts(scripts, self.life))
        self.catalogue = Catalogue(self.ledger, [one])
        self.rebuild = Rebuild(self.ledger, self.stock, [one])
        self.shards = Shards(self.ledger, self.stock, self.rebuild, [one], least=1)
        self.counter = Counter(self.stock, self.rebuild, self.shards)
        self.psp = MortalGateway(gateway, self.life)
        self.saga = Saga(self.ledger, {"simulated": self.psp}, settings)
        self.outbox = Outbox(self.ledger, self.stock, self.rebuild)
        self.reconciler = Reconciler(self.ledger, self.stock, self.rebuild, [one])
        self.restock = Restock(self.ledger, self.stock, self.rebuild, [one])
        terms = Terms(window_ms=WINDOW_MS, grace_ms=GRACE_MS, providers=frozenset({"simulated"}))
        self.checkout = Checkout(self.ledger, self.counter, self.catalogue, self.saga, terms)
        self.waitlist = Waitlist(self.ledger, self.catalogue, terms.identities)
        self.errands = (self.saga._errands, self.counter._errands, self.shards._errands)
        self.url = ""

    async def spread(self) -> None:
        """Take the news out of the outbox, as the courier does; nobody listens here."""
        now_ms = self.ledger.now_ms()
        await self.ledger.write(lambda connection: deliveries.spread(connection, {}, now_ms, 500))

    def jobs(self) -> dict[str, Callable[[], Awaitable[None]]]:
        """Return what the till does without a request."""
        return {
            "rebuild": self.rebuild.step,
            "expire": self.checkout.expire,
            "payments": self.saga.resume,
            "outbox": self.outbox.deliver,
            "spread": self.spread,
            "reconcile": self.reconciler.step,
            "catalogue": self.catalogue.refresh,
            "restock": self.restock.step,
            "waitlist": self.waitlist.give_up,
            "home": self.shards.step,
        }

    async def quiet(self) -> None:
        """Wait until nothing is between two steps."""
        self.counter._tell()
        async with asyncio.timeout(60):
            while under_way := set[asyncio.Task[Any]]().union(*(one._tasks for one in self.errands)):
                await asyncio.wait(under_way)

    async def bury(self) -> None:
        """Let go of what the process had open."""
        self.life.is_over = True
        for errands in self.errands:
            await errands.close(0)
        await self._closing.aclose()


@dataclass
class World:
    """What outlives every till, and the shoppers."""

    ledger_url: str
    scripts: ScriptRunner
    gateway: SimulatedGateway
    charges: Charges
    journal: Journal
    outsiders: Outsiders
    clock: FakeClock
    set_time: SetTime | None
    saga: SagaSettings
    hands: list[Hands]
    sale: Sale
    tills: list[Till] = field(default_factory=list)
    reserved: dict[str, Asked] = field(default_factory=dict)
    committed: dict[str, Asked] = field(default_factory=dict)
    promised: dict[str, str] = field(default_factory=dict)
    seized: set[str] = field(default_factory=set)
    lives: list[Life] = field(default_factory=list)
    asked_back: set[str] = field(default_factory=set)
    given_back: set[str] = field(default_factory=set)

    # Tills

    async def start(self, place: int, cut: Cut | None = None) -> None:
        """Open the till at `place` anew: it knows nothing but what the ledger and Redis have."""
        if self.set_time:
            await self.set_time(self.clock.now_ms())
        stack = AsyncExitStack()
        settings = LedgerSettings(self.ledger_url, group_delay_ms=0, timeout_ms=60_000, readers=2)
        ledger = await stack.enter_async_context(opened(settings, self.hands[place]))
        till = Till(ledger, self.scripts, self.gateway, self.saga, self.sale, stack)
        app = doors(till.ledger, till.psp, till.saga)
        till.url = await stack.enter_async_context(serving(app))
        self.tills[place : place + 1] = [till]
        self.lives.append(till.life)
        till.life.will_be(cut)
        await self.happens(self._open(till))

    async def _open(self, till: Till) -> None:
        await till.catalogue.seed()
        await till.rebuild.step()

    async def happens(self, work: Coroutine[Any, Any, object]) -> None:
        """Let `work` happen: refusals are fine, deaths are followed by a new life, anything else is a bug."""
        fault: BaseException | None = None
        try:
            await work
        except (WaitroomError, Died, BaseExceptionGroup) as found:
            fault = found
        for till in self.tills:
            await till.quiet()
            till.life.will_be(None)
        dead = [place for place, till in enumerate(self.tills) if till.life.is_over]
        if isinstance(fault, WaitroomError):
            assert fault.status in FINE, fault
        elif fault is not None and not dead:
            raise fault
        for place in dead:
            await self.tills[place].bury()
            await self.start(place)

    async def close(self) -> None:
        for till in self.tills:
            await till.bury()

    # Shoppers

    async def reserve(self, place: int, name: str, lines: Sequence[tuple[str, int]], key: str = "") -> Answer:
        """Ask for a hold, or ask again under a key that was used."""
        key = key or f"k{len(self.reserved)}"
        said = self.reserved.setdefault(key, Asked(name, lines))
        ask = asked("reserve", name, key, [list(one) for one in lines])
        answer = await self.tills[place].checkout.reserve(shopper(name), "drop", lines, ask)
        assert answer.status == 201
        assert said.answer is None or said.answer.body == answer.body, "one key, one answer"
        said.answer = answer
        self.promised[json.loads(answer.body)["reservation_id"]] = name
        return answer

    async def commit(self, place: int, rid: str, card: str, key: str = "") -> Answer:
        """Begin to pay, or ask again under a key that was used."""
        key, name = key or f"k{len(self.committed)}", self.promised[rid]
        said = self.committed.setdefault(key, Asked(name, (rid, card)))
        ask = asked("commit", name, key, [rid, card])
        answer = await self.tills[place].checkout.commit(shopper(name), rid, Paying("simulated", card), ask)
        assert answer.status == 202
        assert said.answer is None or said.answer.body == answer.body, "one key, one answer"
        said.answer = answer
        return answer

    async def cancel(self, place: int, rid: str) -> None:
        await self.tills[place].checkout.cancel(shopper(self.promised[rid]), rid)

    async def wait(self, place: int, name: str, lines: Sequence[tuple[str, int]]) -> None:
        """Take a place on the waitlist."""
        await self.tills[place].waitlist.join(shopper(name), "drop", lines)

    async def look_what_is_offered(self, place: int, name: str) -> None:
        """Ask where one stands; an offer is a promise like any other."""
        _, offered = await self.tills[place].waitlist.standing(shopper(name), "drop")
        if offered is not None:
            self.promised[offered.rid] = name

    async def stop_waiting(self, place: int, name: str) -> None:
        await self.tills[place].waitlist.leave(shopper(name), "drop")

    async def change_stock(self, place: int, sku: str, by: int) -> None:
        """Let ops add units, or take some away."""
        ledger = self.tills[place].ledger
        change = Change(by, Origin.OPS, "ops", "a test", ledger.now_ms())
        await ledger.write(lambda connection: supply.change(connection, ("drop", sku), change))

    # Time and jobs

    async def work(self, place: int, *names: str) -> None:
        """Let the till at `place` do its jobs, or those of `names`, each as its loop would."""
        till = self.tills[place]
        for name, step in till.jobs().items():
            if not names or name in names:
                try:
                    await step()
                except StoreUnavailable:
                    continue
                await till.quiet()

    async def passes(self, seconds: float) -> None:
        await self.clock.advance(seconds)

    # Redis

    async def dump(self) -> dict[str, bytes]:
        """Return a copy of the stock in Redis, as a snapshot on disk would be."""
        raw: Any = self.scripts.client
        return {name: await _bytes(raw, "DUMP", name) for name in sorted(await raw.keys("inv:*"))}

    async def roll_back(self, copy: dict[str, bytes]) -> None:
        """Put an older copy back, without a word to anybody."""
        raw: Any = self.scripts.client
        if names := await raw.keys("inv:*"):
            await raw.delete(*names)
        for name, found in copy.items():
            await raw.execute_command("RESTORE", name, 0, found)

    async def lose(self, pattern: str) -> None:
        """Let Redis forget the keys that look like `pattern`."""
        if names := await self.scripts.client.keys(pattern):
            await self.scripts.client.delete(*names)

    async def corrupt(self, sku: str, by: int) -> None:
        """Let Redis count wrong by so many units, and forget who has how many."""
        raw = self.scripts.client
        if (await raw.hget(f"inv:{{drop:{sku}}}:st", "avail") or "?") != "?":
            await raw.hincrby(f"inv:{{drop:{sku}}}:st", "avail", by)
            await raw.delete(f"inv:{{drop:{sku}}}:u")

    async def scribble(self, sku: str, name: str) -> None:
        """Let a field of the stock be no number and no word that anybody knows."""
        raw: Any = self.scripts.client
        if await raw.exists(f"inv:{{drop:{sku}}}:st"):
            await raw.hset(f"inv:{{drop:{sku}}}:st", name, "?")

    async def soft_holds_lapse(self) -> None:
        """Let ten seconds pass in Redis, whose clock no test can turn."""
        for shard in self.sale.shard_names:
            st, epoch = f"inv:{{drop:{shard}}}:st", await self.scripts.client.hget(f"inv:{{drop:{shard}}}:st", "epoch")
            names = [st, *(f"inv:{{drop:{shard}}}:{part}" for part in "hxu")]
            if epoch is not None:
                await self.scripts.run("stock/sweep", keys=names, args=(epoch, 100, 2**52))

    # The gateway

    def seize(self, which: int) -> None:
        """Somebody takes the money of a charge by hand, in the gateway's own console."""
        open_ = [one for one in self.charges.intents.values() if one.status(self.clock.now_ms()) == "requires_capture"]
        for one in open_[which : which + 1]:
            one.captured = one.amount
            self.seized.add(one.metadata["pid"])

    def call_off(self, which: int) -> None:
        """Somebody calls a charge off by hand."""
        open_ = [one for one in self.charges.intents.values() if one.can_be_cancelled(self.clock.now_ms())]
        for one in open_[which : which + 1]:
            one.is_cancelled = True

    def news(self) -> list[Event]:
        """Return whatever the gateway ever had to say, in the order in which it came about."""
        self.journal.look()
        return list(self.charges.events.values())

    async def hear(self, place: int, event: Event, times: int) -> None:
        """Let the gateway tell so many tills at once: again, late, or before the creation of the charge returned."""
        tills = [(place + n) % len(self.tills) for n in range(times)]
        told = [self.outsiders.gateway_tells(self.tills[one].url, event, self.clock.now_ms()) for one in tills]
        for one, (status, word) in zip(tills, await asyncio.gather(*told), strict=True):
            is_off = self.set_time is None and self.hands[one].off_ms  # else the database's clock decides
            is_fine = status in {200, 503, GONE} or (status == 400 and is_off)
            assert is_fine, (status, word)

    async def hear_again(self, place: int, event: Event) -> None:
        """Let the gateway tell what it has told: nothing comes of it."""
        await self.hear(place, event, 1)
        await self.quiet()
        before = await self.everything()
        await self.hear(place, event, 3)
        await self.quiet()
        assert await self.everything() == before, "told again, nothing changes"

    async def strangers(self, place: int, event: Event | None, rid: str | None) -> None:
        """Let strangers say that a charge was paid, and ask for the money of an order: nobody listens."""
        await self.quiet()
        before, till = await self.everything(), self.tills[place]
        if event is not None:
            told = await self.outsiders.strangers_tell(till.url, event, till.ledger.now_ms())
            assert set(told) == {400}, "forged, or of another time"
        if rid is not None:
            asked_for = await self.outsiders.strangers_refund(till.url, order_id(rid))
            assert set(asked_for) <= {401, 404}, "not ops"
        await self.quiet()
        assert await self.everything() == before, "a stranger changes nothing"

    async def everything(self) -> Everything:
        return await all_of(self.tills[0].real_ledger, self.scripts.client)

    async def quiet(self) -> None:
        for till in self.tills:
            await till.quiet()

    # Ops

    async def refund(self, place: int, rid: str, keys: Sequence[str]) -> None:
        """Let ops ask for the money of an order, under all of `keys` at once, at every till in turn."""
        self.asked_back.add(rid)
        tills = [self.tills[(place + n) % len(self.tills)] for n in range(len(keys))]
        asks = [self.outsiders.ops_refund(till.url, order_id(rid), key) for till, key in zip(tills, keys, strict=True)]
        for status, word in await asyncio.gather(*asks):
            assert status in {200, 202, 404, 409, 503, GONE}, (status, word)
            if status in {200, 202}:
                self.given_back.add(rid)

    # Truth

    async def look(self) -> None:
        """Compare the books with each other and with what shoppers were told (I1-I5, W3, W4, W8-W10)."""
        ledger = self.tills[0].real_ledger
        found = await books(ledger)
        self.journal.look()
        units = await ledger.read(supply.supplies)
        shards = self.sale.shard_names
        assert all(0 <= found.allocated[shard] <= units["drop", shard].total for shard in shards), "I1"
        await ledger.read(self._in_order)
        await ledger.read(self._units_are_on_record)
        for shard in shards:
            epoch = await self.scripts.client.hget(f"inv:{{drop:{shard}}}:st", "epoch")
            known = await ledger.read(lambda connection: connection.execute(select(sale_table.c.epoch)).scalar_one())
            assert int(str(epoch or 0).replace("?", "0")) <= known, "W10: the ledger knows of every life of the stock"

    def _in_order(self, connection: Connection) -> None:
        rows = {row.rid: row for row in connection.execute(select(reservation))}
        has = Counts[str]()
        for row in connection.execute(select(line)):
            has[rows[row.rid].shopper] += row.qty if rows[row.rid].state in COUNTED else 0
        assert all(qty <= LIMIT for qty in has.values()), "I4"
        assert self.promised.keys() <= rows.keys(), "I5: an acknowledged hold is on record"
        returning = {HoldState.REFUND_DUE, HoldState.REFUNDED}
        assert all(rows[rid].state in returning for rid in self.given_back), "an acknowledged refund is on record"
        self._no_hold_ends_early(connection, rows)
        payments = {row.pid: row for row in connection.execute(select(payment))}
        for one in payments.values():
            assert rows[one.rid].state != HoldState.PAYING or rows[one.rid].expires_ms >= one.deadline_ms, "W4"
        self._money_follows_paper(rows, payments)

    def _units_are_on_record(self, connection: Connection) -> None:
        changed, moved = Counts[str](), Counts[str]()
        for row in connection.execute(select(stock_change)):
            changed[row.sku] += row.delta
            moved[sku_of(row.sku)] += row.delta if row.origin == Origin.SHARDS else 0
        totals = {shard: units.total for (_, shard), units in supply.supplies(connection).items()}
        assert +changed == +Counts(totals), "I1: a shard has what was brought to it, no more"
        assert not any(moved.values()), "what shards give to each other is neither more nor less"

    def _no_hold_ends_early(self, connection: Connection, rows: dict[str, Any]) -> None:
        ended = select(audit.c.rid, audit.c.at_ms).where(audit.c.to_state == HoldState.EXPIRED)
        for rid, at_ms in connection.execute(ended):
            assert rows[rid].reason != "expired" or at_ms >= rows[rid].held_until_ms, "a promise ended too early"

    def _money_follows_paper(self, rows: dict[str, Any], payments: dict[str, Any]) -> None:
        kept = Counts[str]()
        for one in self.charges.intents.values():
            paper = payments.get(one.metadata["pid"])
            assert paper is not None, "W3: a charge has its row before the gateway hears of it"
            assert (one.amount, one.currency) == (paper.amount, paper.currency.lower())
            kept[paper.rid] += one.captured > one.refunded
            if one.captured and one.metadata["pid"] not in self.seized:
                is_back = paper.rid in self.asked_back and paper.state in _GOES_BACK
                is_counted = rows[paper.rid].state in {HoldState.CAPTURING, HoldState.PAID}
                assert is_back or is_counted, "W8: only counted units are paid"
            if one.refunded:
                assert paper.state in _GOES_BACK, "W9"
        assert all(charges <= 1 for charges in kept.values()), "nobody pays twice"

    async def settle(self, rounds: int = 14) -> None:
        """Let everything come to rest, then balance to the unit and to the cent: ledger, Redis, gateway."""
        for hands in self.hands:
            hands.off_ms = 0
        for till in self.tills:  # somebody looks whether there is anything left: what Redis lost is found out
            for sku in SKUS:
                look = till.counter.hold(self.sale, self.sale.priced([(sku, 1)]), f"a look at {sku}", "zoe")
                await self.happens(look)
        for _ in range(rounds):
            await self.passes(60)
            for place in range(len(self.tills)):
                await self.work(place)
        await self.soft_holds_lapse()
        await self.passes(60)  # so often it is looked at who has how many, and until now something was on its way
        for place in range(len(self.tills)):
            await self.work(place)
        await self.look()
        await self._the_gateway_agrees()
        await self._redis_agrees()

    async def _the_gateway_agrees(self) -> None:
        found = await books(self.tills[0].real_ledger)
        open_ = {HoldState.HELD, HoldState.PAYING, HoldState.CAPTURING, HoldState.REFUND_DUE}
        assert not found.holds.keys() & open_, "nothing is left between two states"
        intents = self.charges.intents.values()
        states = {str(one.status(self.clock.now_ms())) for one in intents}
        assert states <= {"succeeded", "canceled", "requires_payment_method"}, "nothing is left authorised"
        backs = Counts(one.intent for one in self.charges.refunds.values())
        assert all(times == 1 for times in backs.values()), "money goes back once"
        paid = select(reservation.c.rid, reservation.c.amount).where(reservation.c.state == HoldState.PAID)
        owed = await self.tills[0].real_ledger.read(lambda c: {row.rid: row.amount for row in c.execute(paid)})
        kept = {one.metadata["rid"]: one.captured - one.refunded for one in intents if one.captured != one.refunded}
        assert kept == owed, "every success is an order or went back (I3), to the cent"

    async def _redis_agrees(self) -> None:
        till, ledger = self.tills[0], self.tills[0].real_ledger
        units = await ledger.read(supply.supplies)
        for shard in self.sale.shard_names:
            avail = await self.scripts.client.hget(f"inv:{{drop:{shard}}}:st", "avail")
            assert int(avail or 0) == units["drop", shard].free, "Redis agrees, to the unit"
            differ = await shoppers.differing(ledger, till.stock, till.rebuild.key("drop", shard))
            assert not differ.shoppers, f"and on who has how many: {differ}"


@asynccontextmanager
async def open_world(
    ledger_url: str,
    redis_url: str,
    *,
    tills: int = 1,
    shards: int = 1,
    set_time: SetTime | None = None,
    pause_ms: int = 3000,
    saga: SagaSettings = SAGA,
) -> AsyncIterator[World]:
    """Give a world with an empty ledger at `ledger_url`, and its tills open."""
    clock = FakeClock()
    one = sale(TOTAL, LIMIT, shards=shards, hold_ms=60_000, offer_ms=45_000)
    async with AsyncExitStack() as stack:
        scripts = await stack.enter_async_context(connected(RedisSettings(redis_url, timeout_ms=5000)))
        await scripts.client.flushdb()
        charges = Charges()
        server = SimulatedGatewayServer(clock, Behaviour(pause_ms=pause_ms, late_ms=2000), charges)
        url = await stack.enter_async_context(serving(server.app()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        gateway = SimulatedGateway(session, url, timeout_ms=5000)
        hands = [Hands(clock) for _ in range(tills)]
        outsiders = Outsiders(session)
        world = World(
            ledger_url, scripts, gateway, charges, server.journal, outsiders, clock, set_time, saga, hands, one
        )
        stack.push_async_callback(world.close)
        for place in range(tills):
            await world.start(place)
        yield world


def shopper(name: str) -> Pass:
    return Pass("drop", name, 0, 2**60)


async def _bytes(raw: Any, *command: str) -> bytes:
    """Return a reply that is no text: this client decodes, and keeps what it cannot decode as surrogates."""
    found = await raw.execute_command(*command)
    return str(found).encode(errors="surrogateescape")
