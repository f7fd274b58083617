"""Redis is put back from the ledger, and sells nothing until it is."""

import asyncio
from typing import Any

import pytest

from inventory_backend.ledger import holds, leases
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.sales import HoldState
from inventory_backend.stock.rebuild import LEASE, LEASE_MS, Rebuild
from inventory_backend.stock.stock import Beat, Hold, Stock, StockNotLoaded
from tests.bookkeeping import NOW_MS, wanted
from tests.fakes import FakeClock
from tests.till import sale
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner


async def hold(rebuild: Rebuild, stock: Stock, rid: str, shopper: str = "eve", qty: int = 1) -> Hold:
    return await stock.hold(rebuild.key("drop", "sneaker"), rid=rid, shopper=shopper, qty=qty, limit=2)


def test_nothing_is_sold_before_it_is_loaded(ledger: Ledger, stock: Stock) -> None:
    fresh = Rebuild(ledger, stock, [sale()])

    assert not fresh.is_loaded
    with pytest.raises(StockNotLoaded):
        fresh.key("drop", "sneaker")


async def test_redis_gets_what_the_ledger_has(ledger: Ledger, stock: Stock) -> None:
    held, gone = wanted("alice", ("sneaker", 2)), wanted("bob")
    for one in (held, gone):
        await ledger.write_together(holds.take, one)
    note = Note("expiry", NOW_MS)
    await ledger.write(lambda c: holds.release(c, [gone.rid], HoldState.HELD, HoldState.EXPIRED, note))
    rebuild = Rebuild(ledger, stock, [sale()])

    await rebuild.step()

    assert await hold(rebuild, stock, held.rid, "alice") is Hold.AGAIN
    assert await hold(rebuild, stock, "more", "alice") is Hold.LIMIT_REACHED
    assert [await hold(rebuild, stock, f"r{n}", f"s{n}") for n in range(9)] == [Hold.HELD] * 8 + [Hold.SOLD_OUT]


async def test_a_flushed_redis_is_met_once_and_put_back(
    rebuild: Rebuild, stock: Stock, redis: ScriptRunner, ledger: Ledger
) -> None:
    await ledger.write_together(holds.take, wanted("alice", ("sneaker", 2)))
    await redis.client.flushdb()
    lost = rebuild.key("drop", "sneaker")
    with pytest.raises(StockNotLoaded):
        await hold(rebuild, stock, "r1")

    rebuild.ask(lost)
    assert not rebuild.is_loaded
    await rebuild.step()

    assert rebuild.key("drop", "sneaker").epoch == lost.epoch + 1
    assert await hold(rebuild, stock, "r1") is Hold.HELD
    assert await hold(rebuild, stock, "r2", "alice") is Hold.LIMIT_REACHED


async def test_who_met_an_earlier_life_does_not_undo_the_present_one(rebuild: Rebuild, redis: ScriptRunner) -> None:
    old = rebuild.key("drop", "sneaker")
    await redis.client.flushdb()
    rebuild.ask(old)
    await rebuild.step()

    rebuild.ask(old)

    assert rebuild.is_loaded


