"""Whoever looks sees where Redis differs, and mends it only when they say so."""

import pytest

from inventory_backend.differences import Difference, Kind, Repair
from inventory_backend.ledger import holds
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.sales import HoldState
from inventory_backend.stock.comparison import compared
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Stock, StockNotLoaded
from tests.bookkeeping import wanted
from tests.till import sale
from waitroom.kernel.redis import ScriptRunner


async def drift(redis: ScriptRunner, by: int) -> None:
    await redis.client.hincrby("inv:{drop:sneaker}:st", "avail", by)


async def test_a_stock_that_agrees_says_nothing(ledger: Ledger, stock: Stock, rebuild: Rebuild) -> None:
    assert rebuild.is_loaded
    assert await compared(ledger, stock, [sale()]) == []


async def test_a_stock_that_drifted_is_shown_and_mended_only_when_asked(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    assert rebuild.is_loaded
    await drift(redis, 3)
    shown = [Difference(Kind.STOCK, "drop/sneaker", "10 free", "13 free", Repair.MEND)]

    for _ in range(2):
        assert await compared(ledger, stock, [sale()]) == shown
    assert await compared(ledger, stock, [sale()], is_mended=True) == shown
    assert await compared(ledger, stock, [sale()]) == []


async def test_what_is_on_its_way_is_not_taken_for_a_difference(ledger: Ledger, stock: Stock, rebuild: Rebuild) -> None:
    await stock.hold(rebuild.key("drop", "sneaker"), rid="soft", shopper="eve", qty=1, limit=2)
    assert await compared(ledger, stock, [sale()]) == []

    await stock.release(rebuild.key("drop", "sneaker"), "soft")
    one = wanted("alice")
    await ledger.write_together(holds.take, one)
    note = holds.Note("shopper", one.now_ms)
    await ledger.write(lambda c: holds.release(c, [one.rid], HoldState.HELD, HoldState.CANCELLED, note))
    assert await compared(ledger, stock, [sale()]) == []


async def test_a_stock_that_is_not_loaded_cannot_be_compared(ledger: Ledger, stock: Stock) -> None:
    with pytest.raises(StockNotLoaded):
        await compared(ledger, stock, [sale()])
