"""The counter in front of the ledger: every line of a request passes Redis, or none does.

What passes is a soft hold. It is made durable once the ledger has it, given back when the ledger refuses, and lapses by
itself when this process dies in between.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from inventory_backend.sales import Line, Sale
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.shards import Shards
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
    """What Redis says: all lines HELD, or AGAIN where it knew some of them.

    `lines` name the shards where they are held; `fresh` are those of them that Redis did not know.
    """

    word: Hold
    lines: tuple[Line, ...] = ()
    fresh: tuple[Line, ...] = ()


class Counter:
    """Soft holds over all the lines of one request."""

    def __init__(self, stock: Stock, rebuild: Rebuild, shards: Shards) -> None:
        """Hold in `stock`, in the life of it that `rebuild` knows; `shards` say where to look first."""
        self._stock = stock
        self._rebuild = rebuild
        self._shards = shards
        self._errands = Errands()
        self._promised: dict[StockKey, list[str]] = {}

    async def hold(self, sale: Sale, lines: Sequence[Line], rid: str, shopper: str) -> Passed:
        """Set all `lines` aside, or none: then the word of the line that did not pass.

        Raises:
            StoreUnavailable: Redis is gone, or is being loaded.
        """
        held: list[Line] = []
        fresh: list[Line] = []
        try:
            for line in lines:
                word, where = await self._hold(sale, line, rid, shopper)
                if word in {Hold.SOLD_OUT, Hold.LIMIT_REACHED}:
                    self.release(sale, fresh, rid)
                    return Passed(word)
                held.append(where)
                if word is Hold.HELD:
                    fresh.append(where)
        except StoreUnavailable:
            self.release(sale, fresh, rid)
            raise
        return Passed(Hold.HELD if len(fresh) == len(held) else Hold.AGAIN, tuple(held), tuple(fresh))

    async def gather(self, sale: Sale, lines: Sequence[Line], rid: str) -> bool:
        """Give soft holds back that the ledger has no units for, and let some come; False when there are none.

        Redis counted more on a shard than there are, and the units may lie on another.

        Raises:
            StoreUnavailable: Redis or the ledger does not answer.
        """
        if all(sale.skus[line.sku].shards == 1 for line in lines):
            return False
        await self._release(self._keys(sale, lines), rid)
        return await self._shards.gather(sale, lines)

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

    async def _hold(self, sale: Sale, line: Line, rid: str, shopper: str) -> tuple[Hold, Line]:
        """Hold on the first shard that has enough; where none has, what lies scattered is gathered."""
        sku = sale.skus[line.sku]
        if sku.shards == 1:
            return await self._hold_here(sale, line, rid, shopper), line
        home, *others = [replace(line, shard=number) for number in self._shards.in_order(sku)]
        if (word := await self._hold_here(sale, home, rid, shopper)) is not Hold.SOLD_OUT:
            return word, home
        keys = [self._rebuild.key(sale.name, where.shard_name) for where in (home, *others)]
        free = await self._stock.free(keys)
        for where in [where for where, units in zip(others, free[1:], strict=True) if units >= line.qty]:
            if (word := await self._hold_here(sale, where, rid, shopper)) is not Hold.SOLD_OUT:
                self._shards.runs_dry(sale, line.sku)
                return word, where
        if line.qty > 1 and sum(free) >= line.qty and await self._shards.gather(sale, [line]):
            word = await self._hold_here(sale, home, rid, shopper)
        if word is Hold.SOLD_OUT and True in (held := await self._stock.holding(keys, rid)):
            return Hold.AGAIN, (home, *others)[held.index(True)]  # another till has begun the same request
        return word, home

    async def _hold_here(self, sale: Sale, line: Line, rid: str, shopper: str) -> Hold:
        key = self._rebuild.key(sale.name, line.shard_name)
        limit = sale.limit_per_shopper
        try:
            return await self._stock.hold(key, rid=rid, shopper=shopper, qty=line.qty, limit=limit)
        except StockNotLoaded:
            self._rebuild.ask(key)
            raise

    def _keys(self, sale: Sale, lines: Sequence[Line]) -> list[StockKey]:
        try:
            return [self._rebuild.key(sale.name, line.shard_name) for line in lines]
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
