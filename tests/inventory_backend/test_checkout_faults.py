"""Random sales with random faults on the real parts: the books balance after every step (I1-I5), whatever happens.

Real ledger, real Valkey, the real saga on the simulated gateway over HTTP; the faults are those of the failure table:
a till that dies before or after any call to the outside, lost requests and lost answers, Redis flushed, rolled back,
corrupted, robbed of a key; deliveries doubled; charges moved by hand at the gateway; clocks that were turned.
"""

import asyncio
import os
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy import update

from inventory_backend.ledger.schema import outbox
from inventory_backend.payments.simulated_cards import Card
from inventory_backend.payments.simulated_events import Event
from inventory_backend.sales import shard_name
from tests import postgresql
from tests.faulty_sale import SKUS, SetTime, World, open_world
from tests.mortal import Cut
from waitroom.kernel.errors import WaitroomError

T = TypeVar("T")
SHOPPERS = st.sampled_from(["alice", "bob", "eve"])
LINES = st.lists(st.tuples(st.sampled_from(SKUS), st.integers(1, 2)), min_size=1, max_size=3)
ONE = st.sampled_from(SKUS).map(lambda sku: [(sku, 1)])
SHARDS = st.sampled_from([shard_name(sku, number) for number in range(3) for sku in SKUS])
CARDS = st.sampled_from([Card.OK, Card.OK, Card.DECLINED, Card.THREE_DS, Card.ERROR, Card.LATE])
PLACES = st.integers(0, 1)
CUTS = st.none() | st.builds(Cut, st.integers(0, 14), st.sampled_from(["before", "after"]), st.booleans())
JOBS = st.sampled_from(
    ["rebuild", "expire", "payments", "outbox", "spread", "reconcile", "catalogue", "restock", "waitlist", "home"]
)
EXAMPLES = int(os.environ.get("FAULTY_SALES", "20"))
"""How many sales; `make soak` plays many more, and other ones each time."""
STEPS_S = st.sampled_from([0, 1, 4, 21, 60, 1200])


def drawn(data: st.DataObject, among: Sequence[T]) -> T | None:
    """Draw one of what there is, by its place: how many there are depends on how tills race, what is drawn may not."""
    place = data.draw(st.integers(0, 2**16))
    return among[place % len(among)] if among else None


