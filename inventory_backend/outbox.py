"""Tell Redis what the ledger has decided: units given back reach the stock after their commit, at least once (W6)."""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, select, update

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import outbox, reservation
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Stock, StockKey, StockNotLoaded
from waitroom.kernel.errors import StoreUnavailable

_MOST = 200


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one reservation: its units are free again, or it was offered to somebody who waits."""

    serial: int
    kind: str
    rid: str
    payload: Mapping[str, Any]


class Outbox:
    """What is committed in the ledger and not yet known to Redis."""

    def __init__(self, ledger: Ledger, stock: Stock, rebuild: Rebuild) -> None:
        """Carry from `ledger` to `stock`, in the life of the stock that `rebuild` knows."""
        self._ledger = ledger
        self._stock = stock
        self._rebuild = rebuild

    async def deliver(self) -> None:
        """Deliver what is due; what fails stays due, and what is delivered twice counts once."""
        due = await self._ledger.read(partial(_due, sales=self._rebuild.sales))
        if not due or not self._rebuild.is_loaded:
            return
        of: dict[str, list[Told]] = {}
        for told in due:
            of.setdefault(told.rid, []).append(told)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._delivered(story)) for story in of.values()]
        done = [serial for task in tasks for serial in task.result()]
        if done:
            now_ms = self._ledger.now_ms()
            await self._ledger.write(lambda connection: _mark_done(connection, done, now_ms))

    async def _delivered(self, story: Sequence[Told]) -> list[int]:
        """Tell what became of one reservation in its order, and return what was told."""
        done = list[int]()
        try:
            for told in story:
                await self._tell(told)
                done.append(told.serial)
        except StoreUnavailable:  # Redis is gone, or is being loaded: the next round tells it again
            pass
        return done

    async def _tell(self, told: Told) -> None:
        payload = told.payload
        if told.kind == "offer":
            for sku, units in payload["units"].items():
                key = self._rebuild.key(payload["sale"], sku)
                with self._noticed(key):
                    await self._stock.offer(key, rid=told.rid, shopper=payload["shopper"], **units)
            return
        for sku in payload["skus"]:
            kept = payload.get("kept", {}).get(sku, 0)  # a version before the waitlist wrote none
            key = self._rebuild.key(payload["sale"], sku)
            with self._noticed(key):
                await self._stock.release(key, told.rid, kept=kept)

    @contextmanager
    def _noticed(self, key: StockKey) -> Iterator[None]:
        try:
            yield
        except StockNotLoaded:
            self._rebuild.ask(key)
            raise


def _due(connection: Connection, sales: Sequence[str]) -> list[Told]:
    """Return what is due of `sales`: Redis has no stock of one that was taken out of the configuration."""
    due = (outbox.c.next_ms.is_not(None), outbox.c.kind.in_(["release", "offer"]), reservation.c.sale.in_(sales))
    wanted = select(outbox).join(reservation).where(*due).order_by(outbox.c.next_ms, outbox.c.id)
    rows = connection.execute(wanted.limit(_MOST))
    return [Told(row.id, row.kind, row.rid, json.loads(row.payload)) for row in rows]


def _mark_done(connection: Connection, serials: Sequence[int], now_ms: int) -> None:
    connection.execute(update(outbox).where(outbox.c.id.in_(serials)).values(next_ms=None, done_ms=now_ms))
