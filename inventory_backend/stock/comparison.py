"""Hold Redis against the ledger once, for somebody who looks: the till does it by itself while it is quiet."""

from collections.abc import Collection
from functools import partial

from sqlalchemy import Connection, select

from inventory_backend.differences import Difference, Kind, Repair
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import outbox, sale, sku
from inventory_backend.sales import Sale
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
        for name in one.skus:
            difference = await _compared(ledger, stock, one.name, name, is_mended=is_mended)
            if difference is not None:
                found.append(difference)
    return found


async def _compared(ledger: Ledger, stock: Stock, sale: str, name: str, *, is_mended: bool) -> Difference | None:
    epoch = await ledger.read(partial(_epoch, name=sale))
    key = StockKey(sale, name, epoch)
    seen = await stock.mutations(key)
    counted, is_quiet = await stock.look(key)
    free = await ledger.read(partial(_free, sale_name=sale, name=name))
    if free is None or not is_quiet or counted == free:
        return None
    repair = Repair.MEND
    if is_mended:
        word, _ = await stock.reconcile(key, seen=seen, free=free)
        if word is Reconcile.AGREED:
            return None
        repair = Repair.MEND if word is Reconcile.MENDED else Repair.LOOK
    return Difference(Kind.STOCK, f"{sale}/{name}", f"{free} free", f"{counted} free", repair)


def _epoch(connection: Connection, name: str) -> int:
    return int(connection.execute(select(sale.c.epoch).where(sale.c.sale == name)).scalar_one_or_none() or 0)


def _free(connection: Connection, sale_name: str, name: str) -> int | None:
    """Return the free units; None while some given back are on their way to Redis."""
    on_its_way = select(outbox.c.id).where(outbox.c.next_ms.is_not(None), outbox.c.kind == "release").limit(1)
    if connection.execute(on_its_way).first() is not None:
        return None
    own = (sku.c.sale == sale_name, sku.c.sku == name)
    found = connection.execute(select(sku.c.total - sku.c.allocated).where(*own)).scalar_one_or_none()
    return None if found is None else int(found)
