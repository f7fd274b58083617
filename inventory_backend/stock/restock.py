"""Let waves of stock arrive when their time comes, and tell Redis of every change of a total, whoever made it."""

import logging
from collections.abc import Collection

from inventory_backend.ledger import supply
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.stock_changes import Name
from inventory_backend.sales import Sale, Wave
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Stock, StockNotLoaded

log = logging.getLogger(__name__)


class Restock:
    """The totals of the ledger on their way to Redis; several tills may see to it at once."""

    def __init__(self, ledger: Ledger, stock: Stock, rebuild: Rebuild, sales: Collection[Sale]) -> None:
        """Look after `sales`, in the life of the stock that `rebuild` knows."""
        self._ledger = ledger
        self._stock = stock
        self._rebuild = rebuild
        self._sales = sales
        self._to_come = [
            ((one.name, each.sku), wave) for one in sales for each in one.skus.values() for wave in each.waves
        ]

    async def step(self) -> None:
        """Let the waves arrive that are due, then tell Redis what it does not know."""
        now_ms = self._ledger.now_ms()
        for name, wave in [one for one in self._to_come if one[1].at_ms <= now_ms]:
            await self._let_arrive(name, wave, now_ms)
            self._to_come.remove((name, wave))
        if self._rebuild.is_loaded:
            await self._tell()

    async def _let_arrive(self, name: Name, wave: Wave, now_ms: int) -> None:
        if await self._ledger.write(lambda connection: supply.arrive(connection, name, wave, now_ms)):
            log.info("wave arrived", extra={"sale": name[0], "sku": name[1], "units": wave.units})

    async def _tell(self) -> None:
        """Tell Redis of the totals that it has otherwise, however often they went to and fro since."""
        found = await self._ledger.read(supply.supplies)
        keys = [self._rebuild.key(one.name, shard) for one in self._sales for shard in one.shard_names]
        for key, total in zip(keys, await self._stock.totals(keys), strict=True):
            units = found[key.sale, key.sku]
            if total == units.total:
                continue
            try:
                by = await self._stock.resize(key, units)
            except StockNotLoaded:
                self._rebuild.ask(key)
                raise
            if by:
                log.info("stock resized", extra={"sale": key.sale, "sku": key.sku, "by": by, "total": units.total})
