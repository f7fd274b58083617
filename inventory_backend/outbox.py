"""Tell Redis what the ledger has decided: units given back reach the stock after their commit, at least once (W6)."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import outbox
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Stock, StockKey, StockNotLoaded
from waitroom.kernel.errors import StoreUnavailable

_MOST = 200


@dataclass(frozen=True, slots=True)
class Told:
    """Units of one reservation that are free again."""

    serial: int
    rid: str
    sale: str
    skus: tuple[str, ...]


class Outbox:
    """What is committed in the ledger and not yet known to Redis."""

    def __init__(self, ledger: Ledger, stock: Stock, rebuild: Rebuild) -> None:
        """Carry from `ledger` to `stock`, in the life of the stock that `rebuild` knows."""
        self._ledger = ledger
        self._stock = stock
        self._rebuild = rebuild

    async def deliver(self) -> None:
        """Deliver what is due; what fails stays due, and what is delivered twice gives back once."""
        due = await self._ledger.read(_due)
        if not due or not self._rebuild.is_loaded:
            return
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._delivered(told)) for told in due]
        done = [told.serial for told, task in zip(due, tasks, strict=True) if task.result()]
        if done:
            await self._ledger.write(lambda connection: _mark_done(connection, done))

    async def _delivered(self, told: Told) -> bool:
        for sku in told.skus:
            try:
                key = self._rebuild.key(told.sale, sku)
                await self._released(key, told.rid)
            except StoreUnavailable:  # Redis is gone, or is being loaded: the next round tells it again
                return False
        return True

    async def _released(self, key: StockKey, rid: str) -> None:
        try:
            await self._stock.release(key, rid)
        except StockNotLoaded:
            self._rebuild.ask(key)
            raise


def _due(connection: Connection) -> list[Told]:
    wanted = select(outbox).where(outbox.c.next_ms.is_not(None), outbox.c.kind == "release")
    found = []
    for row in connection.execute(wanted.order_by(outbox.c.next_ms, outbox.c.id).limit(_MOST)):
        payload = json.loads(row.payload)
        found.append(Told(row.id, row.rid, payload["sale"], tuple(payload["skus"])))
    return found


def _mark_done(connection: Connection, serials: Sequence[int]) -> None:
    connection.execute(update(outbox).where(outbox.c.id.in_(serials)).values(next_ms=None))
