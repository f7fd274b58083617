"""What the ledger gave back reaches Redis: after the commit, at least once, and counts once."""

from dataclasses import replace

from sqlalchemy import select, update

from inventory_backend.catalogue import Catalogue
from inventory_backend.ledger import holds
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import outbox
from inventory_backend.outbox import Outbox
from inventory_backend.sales import HoldState
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.reconciler import Reconciler
from inventory_backend.stock.stock import Stock
from tests.bookkeeping import NOW_MS, wanted
from tests.till import sale
from waitroom.kernel.redis import ScriptRunner


async def given_back(ledger: Ledger, stock: Stock, rebuild: Rebuild, shopper: str = "alice") -> str:
    """Return a hold that the ledger has given back and Redis has not."""
    one = wanted(shopper, ("laces", 1), ("sneaker", 1))
    for line in one.lines:
        await stock.hold(rebuild.key("drop", line.sku), rid=one.rid, shopper=shopper, qty=1, limit=2)
    await ledger.write_together(holds.take, one)
    note = Note("expiry", NOW_MS)
    await ledger.write(lambda c: holds.release(c, [one.rid], HoldState.HELD, HoldState.EXPIRED, note))
    return one.rid


async def avail(redis: ScriptRunner) -> tuple[int, int]:
    found = [await redis.client.hget(f"inv:{{drop:{sku}}}:st", "avail") for sku in ("sneaker", "laces")]
    return int(found[0] or 0), int(found[1] or 0)


async def due(ledger: Ledger) -> int:
    wanted = select(outbox).where(outbox.c.next_ms.is_not(None), outbox.c.kind == "release")
    return len(await ledger.read(lambda c: c.execute(wanted).all()))


async def test_all_lines_of_all_holds_come_back(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    for shopper in ("a", "b", "c"):
        await given_back(ledger, stock, rebuild, shopper)
    assert await avail(redis) == (7, 7)

    await Outbox(ledger, stock, rebuild).deliver()

    assert (await avail(redis), await due(ledger)) == ((10, 10), 0)


async def test_what_is_delivered_twice_counts_once(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    await given_back(ledger, stock, rebuild)
    post = Outbox(ledger, stock, rebuild)
    await post.deliver()
    await ledger.write(lambda c: c.execute(update(outbox).values(next_ms=0)).rowcount)  # the mark was lost

    await post.deliver()

    assert await avail(redis) == (10, 10)


async def test_what_cannot_be_delivered_stays_due(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    await given_back(ledger, stock, rebuild)
    await redis.client.flushdb()
    post = Outbox(ledger, stock, rebuild)

    await post.deliver()
    assert await due(ledger) == 1

    assert not rebuild.is_loaded, "who meets lost stock says so"
    await post.deliver()
    assert await due(ledger) == 1
    await rebuild.step()
    await post.deliver()
    assert (await avail(redis), await due(ledger)) == ((10, 10), 0)


async def test_units_of_a_sale_that_is_over_and_gone_keep_nobody_waiting(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    await given_back(ledger, stock, rebuild)
    of_another = replace(sale(), name="later")
    await Catalogue(ledger, [of_another]).seed()
    its_own = Rebuild(ledger, stock, [of_another])
    await its_own.step()

    await Outbox(ledger, stock, its_own).deliver()
    assert await due(ledger) == 1, "it is for a till that still has the sale"
    await redis.client.hincrby("inv:{later:sneaker}:st", "avail", 5)
    await Reconciler(ledger, stock, its_own, [of_another]).step()

    assert await redis.client.hget("inv:{later:sneaker}:st", "avail") == "10"
