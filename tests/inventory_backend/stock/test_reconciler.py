"""What drifted between Redis and the ledger is mended while it is quiet."""

import pytest
from sqlalchemy import update

from inventory_backend.ledger import holds
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import outbox
from inventory_backend.outbox import Outbox
from inventory_backend.sales import HoldState
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.reconciler import Reconciler
from inventory_backend.stock.stock import Hold, Stock
from tests.bookkeeping import NOW_MS, wanted
from tests.till import sale
from tests.waiting import free, join, sell_out
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner


async def avail(redis: ScriptRunner) -> int:
    return int(await redis.client.hget("inv:{drop:sneaker}:st", "avail") or 0)


def reconciler(ledger: Ledger, stock: Stock, rebuild: Rebuild) -> Reconciler:
    return Reconciler(ledger, stock, rebuild, [sale()])


async def test_a_corrupted_counter_is_mended(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    await redis.client.hincrby("inv:{drop:sneaker}:st", "avail", 5)

    await reconciler(ledger, stock, rebuild).step()

    assert await avail(redis) == 10


async def test_a_hold_on_its_way_into_the_ledger_is_not_taken_for_drift(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    key = rebuild.key("drop", "sneaker")
    assert await stock.hold(key, rid="r", shopper="eve", qty=1, limit=2) is Hold.HELD

    await reconciler(ledger, stock, rebuild).step()

    assert await avail(redis) == 9


async def test_units_on_their_way_back_are_not_taken_for_drift(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    one = wanted("alice")
    key = rebuild.key("drop", "sneaker")
    await stock.hold(key, rid=one.rid, shopper="alice", qty=1, limit=2)
    await ledger.write_together(holds.take, one)
    await stock.confirm(key, [one.rid])
    note = Note("expiry", NOW_MS)
    await ledger.write(lambda c: holds.release(c, [one.rid], HoldState.HELD, HoldState.EXPIRED, note))

    await reconciler(ledger, stock, rebuild).step()
    assert await avail(redis) == 9

    await Outbox(ledger, stock, rebuild).deliver()
    await reconciler(ledger, stock, rebuild).step()
    assert await avail(redis) == 10


async def test_an_offer_on_its_way_is_not_taken_for_drift(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    """Else the free unit that is part of it would be taken off twice: as drift, and by the offer."""
    first, *_ = await sell_out(ledger, total=9)
    await redis.client.flushdb()
    rebuild.ask(rebuild.key("drop", "sneaker"))
    await rebuild.step()
    await join(ledger, "ann", ("sneaker", 2))
    await free(ledger, first)
    released = update(outbox).where(outbox.c.kind == "release").values(next_ms=None)
    await ledger.write(lambda connection: connection.execute(released).rowcount)

    await reconciler(ledger, stock, rebuild).step()
    assert await avail(redis) == 1

    await Outbox(ledger, stock, rebuild).deliver()
    assert await avail(redis) == 0
    await reconciler(ledger, stock, rebuild).step()
    assert await avail(redis) == 0


async def test_news_that_nobody_took_yet_keep_no_drift_alive(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    await ledger.write_together(holds.take, one := wanted("alice"))
    note = Note("expiry", NOW_MS)
    await ledger.write(lambda c: holds.release(c, [one.rid], HoldState.HELD, HoldState.EXPIRED, note))
    await Outbox(ledger, stock, rebuild).deliver()
    await redis.client.hincrby("inv:{drop:sneaker}:st", "avail", 5)

    await reconciler(ledger, stock, rebuild).step()

    assert await avail(redis) == 10


async def test_what_redis_lost_is_put_back_before_a_shopper_finds_out(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    await redis.client.flushdb()

    with pytest.raises(StoreUnavailable):
        await reconciler(ledger, stock, rebuild).step()
    await rebuild.step()

    assert await avail(redis) == 10


async def test_what_a_dead_process_held_comes_back(ledger: Ledger, rebuild: Rebuild, redis: ScriptRunner) -> None:
    then = Stock(redis, now_ms=1_000_000)
    await then.hold(rebuild.key("drop", "sneaker"), rid="r", shopper="eve", qty=1, limit=2)

    await reconciler(ledger, Stock(redis), rebuild).step()

    assert await avail(redis) == 10


async def test_nothing_is_compared_before_it_is_loaded(ledger: Ledger, stock: Stock) -> None:
    await reconciler(ledger, stock, Rebuild(ledger, stock, [sale()])).step()