class Sales(RuleBasedStateMachine):
    """Shoppers and faults, in any order."""

    ledgers: ClassVar[Any] = None
    redis_url = ""
    tills = 1

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.copy: dict[str, bytes] = {}

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    def happens(self, work: Coroutine[Any, Any, object], place: int = 0, cut: Cut | None = None) -> None:
        self.world.tills[self.at(place)].life.will_be(cut)
        self.run(self.world.happens(work))

    def at(self, place: int) -> int:
        return place % self.tills

    @initialize(shards=st.sampled_from([1, 2, 3]))
    def open(self, shards: int) -> None:
        url, set_time = self.run(self.ledgers())
        opening = open_world(url, self.redis_url, tills=self.tills, shards=shards, set_time=set_time)
        self.world: World = self.run(self.stack.enter_async_context(opening))

    # Shoppers

    @rule(place=PLACES, name=SHOPPERS, lines=ONE | LINES, cut=CUTS)
    def reserve(self, place: int, name: str, lines: list[tuple[str, int]], cut: Cut | None) -> None:
        self.happens(self.world.reserve(self.at(place), name, lines), place, cut)

    @rule(data=st.data(), place=PLACES, cut=CUTS)
    def reserve_again(self, data: st.DataObject, place: int, cut: Cut | None) -> None:
        if (key := drawn(data, sorted(self.world.reserved))) is not None:
            said = self.world.reserved[key]
            self.happens(self.world.reserve(self.at(place), said.name, said.body, key), place, cut)

    @rule(names=st.lists(SHOPPERS, min_size=2, max_size=4), lines=ONE)
    def rush(self, names: list[str], lines: list[tuple[str, int]]) -> None:
        self.run(self.at_once([self.world.reserve(self.at(n), name, lines) for n, name in enumerate(names)]))

    @rule(name=SHOPPERS, lines=ONE)
    def ask_twice_at_once(self, name: str, lines: list[tuple[str, int]]) -> None:
        self.run(self.twice(name, lines, f"twice{len(self.world.reserved)}"))

    async def twice(self, name: str, lines: list[tuple[str, int]], key: str) -> None:
        both = [self.world.reserve(self.at(n), name, lines, key) for n in range(2)]
        found = await asyncio.gather(*both, return_exceptions=True)
        kinds = {one.kind if isinstance(one, WaitroomError) else "held" for one in found}
        assert "held" not in kinds or kinds <= {"held", "request-in-flight", "store-unavailable"}, kinds
        await self.world.happens(asyncio.sleep(0))

    async def at_once(self, works: list[Coroutine[Any, Any, object]]) -> None:
        await asyncio.gather(*(self.world.happens(work) for work in works))

    @rule(data=st.data(), place=PLACES, card=CARDS, cut=CUTS)
    def pay(self, data: st.DataObject, place: int, card: Card, cut: Cut | None) -> None:
        if (rid := drawn(data, sorted(self.world.promised))) is not None:
            self.happens(self.world.commit(self.at(place), rid, card), place, cut)

    @rule(data=st.data(), place=PLACES, cut=CUTS)
    def pay_again(self, data: st.DataObject, place: int, cut: Cut | None) -> None:
        if (key := drawn(data, sorted(self.world.committed))) is not None:
            rid, card = self.world.committed[key].body
            self.happens(self.world.commit(self.at(place), rid, card, key), place, cut)

    @rule(data=st.data(), place=PLACES, cut=CUTS)
    def cancel(self, data: st.DataObject, place: int, cut: Cut | None) -> None:
        if (rid := drawn(data, sorted(self.world.promised))) is not None:
            self.happens(self.world.cancel(self.at(place), rid), place, cut)

    @rule(name=SHOPPERS, lines=ONE, others=st.booleans(), late_s=st.sampled_from([65, 66, 67]))
    def somebody_pays_when_the_hold_is_over(
        self, name: str, lines: list[tuple[str, int]], others: bool, late_s: int
    ) -> None:
        """The bank says yes two seconds after the hard deadline; at 65 the hold ends in this very millisecond."""
        before = set(self.world.promised)
        self.happens(self.world.reserve(0, name, lines))
        for rid in set(self.world.promised) - before:
            self.happens(self.world.commit(0, rid, Card.LATE))
            self.run(self.world.passes(late_s))
            self.happens(self.world.work(0))
            for other in ("carol", "dave") if others else ():  # they take what came back, before the money does
                self.happens(self.world.reserve(0, other, [(lines[0][0], 2)]))

    @rule(place=PLACES, name=SHOPPERS, lines=ONE | LINES, cut=CUTS)
    def wait(self, place: int, name: str, lines: list[tuple[str, int]], cut: Cut | None) -> None:
        self.happens(self.world.wait(self.at(place), name, lines), place, cut)

    @rule(place=PLACES, name=SHOPPERS, stays=st.booleans(), cut=CUTS)
    def look_what_is_offered(self, place: int, name: str, stays: bool, cut: Cut | None) -> None:
        looks = self.world.look_what_is_offered if stays else self.world.stop_waiting
        self.happens(looks(self.at(place), name), place, cut)

    @rule(place=PLACES, sku=st.sampled_from(SKUS), by=st.integers(-3, 3), cut=CUTS)
    def ops_change_stock(self, place: int, sku: str, by: int, cut: Cut | None) -> None:
        self.happens(self.world.change_stock(self.at(place), sku, by), place, cut)

    # Time and jobs

    @rule(seconds=STEPS_S, place=PLACES, cut=CUTS)
    def time_passes(self, seconds: int, place: int, cut: Cut | None) -> None:
        self.run(self.world.passes(seconds))
        self.happens(self.world.work(self.at(place)), place, cut)

    @rule(name=JOBS, place=PLACES, cut=CUTS)
    def job_runs(self, name: str, place: int, cut: Cut | None) -> None:
        self.happens(self.world.work(self.at(place), name), place, cut)

    @rule(place=PLACES, off_ms=st.sampled_from([-300_000, 300_000, 0]))
    def hands_are_turned(self, place: int, off_ms: int) -> None:
        self.world.hands[self.at(place)].off_ms = off_ms

    # Faults

    @rule(place=PLACES, cut=CUTS)
    def the_till_is_killed(self, place: int, cut: Cut | None) -> None:
        self.world.tills[self.at(place)].life.is_over = True
        self.run(self.world.tills[self.at(place)].bury())
        self.run(self.world.start(self.at(place), cut))

    @rule()
    def redis_is_flushed(self) -> None:
        self.run(self.world.lose("*"))

    @rule(sku=SHARDS, by=st.integers(-2, 5))
    def a_counter_is_corrupted(self, sku: str, by: int) -> None:
        self.run(self.world.corrupt(sku, by))

    @rule(sku=SHARDS, name=st.sampled_from(["avail", "mut", "epoch", "state"]))
    def a_field_is_garbage(self, sku: str, name: str) -> None:
        self.run(self.world.scribble(sku, name))

    @rule(sku=SHARDS, part=st.sampled_from(["st", "h", "x", "u"]))
    def a_key_is_lost(self, sku: str, part: str) -> None:
        self.run(self.world.lose(f"inv:{{drop:{sku}}}:{part}"))

    @rule()
    def redis_remembers(self) -> None:
        self.copy = self.run(self.world.dump())

    @rule()
    def redis_rolls_back_unnoticed(self) -> None:
        self.run(self.world.roll_back(self.copy))

    @rule()
    def soft_holds_lapse(self) -> None:
        self.happens(self.world.soft_holds_lapse())

    @rule(which=st.integers(0, 2), is_taken=st.booleans())
    def somebody_moves_a_charge_by_hand(self, which: int, is_taken: bool) -> None:
        (self.world.seize if is_taken else self.world.call_off)(which)

    @rule(data=st.data(), place=PLACES, times=st.sampled_from([1, 10]), cut=CUTS)
    def the_gateway_tells_of_a_charge(self, data: st.DataObject, place: int, times: int, cut: Cut | None) -> None:
        """By signed webhooks over HTTP: ten at once, an hour late, out of order, before the creation returned."""
        if (told := self.news(data)) is not None:
            self.happens(self.world.hear(self.at(place), told, times), place, cut)

    @rule(data=st.data(), place=PLACES)
    def the_gateway_repeats_itself(self, data: st.DataObject, place: int) -> None:
        if (told := self.news(data)) is not None:
            self.happens(self.world.hear_again(self.at(place), told))

    @rule(data=st.data(), place=PLACES)
    def strangers_speak_for_the_gateway_and_for_ops(self, data: st.DataObject, place: int) -> None:
        """Forged, altered, stale and early webhooks, and refunds without the token: nothing moves."""
        rid = drawn(data, sorted(self.world.promised))
        self.happens(self.world.strangers(self.at(place), self.news(data), rid))

    def news(self, data: st.DataObject) -> Event | None:
        return drawn(data, self.world.news())

    @rule(data=st.data(), place=PLACES, times=st.sampled_from([1, 10]), is_one_key=st.booleans(), cut=CUTS)
    def ops_send_money_back(
        self, data: st.DataObject, place: int, times: int, is_one_key: bool, cut: Cut | None
    ) -> None:
        """Ten at once are a storm, at all tills."""
        if (rid := drawn(data, sorted(self.world.promised))) is not None:
            keys = [f"refund {rid} {0 if is_one_key else n}" for n in range(times)]
            self.happens(self.world.refund(self.at(place), rid, keys), place, cut)

    @rule(name=SHOPPERS, lines=ONE, times=st.sampled_from([1, 10]), cut=CUTS)
    def somebody_buys_and_is_refunded(
        self, name: str, lines: list[tuple[str, int]], times: int, cut: Cut | None
    ) -> None:
        before = set(self.world.promised)
        self.happens(self.world.reserve(0, name, lines))
        for rid in set(self.world.promised) - before:
            self.happens(self.world.commit(0, rid, Card.OK))
            self.happens(self.world.refund(0, rid, [f"refund {rid} {n}" for n in range(times)]), 0, cut)

    @rule()
    def everything_is_delivered_again(self) -> None:
        again = update(outbox).values(next_ms=0)
        self.run(self.world.tills[0].real_ledger.write(lambda connection: connection.execute(again).rowcount))

    @invariant()
    def the_books_balance(self) -> None:
        if hasattr(self, "world"):
            self.run(self.world.look())

    def teardown(self) -> None:
        try:
            if hasattr(self, "world"):
                self.run(self.world.settle())
        finally:
            self.run(self.stack.aclose())
            self.runner.close()


