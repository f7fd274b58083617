"""The counter in front of the ledger: every line of a request passes Redis, or none does.

What passes is a soft hold. It is made durable once the ledger has it, given back when the ledger refuses, and lapses by
itself when this process dies in between.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inventory_backend.sales import Line, Sale
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Hold, Stock, StockKey, StockNotLoaded
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.tasks import Errands

log = logging.getLogger(__name__)

_CLOSE_LIMIT_S = 5
_GATHER_S = 0.02
"""How long confirmations gather: a hold is as good without its own, which only must not come ten seconds late."""
_CHUNK = 200
"""Holds confirmed in one call: a fraction of a millisecond of Redis."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What Redis says: all lines HELD, or AGAIN where it knew some of them; `fresh` are those it did not know."""

    word: Hold
    fresh: tuple[Line, ...]


class Counter:
    """Soft holds over all the lines of one request."""

    def __init__(self, stock: Stock, rebuild: Rebuild) -> None:
        """Hold in `stock`, in the life of it that `rebuild` knows."""
        self._stock = stock
        self._rebuild = rebuild
        self._errands = Errands()
        self._promised: dict[StockKey, list[str]] = {}

    async def hold(self, sale: Sale, lines: Sequence[Line], rid: str, shopper: str) -> Passed:
        """Set all `lines` aside, or none: then the word of the line that did not pass.

        Raises:
            StoreUnavailable: Redis is gone, or is being loaded.
        """
        fresh: list[Line] = []
        try:
            for line in lines:
                word = await self._hold(sale, line, rid, shopper)
                if word in {Hold.SOLD_OUT, Hold.LIMIT_REACHED}:
                    self.release(sale, fresh, rid)
                    return Passed(word, ())
                if word is Hold.HELD:
                    fresh.append(line)
        except StoreUnavailable:
            self.release(sale, fresh, rid)
            raise
        return Passed(Hold.HELD if len(fresh) == len(lines) else Hold.AGAIN, tuple(fresh))

    def confirm(self, sale: Sale, lines: Sequence[Line], rid: str) -> None:
        """Make the soft holds durable, in a moment: the ledger has them.

        What the ledger made true within a moment is told in one call.
        """
        if not self._promised:
            asyncio.get_running_loop().call_later(_GATHER_S, self._tell)
        for key in self._keys(sale, lines):
            self._promised.setdefault(key, []).append(rid)

    def release(self, sale: Sale, lines: Sequence[Line], rid: str) -> None:
        """Give the soft holds back, in a moment: the ledger refused them."""
        _ = self._errands.begin(self._release(self._keys(sale, lines), rid), name="release")

    async def close(self) -> None:
        """Tell what is not told yet, and let what is under way end."""
        self._tell()
        await self._errands.close(_CLOSE_LIMIT_S)

    async def _hold(self, sale: Sale, line: Line, rid: str, shopper: str) -> Hold:
        key = self._rebuild.key(sale.name, line.sku)
        limit = sale.limit_per_shopper
        try:
            return await self._stock.hold(key, rid=rid, shopper=shopper, qty=line.qty, limit=limit)
        except StockNotLoaded:
            self._rebuild.ask(key)
            raise

    def _keys(self, sale: Sale, lines: Sequence[Line]) -> list[StockKey]:
        try:
            return [self._rebuild.key(sale.name, line.sku) for line in lines]
        except StockNotLoaded:  # being put back from the ledger, which knows
            return []

    def _tell(self) -> None:
        promised, self._promised = self._promised, {}
        if promised:
            _ = self._errands.begin(self._confirm(promised), name="confirm")

    async def _confirm(self, promised: Mapping[StockKey, Sequence[str]]) -> None:
        for key, rids in promised.items():
            for start in range(0, len(rids), _CHUNK):
                try:
                    await self._stock.confirm(key, rids[start : start + _CHUNK])
                except (
                    StoreUnavailable
                ):  # losing this only frees the units too early, and the guard of the ledger refuses them
                    log.debug("holds not confirmed", extra={"sku": key.sku, "count": len(rids)})

    async def _release(self, keys: Sequence[StockKey], rid: str) -> None:
        for key in keys:
            try:
                await self._stock.release(key, rid)
            except StoreUnavailable:  # a soft hold lapses by itself
                log.debug("soft hold not given back", extra={"rid": rid})
