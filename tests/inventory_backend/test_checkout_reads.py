"""What a crowd asks for costs no look-up, and what was answered before is answered so again all the same."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import event

from inventory_backend.ledger.ledger import Ledger
from tests.bookkeeping import books
from tests.fakes import FakeClock
from tests.till import Shop, config, shop
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.units import spell_instant


@contextmanager
def statements(ledger: Ledger) -> Iterator[list[str]]:
    """Give the statements that reach the database while the block lasts."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement.split(maxsplit=1)[0].upper())

    engines = [database.engine for database in (ledger._writer, ledger._reader)]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)


async def scripts_run(redis: ScriptRunner) -> int:
    found = await redis.client.info("commandstats")
    return sum(int(found.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("eval", "evalsha"))


@pytest.fixture
async def drop(tmp_path: Path, redis_url: str, clock: FakeClock) -> AsyncIterator[Shop]:
    """Give a till that opens in a minute; its jobs run when the test says so."""
    chosen = config(tmp_path, redis_url, total=2, starts_at=spell_instant(clock.now_ms() + 60_000), hold="1h")
    async with shop(chosen, clock=clock, with_jobs=False) as found:
        yield found


async def opened(drop: Shop, clock: FakeClock) -> Ledger:
    await clock.advance(60)
    await drop.till.jobs.catalogue.refresh()
    return drop.till.jobs.ledger


async def all_gone(drop: Shop) -> None:
    """Let alice and bob hold everything there is, and the catalogue see it."""
    for name in ("alice", "bob"):
        for sku in ("sneaker", "laces"):
            assert (await drop.shopper(name).reserve(sku=sku, key=sku)).status == 201
    await drop.till.jobs.catalogue.refresh()


async def test_the_first_reserve_and_the_first_look_of_a_sale_read_nothing_from_the_ledger(
    drop: Shop, clock: FakeClock
) -> None:
    assert (await drop.shopper().reserve()).kind == "sale-not-active"
    ledger = await opened(drop, clock)

    with statements(ledger) as seen:
        held = await drop.shopper().reserve()
        assert (held.status, seen.count("SELECT")) == (201, 0)
        assert {"UPDATE", "INSERT"} <= set(seen)
        seen.clear()
        async with drop.session.get(f"{drop.url}/sales/drop") as answer:
            assert answer.status == 200
        assert seen == []


async def test_a_crowd_that_came_too_late_costs_redis_and_the_ledger_nothing(
    drop: Shop, clock: FakeClock, redis: ScriptRunner
) -> None:
    ledger = await opened(drop, clock)
    await all_gone(drop)
    async with asyncio.timeout(20):
        while await redis.client.exists("inv:{drop:sneaker}:x", "inv:{drop:laces}:x"):
            await asyncio.sleep(0.005)  # until what is held is confirmed too
    before = await scripts_run(redis)

    with statements(ledger) as seen:
        refused = [await drop.shopper(f"late-{n}").reserve() for n in range(20)]

    assert {(one.status, one.kind, one.body["sale"]) for one in refused} == {(409, "sold-out", "drop")}
    assert (seen, await scripts_run(redis)) == ([], before)


async def test_what_is_wrong_is_told_as_such_also_when_all_is_gone(drop: Shop, clock: FakeClock) -> None:
    await opened(drop, clock)
    await all_gone(drop)
    late = drop.shopper("late")

    assert (await late.reserve(sku="gold")).kind == "unknown-sku"
    assert (await late.reserve(3)).kind == "limit-reached"
    assert (await late.reserve(key="")).kind == "idempotency-key-missing"
    assert (
        await late.post("/checkout/reserve", {"sale": "none", "lines": [{"sku": "a", "qty": 1}]}, "k")
    ).status == 404


async def test_who_holds_something_is_answered_as_before_also_when_all_is_gone(drop: Shop, clock: FakeClock) -> None:
    await opened(drop, clock)
    await all_gone(drop)
    alice = drop.shopper("alice")

    again = await alice.reserve(key="sneaker")
    assert (again.status, again.headers.get("Idempotent-Replayed")) == (201, "true")
    assert (await alice.reserve(sku="laces", key="sneaker")).kind == "idempotency-key-reused"
    await alice.cancel(again.body["reservation_id"])
    await drop.shopper("eve").reserve(key="e")
    await drop.till.jobs.catalogue.refresh()
    assert (await alice.reserve(key="sneaker")).headers.get("Idempotent-Replayed") == "true", "for 24 hours"


async def test_a_unit_that_comes_back_is_free_for_newcomers_at_the_next_look(drop: Shop, clock: FakeClock) -> None:
    await opened(drop, clock)
    await all_gone(drop)
    rid = (await drop.shopper("alice").reserve(key="sneaker")).body["reservation_id"]
    await drop.shopper("alice").cancel(rid)
    await drop.till.jobs.outbox.deliver()

    assert (await drop.shopper("late").reserve()).kind == "sold-out", "a moment old"
    await drop.till.jobs.catalogue.refresh()
    assert (await drop.shopper("late").reserve()).status == 201

    await drop.till.jobs.catalogue.refresh()  # gone again, but who had a hold is not looked up twice within a second
    assert not drop.till.jobs.catalogue.is_gone("drop", "another")
    await clock.advance(1)
    await drop.till.jobs.catalogue.refresh()
    assert drop.till.jobs.catalogue.is_gone("drop", "another")
    assert not drop.till.jobs.catalogue.is_gone("drop", "late"), "who has one now is answered from the ledger"


async def test_a_memory_that_is_not_fresh_refuses_nobody(drop: Shop, clock: FakeClock) -> None:
    ledger = await opened(drop, clock)
    await all_gone(drop)
    await clock.advance(1)

    with statements(ledger) as seen:
        assert (await drop.shopper("late").reserve()).kind == "sold-out"
    assert "SELECT" in seen, "asked, not remembered"


async def test_a_key_whose_hold_is_over_is_replayed_hides_no_unit_and_troubles_the_writer_once(
    drop: Shop, clock: FakeClock, redis: ScriptRunner
) -> None:
    """Redis has forgotten the reservation; the ledger has not."""
    ledger, alice = await opened(drop, clock), drop.shopper("alice")
    first = await alice.reserve()
    await alice.cancel(first.body["reservation_id"])
    await drop.till.jobs.outbox.deliver()

    drop.till.jobs.checkout._replays._answered.clear()  # as another till would be, or this one after a restart
    again = await alice.reserve()
    assert (again.status, again.body, again.headers.get("Idempotent-Replayed")) == (201, first.body, "true")
    with statements(ledger) as seen:
        for _ in range(5):
            assert (await alice.reserve()).status == 201
        assert (await alice.reserve(sku="laces")).kind == "idempotency-key-reused"
    assert set(seen) <= {"BEGIN", "SELECT"}

    await drop.till.jobs.reconciler.step()
    avail = [int(await redis.client.hget(f"inv:{{drop:{sku}}}:st", "avail") or 0) for sku in ("sneaker", "laces")]
    assert avail == [2, 2]
    assert (await books(ledger)).allocated == {"sneaker": 0, "laces": 0}
