"""Sell a split sku from a shard of this till's own, and let units come over from the others when it runs dry.

Which shard is home to a till is settled by leases in the ledger: no two share one while there are enough. That saves
waiting, no more; where units lie, and who may have them, the ledger decides.
"""

import logging
from collections.abc import Iterator, Sequence
from functools import partial
from uuid import uuid4

from sqlalchemy import Connection

from inventory_backend.ledger import leases, shards, supply
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.stock_changes import Name
from inventory_backend.ledger.supply import Supply
from inventory_backend.sales import Line, Sale, Sku
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Stock, StockNotLoaded
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.tasks import Errands, Loop

log = logging.getLogger(__name__)

_LEASE_MS = 15_000
_PERIOD_S = 5
_LIMIT_S = 10
LEAST = 8
"""Units that are worth the way: the last ones are sold where they lie."""
_CLOSE_LIMIT_S = 5


class Shards:
    """Where this till looks for units first, and how they come there."""

    def __init__(
        self, ledger: Ledger, stock: Stock, rebuild: Rebuild, sales: Sequence[Sale], *, least: int = LEAST
    ) -> None:
        """Sell `sales`; until `step` has found a home, it is the first shard. At `least` so many units come over."""
        self._ledger = ledger
        self._stock = stock
        self._rebuild = rebuild
        self._most = max(each.shards for one in sales for each in one.skus.values())
        self._least = least
        self._holder = str(uuid4())
        self._home, self._is_leased = 0, False
        self._errands = Errands()
        self._coming: set[tuple[str, str]] = set()

    def loops(self) -> Iterator[Loop]:
        """Yield the job, where anything is split."""
        if self._most > 1:
            yield Loop("home", self.step, _PERIOD_S, _LIMIT_S)

    async def step(self) -> None:
        """Keep the home, or find one that is nobody's.

        Raises:
            StoreUnavailable: the ledger does not answer.
        """
        now_ms = self._ledger.now_ms()
        wanted = [self._home] if self._is_leased else range(self._most)
        found = await self._ledger.write(partial(self._leased, wanted=wanted, now_ms=now_ms))
        self._is_leased = found is not None
        self._home = self._home if found is None else found

    def in_order(self, each: Sku) -> Sequence[int]:
        """Return the numbers of the shards of `each`, this till's own first."""
        own = self._home % each.shards
        return [*range(own, each.shards), *range(own)]

    def runs_dry(self, sale: Sale, sku: str) -> None:
        """Let units come home, in a moment: others had some, this till had none."""
        if (sale.name, sku) not in self._coming:
            self._coming.add((sale.name, sku))
            _ = self._errands.begin(self._refill(sale, sku), name="refill")

    async def gather(self, sale: Sale, lines: Sequence[Line]) -> bool:
        """Let the units of `lines` come home; False when there are not so many.

        Raises:
            StoreUnavailable: the ledger does not answer, or Redis, which hears of it later then.
        """
        needs = {self._own(sale.skus[one.sku]): one.qty for one in lines}
        now_ms = self._ledger.now_ms()

        def gathered(connection: Connection) -> tuple[dict[str, int], dict[Name, Supply]]:
            return shards.gather(connection, sale.name, needs, now_ms), supply.supplies(connection)

        free, known = await self._ledger.write(gathered)
        await self._tell(sale, {one.sku for one in lines}, known)
        return all(free[name] >= need for name, need in needs.items())

    async def close(self) -> None:
        """Let what is on its way arrive."""
        await self._errands.close(_CLOSE_LIMIT_S)

    def _own(self, each: Sku) -> str:
        return each.shard_names[self._home % each.shards]

    def _leased(self, connection: Connection, wanted: Sequence[int], now_ms: int) -> int | None:
        until_ms = now_ms + _LEASE_MS
        names = ((number, f"home {number}") for number in wanted)
        taken = (number for number, name in names if leases.take(connection, name, self._holder, now_ms, until_ms))
        return next(taken, None)

    async def _refill(self, sale: Sale, sku: str) -> None:
        try:
            name, now_ms = self._own(sale.skus[sku]), self._ledger.now_ms()

            def refilled(connection: Connection) -> dict[Name, Supply] | None:
                has_come = shards.refill(connection, sale.name, name, self._least, now_ms)
                return supply.supplies(connection) if has_come else None

            if (known := await self._ledger.write(refilled)) is not None:
                await self._tell(sale, {sku}, known)
                log.info("units came over", extra={"sale": sale.name, "shard": name})
        except StoreUnavailable:  # moved or not: who knows of it next tells Redis
            log.debug("shard not refilled", extra={"sale": sale.name, "sku": sku})
        finally:
            self._coming.discard((sale.name, sku))

    async def _tell(self, sale: Sale, skus: set[str], known: dict[Name, Supply]) -> None:
        """Tell Redis how many units each shard has now; what it does not hear, the restocking tells it."""
        for name in (name for sku in sorted(skus) for name in sale.skus[sku].shard_names):
            key = self._rebuild.key(sale.name, name)
            try:
                await self._stock.resize(key, known[sale.name, name])
            except StockNotLoaded:
                self._rebuild.ask(key)
                raise