async def test_another_server_is_fenced_by_its_identity(
    rebuild: Rebuild, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart, or a replica that took over: its data may be older than what we were told."""
    before = rebuild.key("drop", "sneaker").epoch

    async def restarted() -> str:
        return "another run"

    monkeypatch.setattr(stock, "server_id", restarted)
    await rebuild.step()

    assert rebuild.key("drop", "sneaker").epoch == before + 1


async def test_a_server_that_changes_while_it_is_loaded_is_loaded_again(
    ledger: Ledger, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    rebuild = Rebuild(ledger, stock, [sale()])
    seen = iter(["one", "two", "two", "two"])

    async def changing() -> str:
        return next(seen)

    monkeypatch.setattr(stock, "server_id", changing)
    with pytest.raises(StoreUnavailable):
        await rebuild.step()
    assert not rebuild.is_loaded

    await rebuild.step()
    assert rebuild.is_loaded


async def test_another_till_takes_over_what_is_open_as_it_is(
    rebuild: Rebuild, ledger: Ledger, stock: Stock, redis: ScriptRunner
) -> None:
    await hold(rebuild, stock, "soft")
    before = await redis.client.hgetall("inv:{drop:sneaker}:st")
    other = Rebuild(ledger, stock, [sale()])

    await other.step()

    assert other.key("drop", "sneaker") == rebuild.key("drop", "sneaker")
    assert await redis.client.hgetall("inv:{drop:sneaker}:st") == before
    assert await hold(other, stock, "soft") is Hold.AGAIN


async def test_tills_that_meet_lost_stock_at_once_put_it_back_once(
    ledger: Ledger, stock: Stock, redis: ScriptRunner
) -> None:
    tills = [Rebuild(ledger, stock, [sale()]) for _ in range(4)]
    for life in range(1, 4):
        for _ in range(2):  # once to put it back, once for those that waited
            await asyncio.gather(*(till.step() for till in tills))
        assert {till.key("drop", "sneaker").epoch for till in tills} == {life}
        await redis.client.flushdb()
        for till in tills:
            till.ask(till.key("drop", "sneaker"))


async def test_a_till_that_died_while_it_loaded_keeps_the_others_waiting_for_a_moment(
    ledger: Ledger, stock: Stock, clock: FakeClock
) -> None:
    until_ms = NOW_MS + LEASE_MS
    await ledger.write(lambda c: leases.take(c, LEASE, "the dead", NOW_MS, until_ms))
    other = Rebuild(ledger, stock, [sale()])

    await other.step()
    assert not other.is_loaded
    await clock.advance(LEASE_MS / 1000)
    await other.step()

    assert other.is_loaded


async def test_a_till_that_is_overtaken_while_it_loads_opens_nothing_and_takes_over(
    ledger: Ledger, stock: Stock, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It hung for longer than its lease; the other began, and ended, a later life."""
    slow, other, load = Rebuild(ledger, stock, [sale()]), Rebuild(ledger, stock, [sale()]), stock.load

    async def hanging(*args: Any, **kept: Any) -> None:
        monkeypatch.setattr(stock, "load", load)
        await clock.advance(LEASE_MS / 1000)
        await other.step()
        await load(*args, **kept)

    monkeypatch.setattr(stock, "load", hanging)
    with pytest.raises(StoreUnavailable):
        await slow.step()
    assert not slow.is_loaded
    await slow.step()

    assert slow.key("drop", "sneaker") == other.key("drop", "sneaker")
    assert other.key("drop", "sneaker").epoch == 2
    assert await hold(other, stock, "r1") is Hold.HELD


async def test_a_long_load_renews_its_lease(ledger: Ledger, stock: Stock, clock: FakeClock) -> None:
    async def beats(*_: object, beat: Beat, **__: object) -> None:
        for _second in range(20):
            await clock.advance(1)
            await beat()
            assert not await ledger.write(lambda c: leases.take(c, LEASE, "another", ledger.now_ms(), ledger.now_ms()))

    slow = Rebuild(ledger, stock, [sale()])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stock, "load", beats)
        await slow.step()

    assert await ledger.write(lambda c: leases.take(c, LEASE, "another", ledger.now_ms(), ledger.now_ms()))


async def test_a_life_on_another_server_is_not_taken_over(
    rebuild: Rebuild, ledger: Ledger, stock: Stock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of a restarted server may be older than what the others were told."""
    before = rebuild.key("drop", "sneaker").epoch

    async def restarted() -> str:
        return "another run"

    monkeypatch.setattr(stock, "server_id", restarted)
    other = Rebuild(ledger, stock, [sale()])
    await other.step()

    assert other.key("drop", "sneaker").epoch == before + 1
    with pytest.raises(StockNotLoaded):
        await hold(rebuild, stock, "r1")


async def test_a_step_with_nothing_to_do_changes_nothing(rebuild: Rebuild) -> None:
    before = rebuild.key("drop", "sneaker")

    await asyncio.gather(rebuild.step(), rebuild.step())

    assert rebuild.key("drop", "sneaker") == before