def run_sales(machine: type[Sales], *, examples: int) -> None:
    chosen = settings(
        phases=[Phase.generate, Phase.shrink],
        max_examples=examples,
        stateful_step_count=30,
        deadline=None,
        database=None,
        derandomize="FAULTY_SALES" not in os.environ,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(machine, settings=chosen)


def on_sqlite(folder: Path, redis_url: str) -> type[Sales]:
    """Return the machine with an empty file for each example."""
    serial = iter(range(10**6))

    async def ledgers() -> tuple[str, SetTime | None]:
        return f"sqlite:///{folder}/ledger{next(serial)}.db", None

    return type("OnSqlite", (Sales,), {"ledgers": staticmethod(ledgers), "redis_url": redis_url})


def on_postgresql(folder: Path, redis_url: str) -> type[Sales]:
    """Return the machine with an empty database for each example, and two tills on it."""

    async def ledgers() -> tuple[str, SetTime | None]:
        url = await postgresql.new_database(folder, 0)
        return url, partial(postgresql.set_clock, folder, url.partition("@/")[2].partition("?")[0])

    return type("OnPostgresql", (Sales,), {"ledgers": staticmethod(ledgers), "redis_url": redis_url, "tills": 2})


def test_no_fault_oversells_loses_a_hold_or_keeps_money(valkey_url: str, tmp_path: Path) -> None:
    run_sales(on_sqlite(tmp_path, f"{valkey_url}?db=2"), examples=EXAMPLES)


def test_nor_does_it_on_postgresql_where_tills_share_the_sale(valkey_url: str, postgresql_folder: Path) -> None:
    run_sales(on_postgresql(postgresql_folder, f"{valkey_url}?db=2"), examples=EXAMPLES // 4)
