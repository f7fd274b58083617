"""Hold Redis against the ledger once, for somebody who looks: the till does it by itself while it is quiet."""

from collections.abc import Collection
from functools import partial

from sqlalchemy import Connection, select

from inventory_backend.differences import Difference, Kind, Repair
from inventory_backend.ledger import supply
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import outbox, sale
from inventory_backend.ledger.supply import Supply
from inventory_backend.sales import Sale
from inventory_backend.stock import shoppers
from inventory_backend.stock.stock import Reconcile, Stock, StockKey


async def compared(
    ledger: Ledger, stock: Stock, sales: Collection[Sale], *, is_mended: bool = False
) -> list[Difference]:
    """Return the stock lines that differ; those that stand still are mended if `is_mended` says so.

    Raises:
        StoreUnavailable: Redis or the ledger does not answer, or the stock is not loaded.
    """
    found = []
    for one in sales:
        for name in one.shard_names:
            for compare in (_compared, _shoppers):
                difference = await compare(ledger, stock, one.name, name, is_mended=is_mended)
                if difference is not None:
                    found.append(difference)
    return found


async def _compared(ledger: Ledger, stock: Stock, sale: str, name: str, *, is_mended: bool) -> Difference | None:
    epoch = await ledger.read(partial(_epoch, name=sale))
    key = StockKey(sale, name, epoch)
    seen = await stock.mutations(key)
    counted, is_quiet = await stock.look(key)
    units = await ledger.read(partial(_settled, key=key))
    if units is None or not is_quiet or counted == units.free:
        return None
    repair = Repair.MEND
    if is_mended:
        word, _ = await stock.reconcile(key, units, seen=seen)
        if word is Reconcile.AGREED:
            return None
        repair = Repair.MEND if word is Reconcile.MENDED else Repair.LOOK
    return Difference(Kind.STOCK, f"{sale}/{name}", f"{units.free} free", f"{counted} free", repair)


async def _shoppers(ledger: Ledger, stock: Stock, sale: str, name: str, *, is_mended: bool) -> Difference | None:
    key = StockKey(sale, name, await ledger.read(partial(_epoch, name=sale)))
    found = await shoppers.differing(ledger, stock, key)
    if not found.shoppers:
        return None
    repair = Repair.LOOK if is_mended and not await shoppers.mend(stock, key, found) else Repair.MEND
    told = f"{len(found.over)} holds too many, {len(found.counts)} shoppers counted wrong"
    return Difference(Kind.SHOPPERS, f"{sale}/{name}", "right", told, repair)


def _epoch(connection: Connection, name: str) -> int:
    return int(connection.execute(select(sale.c.epoch).where(sale.c.sale == name)).scalar_one_or_none() or 0)


def _settled(connection: Connection, key: StockKey) -> Supply | None:
    """Return the units; None while some given back are on their way to Redis."""
    on_its_way = select(outbox.c.id).where(outbox.c.next_ms.is_not(None), outbox.c.kind == "release").limit(1)
    if connection.execute(on_its_way).first() is not None:
        return None
    return supply.supplies(connection).get((key.sale, key.sku))
