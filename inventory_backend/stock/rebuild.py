"""Put Redis back from the ledger: at the start, after a restart of Redis, and when it lost or mixed up its stock.

A sale has an epoch in the ledger: one life of its stock in Redis. A rebuild raises it, loads everything, and opens;
only then is the new epoch given out (W10): who still knows the old one is fenced, and nothing is sold meanwhile.
"""

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from inventory_backend.counters import REBUILDS
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import line, reservation, sale
from inventory_backend.ledger.supply import Supply, supplies
from inventory_backend.sales import COUNTED, Sale
from inventory_backend.stock.stock import Stock, StockKey, StockNotLoaded
from waitroom.kernel.errors import StoreUnavailable

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The stock of one sale as the ledger has it, at the beginning of a life."""

    epoch: int
    units: Mapping[str, Supply]
    holds: Mapping[str, list[tuple[str, str, int]]]


class Rebuild:
    """Which life of each stock Redis has, and whether it still has it."""

    def __init__(self, ledger: Ledger, stock: Stock, sales: Collection[Sale]) -> None:
        """Nothing is loaded yet: every sale is closed until `step` has put it into Redis."""
        self._ledger = ledger
        self._stock = stock
        self._sales = sales
        self._epochs: dict[str, int] = {}
        self._server = ""

    @property
    def is_loaded(self) -> bool:
        """Whether holds can be taken."""
        return len(self._epochs) == len(self._sales)

    def key(self, sale_name: str, sku_name: str) -> StockKey:
        """Return the stock line in its present life.

        Raises:
            StockNotLoaded: it is being loaded.
        """
        epoch = self._epochs.get(sale_name)
        if epoch is None:
            raise StockNotLoaded("unloaded")
        return StockKey(sale_name, sku_name, epoch)

    def ask(self, lost: StockKey) -> None:
        """Somebody met stock that is unloaded or fenced: sell nothing until it is put back."""
        if self._epochs.get(lost.sale) == lost.epoch:  # else it was put back meanwhile
            self._epochs = {}

    async def step(self) -> None:
        """Look whether Redis is still the server it was, and put back what it lost."""
        server = await self._stock.server_id()
        if server != self._server:
            self._epochs = {}
        if self.is_loaded:
            return
        loaded = {one.name: await self._load(one) for one in self._sales}
        if await self._stock.server_id() != server:
            raise StoreUnavailable("redis changed while the stock was loaded")
        self._server, self._epochs = server, loaded

    async def _load(self, one: Sale) -> int:
        snapshot = await self._ledger.write(lambda connection: _new_life(connection, one.name))
        for name, units in snapshot.units.items():
            key = StockKey(one.name, name, snapshot.epoch)
            await self._stock.load(key, units, snapshot.holds.get(name, []))
        REBUILDS.labels(one.name).inc()
        log.info("stock loaded", extra={"sale": one.name, "epoch": snapshot.epoch})
        return snapshot.epoch


def _new_life(connection: Connection, name: str) -> Snapshot:
    connection.execute(update(sale).where(sale.c.sale == name).values(epoch=sale.c.epoch + 1))
    epoch = connection.execute(select(sale.c.epoch).where(sale.c.sale == name)).scalar_one()
    units = {sku: found for (of, sku), found in supplies(connection).items() if of == name}
    live = (
        select(line.c.sku, reservation.c.rid, reservation.c.shopper, line.c.qty)
        .join(reservation)
        .where(reservation.c.sale == name, reservation.c.state.in_(COUNTED))
    )
    holds: dict[str, list[tuple[str, str, int]]] = {}
    for row in connection.execute(live):
        holds.setdefault(row.sku, []).append((row.rid, row.shopper, row.qty))
    return Snapshot(epoch, units, holds)
