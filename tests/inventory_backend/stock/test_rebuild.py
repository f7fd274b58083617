"""Redis is put back from the ledger, and sells nothing until it is."""

import asyncio

import pytest

from inventory_backend.ledger import holds
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.sales import HoldState
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Hold, Stock, StockNotLoaded
from tests.bookkeeping import NOW_MS, wanted
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


async def test_who_met_an_earlier_life_does_not_undo_the_present_one(rebuild: Rebuild) -> None:
    old = rebuild.key("drop", "sneaker")
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


async def test_a_step_with_nothing_to_do_changes_nothing(rebuild: Rebuild) -> None:
    before = rebuild.key("drop", "sneaker")

    await asyncio.gather(rebuild.step(), rebuild.step())

    assert rebuild.key("drop", "sneaker") == before
