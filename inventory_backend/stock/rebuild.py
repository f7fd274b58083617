"""Put Redis back from the ledger: at the start, after a restart of Redis, and when it lost or mixed up its stock.

A sale has an epoch in the ledger: one life of its stock in Redis. A rebuild raises it, loads everything, opens, and
only then writes down on which server that life is open (W10): who still knows the old one is fenced, and nothing is
sold meanwhile. One till at a time does it, under a lease; the others, and those that start later, find the life open
and take it over as it is.
"""

import logging
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import Connection, select, update

from inventory_backend.counters import REBUILDS
from inventory_backend.ledger import leases
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import line, reservation, sale, sku
from inventory_backend.ledger.supply import Supply
from inventory_backend.sales import COUNTED, Sale
from inventory_backend.stock.stock import Stock, StockKey, StockNotLoaded
from waitroom.kernel.errors import StoreUnavailable

log = logging.getLogger(__name__)

LEASE = "stock"
LEASE_MS = 5_000
"""How long the others wait for a till that died while it loaded."""
_RENEW_MS = 1_500


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The stock of one sale as the ledger has it, at the beginning of a life."""

    epoch: int
    units: Mapping[str, Supply]
    holds: Mapping[str, list[tuple[str, str, int]]]


class Rebuild:
    """Which life of each stock Redis has, and whether it still has it."""

    def __init__(self, ledger: Ledger, stock: Stock, sales: Collection[Sale]) -> None:
        """Nothing is loaded yet: every sale is closed until `step` has found it in Redis, or put it there."""
        self._ledger = ledger
        self._stock = stock
        self._sales = sales
        self._epochs: dict[str, int] = {}
        self._server = ""
        self._holder = str(uuid4())
        self._renewed_ms = 0

    @property
    def sales(self) -> list[str]:
        """The names of the sales that Redis has the stock of."""
        return [one.name for one in self._sales]

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
        """Somebody met stock that is unloaded or fenced: sell none of it until it is found or put back."""
        if self._epochs.get(lost.sale) == lost.epoch:  # else it was put back meanwhile
            del self._epochs[lost.sale]

    async def step(self) -> None:
        """Look whether Redis is still the server it was, and find or put back what is missing."""
        if self._stock.fence.has_refused:
            self._epochs = {}  # before anybody else is let through
            self._stock.fence.open()
        server = await self._stock.server_id()
        if server != self._server:
            self._epochs = {}
            self._server = server
        self._stock.fence.keep_to(server)
        await self._take_over()
        if not self.is_loaded and await self._has_lease():
            try:
                await self._take_over()  # another till may have done it a moment ago
                for one in self._missing():
                    await self._load(one)
            finally:
                with suppress(StoreUnavailable):  # then it runs out
                    await self._ledger.write(lambda connection: leases.give_back(connection, LEASE, self._holder))

    def _missing(self) -> list[Sale]:
        return [one for one in self._sales if one.name not in self._epochs]

    async def _take_over(self) -> None:
        """Go on in the lives that are open on this server."""
        if not (missing := self._missing()):
            return
        lives = await self._ledger.read(_lives)
        for one in missing:
            epoch, server = lives[one.name]
            if server == self._server and await self._is_open(one, epoch):
                self._epochs[one.name] = epoch
                log.info("stock taken over", extra={"sale": one.name, "epoch": epoch})

    async def _is_open(self, one: Sale, epoch: int) -> bool:
        try:
            for name in one.shard_names:
                await self._stock.mutations(StockKey(one.name, name, epoch))
        except StockNotLoaded:
            return False
        return True

    async def _load(self, one: Sale) -> None:
        """Begin a new life, load it, and open it for all tills."""
        server = self._server
        snapshot = await self._ledger.write(lambda connection: _new_life(connection, one.name))
        for name, units in snapshot.units.items():
            key = StockKey(one.name, name, snapshot.epoch)
            await self._stock.load(key, units, snapshot.holds.get(name, []), beat=self._renew)
        if await self._stock.server_id() != server:
            raise StoreUnavailable("redis changed while the stock was loaded")
        if not await self._ledger.write(lambda connection: _opened(connection, one.name, snapshot.epoch, server)):
            raise StoreUnavailable("another till began a later life")
        self._epochs[one.name] = snapshot.epoch
        REBUILDS.labels(one.name).inc()
        log.info("stock loaded", extra={"sale": one.name, "epoch": snapshot.epoch})

    async def _renew(self) -> None:
        if self._ledger.now_ms() >= self._renewed_ms + _RENEW_MS and not await self._has_lease():
            raise StoreUnavailable("the lease went to another till")

    async def _has_lease(self) -> bool:
        self._renewed_ms = now_ms = self._ledger.now_ms()
        until_ms = now_ms + LEASE_MS
        return await self._ledger.write(
            lambda connection: leases.take(connection, LEASE, self._holder, now_ms, until_ms)
        )


def _lives(connection: Connection) -> dict[str, tuple[int, str | None]]:
    return {row.sale: (row.epoch, row.server) for row in connection.execute(select(sale))}


def _new_life(connection: Connection, name: str) -> Snapshot:
    """Begin a life, and return what is in it; no till takes or gives back a unit until this is committed."""
    connection.execute(update(sale).where(sale.c.sale == name).values(epoch=sale.c.epoch + 1, server=None))
    epoch = connection.execute(select(sale.c.epoch).where(sale.c.sale == name)).scalar_one()
    locked = select(sku).where(sku.c.sale == name).order_by(sku.c.sku).with_for_update()
    units = {row.sku: Supply(row.total, row.allocated, row.version) for row in connection.execute(locked)}
    live = (
        select(line.c.sku, reservation.c.rid, reservation.c.shopper, line.c.qty)
        .join(reservation)
        .where(reservation.c.sale == name, reservation.c.state.in_(COUNTED))
    )
    holds: dict[str, list[tuple[str, str, int]]] = {}
    for row in connection.execute(live):
        holds.setdefault(row.sku, []).append((row.rid, row.shopper, row.qty))
    return Snapshot(epoch, units, holds)


def _opened(connection: Connection, name: str, epoch: int, server: str) -> bool:
    """Write down that a life is open; False when a later one has begun."""
    opened = update(sale).where(sale.c.sale == name, sale.c.epoch == epoch)
    return connection.execute(opened.values(server=server)).rowcount == 1
