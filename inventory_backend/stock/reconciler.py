"""Compare Redis with the ledger while it is quiet, and mend what drifted: the ledger is right."""

import logging
from collections.abc import Collection

from sqlalchemy import Connection, select

from inventory_backend.counters import DRIFT
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import outbox, sku
from inventory_backend.sales import Sale
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Reconcile, Stock, StockKey

log = logging.getLogger(__name__)


class Reconciler:
    """Each stock line, looked at in turn."""

    def __init__(self, ledger: Ledger, stock: Stock, rebuild: Rebuild, sales: Collection[Sale]) -> None:
        """Compare `stock` with `ledger`, in the life of the stock that `rebuild` knows."""
        self._ledger = ledger
        self._stock = stock
        self._rebuild = rebuild
        self._sales = sales

    async def step(self) -> None:
        """Look at every stock line once: give back what nobody confirmed, then compare."""
        if not self._rebuild.is_loaded:
            return
        for one in self._sales:
            for name in one.skus:
                key = self._rebuild.key(one.name, name)
                await self._stock.sweep(key)
                await self._compare(key)

    async def _compare(self, key: StockKey) -> None:
        seen = await self._stock.mutations(key)
        free = await self._ledger.read(lambda connection: _free(connection, key))
        if free is None:
            return
        word, drift = await self._stock.reconcile(key, seen=seen, free=free)
        if word in {Reconcile.AGREED, Reconcile.MENDED}:
            DRIFT.labels(key.sale, key.sku).set(drift if word is Reconcile.MENDED else 0)
        if word is Reconcile.MENDED:
            log.warning("stock mended", extra={"sale": key.sale, "sku": key.sku, "drift": drift})


def _free(connection: Connection, key: StockKey) -> int | None:
    """Return the free units; None while some given back are on their way: until then Redis rightly differs."""
    on_its_way = select(outbox.c.id).where(outbox.c.next_ms.is_not(None)).limit(1)
    if connection.execute(on_its_way).first() is not None:
        return None
    wanted = select(sku.c.total - sku.c.allocated).where(sku.c.sale == key.sale, sku.c.sku == key.sku)
    return int(connection.execute(wanted).scalar_one())
