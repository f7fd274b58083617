"""Compare Redis with the ledger while it is quiet, and mend what drifted: the ledger is right."""

import logging
from collections.abc import Collection

from sqlalchemy import Connection, select

from inventory_backend.counters import DRIFT
from inventory_backend.ledger import supply
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import outbox, reservation
from inventory_backend.ledger.supply import Supply
from inventory_backend.sales import Sale
from inventory_backend.stock import shoppers
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Reconcile, Stock, StockKey, StockNotLoaded

log = logging.getLogger(__name__)

_SHOPPERS_MS = 60_000
"""How often it is looked at who has how many; at once where the free units drifted."""


class Reconciler:
    """Each stock line, looked at in turn."""

    def __init__(self, ledger: Ledger, stock: Stock, rebuild: Rebuild, sales: Collection[Sale]) -> None:
        """Compare `stock` with `ledger`, in the life of the stock that `rebuild` knows."""
        self._ledger = ledger
        self._stock = stock
        self._rebuild = rebuild
        self._sales = sales
        self._shoppers_ms: dict[str, int] = {}

    async def step(self) -> None:
        """Look at every stock line once: give back what nobody confirmed, then compare; now and then the shoppers."""
        if not self._rebuild.is_loaded:
            return
        for one in self._sales:
            for name in one.shard_names:
                key = self._rebuild.key(one.name, name)
                try:
                    await self._stock.sweep(key)
                    if await self._compare(key) is Reconcile.MENDED or self._ledger.now_ms() >= self._due_ms(key):
                        await self._compare_shoppers(key)
                except StockNotLoaded:  # lost, and no shopper has met it yet
                    self._rebuild.ask(key)
                    raise

    async def _compare(self, key: StockKey) -> Reconcile | None:
        seen = await self._stock.mutations(key)
        units = await self._ledger.read(lambda connection: _settled(connection, key))
        if units is None:
            return None
        word, drift = await self._stock.reconcile(key, units, seen=seen)
        if word in {Reconcile.AGREED, Reconcile.MENDED}:
            DRIFT.labels(key.sale, key.sku).set(drift if word is Reconcile.MENDED else 0)
        if word is Reconcile.MENDED:
            log.warning("stock mended", extra={"sale": key.sale, "sku": key.sku, "drift": drift})
        return word

    async def _compare_shoppers(self, key: StockKey) -> None:
        found = await shoppers.differing(self._ledger, self._stock, key)
        is_mended = await shoppers.mend(self._stock, key, found)
        if found.shoppers and is_mended:
            facts = {"sale": key.sale, "sku": key.sku, "holds": len(found.over), "shoppers": len(found.counts)}
            log.warning("shoppers' counts mended", extra=facts)
        wait_ms = 0 if found.over or not is_mended else _SHOPPERS_MS
        self._shoppers_ms[key.names("u")[0]] = self._ledger.now_ms() + wait_ms

    def _due_ms(self, key: StockKey) -> int:
        return self._shoppers_ms.get(key.names("u")[0], 0)


def _settled(connection: Connection, key: StockKey) -> Supply | None:
    """Return the units; None while some are on their way, back or to who waits: until then Redis rightly differs."""
    is_news = outbox.c.kind.in_(["release", "offer"])
    pending = (outbox.c.next_ms.is_not(None), is_news, reservation.c.sale == key.sale)
    on_its_way = select(outbox.c.id).join(reservation).where(*pending)
    if connection.execute(on_its_way.limit(1)).first() is not None:
        return None
    return supply.supplies(connection)[key.sale, key.sku]
