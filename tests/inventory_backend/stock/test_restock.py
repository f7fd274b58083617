"""More units reach Redis within a moment: by waves, by ops, by whichever till is first."""

import asyncio
from dataclasses import replace

import pytest

from inventory_backend.catalogue import Catalogue
from inventory_backend.ledger import holds, shards, supply
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.stock_changes import Change, Origin
from inventory_backend.outbox import Outbox
from inventory_backend.sales import Sale, Wave
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.reconciler import Reconciler
from inventory_backend.stock.restock import Restock
from inventory_backend.stock.stock import Hold, Stock, StockNotLoaded
from tests.bookkeeping import NOW_MS, wanted
from tests.fakes import FakeClock
from tests.till import sale
from tests.waiting import free, join, offered
from waitroom.kernel.redis import ScriptRunner

NAME = ("drop", "sneaker")


async def avail(redis: ScriptRunner) -> int:
    return int(await redis.client.hget("inv:{drop:sneaker}:st", "avail") or 0)


async def raised(ledger: Ledger, delta: int) -> None:
    asked = Change(delta, Origin.OPS, "ada", "a box was found", NOW_MS)
    assert await ledger.write(lambda c: supply.change(c, NAME, asked))


def with_waves(*waves: Wave) -> Sale:
    one = sale()
    return replace(one, skus={**one.skus, "sneaker": replace(one.skus["sneaker"], waves=waves)})


async def test_a_wave_comes_at_its_time_and_once(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner, clock: FakeClock
) -> None:
    one = with_waves(Wave(NOW_MS + 1000, 5), Wave(NOW_MS + 9000, 7))
    tills = [Restock(ledger, stock, rebuild, [one]) for _ in range(2)]

    for seconds, units in ((0, 10), (0.999, 10), (0.001, 15), (7.999, 15), (0.001, 22), (100, 22)):
        await clock.advance(seconds)
        await asyncio.gather(*(till.step() for till in tills))
        assert await avail(redis) == units
    await Restock(ledger, stock, rebuild, [one]).step()
    assert await avail(redis) == 22, "a till that starts later lets nothing in again"


async def test_a_crowd_of_soft_holds_does_not_keep_new_units_away(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    """The reconciler waits until it is quiet; this must not."""
    key = rebuild.key(*NAME)
    for n in range(10):
        await stock.hold(key, rid=f"r{n}", shopper=f"s{n}", qty=1, limit=2)
    await raised(ledger, 3)

    await Restock(ledger, stock, rebuild, [sale()]).step()

    assert await avail(redis) == 3
    assert await stock.hold(key, rid="more", shopper="eve", qty=2, limit=2) is Hold.HELD


async def test_the_reconciler_and_this_add_no_unit_twice(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    restock, reconciler = Restock(ledger, stock, rebuild, [sale()]), Reconciler(ledger, stock, rebuild, [sale()])
    await restock.step()
    for first, second in ((restock, reconciler), (reconciler, restock)):
        await raised(ledger, 5)
        await first.step()
        await second.step()

    assert await avail(redis) == 20


async def test_lowered_stock_is_refused_to_the_next(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    one = wanted("alice", ("sneaker", 2))
    await stock.hold(rebuild.key(*NAME), rid=one.rid, shopper="alice", qty=2, limit=2)
    await ledger.write_together(holds.take, one)
    await raised(ledger, -8)

    await Restock(ledger, stock, rebuild, [sale()]).step()

    assert await avail(redis) == 0
    assert await stock.hold(rebuild.key(*NAME), rid="r", shopper="bob", qty=1, limit=2) is Hold.SOLD_OUT


async def test_units_that_went_away_and_came_back_between_two_looks_are_told(
    ledger: Ledger, stock: Stock, redis: ScriptRunner
) -> None:
    """Half of them came over to another shard, of which Redis heard; then who waits was served from the first again."""
    one = sale(shards=2, limit=9)
    await Catalogue(ledger, [one]).seed()
    owners = [wanted(f"o{n}", ("laces", 1)) for n in range(10)]
    for owner in owners:
        await ledger.write_together(holds.take, owner)
    await join(ledger, "ann", ("laces", 1), ("sneaker", 1), terms=one)
    rebuild = Rebuild(ledger, stock, [one])
    await rebuild.step()
    restock, outbox = Restock(ledger, stock, rebuild, [one]), Outbox(ledger, stock, rebuild)
    await restock.step()

    moved = await ledger.write(lambda c: (shards.refill(c, "drop", "sneaker#1", 1, NOW_MS), supply.supplies(c))[1])
    for name in one.skus["sneaker"].shard_names:
        await stock.resize(rebuild.key("drop", name), moved["drop", name])
    await free(ledger, owners[0].rid)
    assert await offered(ledger, "ann") == ["ann"]
    await outbox.deliver()
    await restock.step()

    units = await ledger.read(supply.supplies)
    keys = [rebuild.key("drop", name) for name in one.shard_names]
    assert await stock.free(keys) == [units["drop", key.sku].free for key in keys]
    assert await stock.totals(keys) == [10, 0, 10, 0]


async def test_stock_that_is_lost_meanwhile_is_put_back_with_the_new_total(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    restock = Restock(ledger, stock, rebuild, [sale()])
    await restock.step()
    await redis.client.flushdb()
    await raised(ledger, 5)

    with pytest.raises(StockNotLoaded):
        await restock.step()
    assert not rebuild.is_loaded
    await restock.step()  # nothing to tell before it is put back
    await rebuild.step()
    await restock.step()

    assert await avail(redis) == 15
