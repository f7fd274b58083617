"""The Python face of lua/stock/: which buyers get as far as the ledger. Redis admits, the ledger decides.

Everything in here may be lost: the worst that follows is a "sold out" too many, or a slow minute.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from inventory_backend.ledger.supply import Supply
from inventory_backend.stock.fence import Fence
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner, answering

SOFT_HOLD_MS = 10_000
"""How long a hold stands that the ledger has not confirmed: longer than a group commit can take."""
_CHUNK = 1000
"""Holds loaded in one call: about a millisecond of Redis."""
_SWEPT = 200

LiveHold = tuple[str, str, int]
"""Reservation id, shopper, quantity."""
Beat = Callable[[], Awaitable[None]]
"""What a long load does now and then, so that others know it lives."""


class Hold(StrEnum):
    """What `stock/hold` replies."""

    HELD = "held"
    AGAIN = "again"
    SOLD_OUT = "sold-out"
    LIMIT_REACHED = "limit-reached"


class Reconcile(StrEnum):
    """What `stock/reconcile` replies."""

    AGREED = "agreed"
    MENDED = "mended"
    MOVED = "moved"
    BUSY = "busy"


class Recount(StrEnum):
    """What `stock/recount` replies."""

    RECOUNTED = "recounted"
    MOVED = "moved"
    BUSY = "busy"


@dataclass(frozen=True, slots=True)
class Holders:
    """Who has how many units: the holds that the ledger confirmed, and what is counted for each shopper."""

    durable: Mapping[str, int]
    counts: Mapping[str, int]
    is_quiet: bool


class StockNotLoaded(StoreUnavailable):
    """Redis has no stock, or another life of it: it must be loaded again from the ledger."""

    def __init__(self, word: str) -> None:
        """Answer 503: loading takes a moment, and nothing was promised."""
        super().__init__(f"stock is {word}", retry_after_s=1)


@dataclass(frozen=True, slots=True)
class StockKey:
    """One stock line of one life: the epoch that its caller knows."""

    sale: str
    sku: str
    epoch: int

    def names(self, *parts: str) -> list[str]:
        """Return the keys of this stock; the hash tag keeps them on one shard of a cluster."""
        return [f"inv:{{{self.sale}:{self.sku}}}:{part}" for part in parts]


class Stock:
    """The scripts of lua/stock/, one method a move; all are safe to repeat."""

    def __init__(self, scripts: ScriptRunner, *, fence: Fence | None = None, now_ms: int = 0) -> None:
        """Run `scripts`, whose new connections `fence` looks at; `now_ms` 0 is the clock of Redis, as in production."""
        self._scripts = scripts
        self.fence = fence or Fence()
        self._now_ms = now_ms

    async def hold(self, key: StockKey, *, rid: str, shopper: str, qty: int, limit: int) -> Hold:
        """Set `qty` units aside, softly."""
        args = (key.epoch, rid, shopper, qty, limit, SOFT_HOLD_MS, self._now_ms)
        return Hold((await self._run("hold", key, ("st", "h", "x", "u"), args))[0])

    async def confirm(self, key: StockKey, rids: Sequence[str]) -> int:
        """Make soft holds durable and return how many still stand."""
        return int((await self._run("confirm", key, ("st", "h", "x"), (key.epoch, json.dumps(list(rids)))))[1])

    async def release(self, key: StockKey, rid: str, *, kept: int = 0) -> int:
        """Give the units of `rid` back but for `kept`, and return how many it had; 0 when it was done before."""
        reply = await self._run("release", key, ("st", "h", "x", "u"), (key.epoch, rid, kept))
        return int(reply[1]) if reply[0] == "released" else 0

    async def offer(self, key: StockKey, *, rid: str, shopper: str, qty: int, seen: int) -> bool:
        """Write down what the ledger holds for somebody of the waitlist; `seen` of the units were free here."""
        args = (key.epoch, rid, shopper, qty, seen)
        return bool((await self._run("offer", key, ("st", "h", "u"), args))[0] == "offered")

    async def sweep(self, key: StockKey) -> int:
        """Give back the soft holds that lapsed and return how many."""
        reply = await self._run("sweep", key, ("st", "h", "x", "u"), (key.epoch, _SWEPT, self._now_ms))
        return int(reply[1])

    async def load(self, key: StockKey, units: Supply, holds: Sequence[LiveHold], *, beat: Beat | None = None) -> None:
        """Put the stock as the ledger has it, with `beat` after each chunk of `holds`."""
        await self._load(key, "begin", units, [])
        for start in range(0, len(holds), _CHUNK):
            await self._load(key, "add", units, holds[start : start + _CHUNK])
            if beat is not None:
                await beat()
        await self._load(key, "open", units, [])

    async def resize(self, key: StockKey, units: Supply) -> int:
        """Take over how many units there are, and return by how many more, or fewer, are free; 0 when it was known."""
        reply = await self._run("resize", key, ("st",), (key.epoch, units.total, units.version))
        return int(reply[1]) if reply[0] == "resized" else 0

    async def mutations(self, key: StockKey) -> int:
        """Return the number of changes so far, to tell `reconcile` what was seen."""
        return int((await self._run("reconcile", key, ("st", "x"), (key.epoch, -1, 0, 0, 0)))[1])

    async def reconcile(self, key: StockKey, units: Supply, *, seen: int) -> tuple[Reconcile, int]:
        """Take over `units` if nothing moved since `seen`; the number is the drift when it was mended."""
        args = (key.epoch, seen, units.free, units.total, units.version)
        word, number = await self._run("reconcile", key, ("st", "x"), args)
        return Reconcile(word), int(number)

    async def look(self, key: StockKey) -> tuple[int, bool]:
        """Return the free units as they are counted, and whether no soft hold is on its way into the ledger.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        st, soft = key.names("st", "x")
        with answering():
            counted, waiting = await self._scripts.client.hget(st, "avail"), await self._scripts.client.zcard(soft)
        return int(counted or 0), waiting == 0

    async def free(self, keys: Sequence[StockKey]) -> list[int]:
        """Return the free units of each of `keys` as they are counted, none where that is no number.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return [max(0, _whole(units)) for units in await self._states(keys, "avail")]

    async def totals(self, keys: Sequence[StockKey]) -> list[int]:
        """Return how many units there are of each of `keys`, as Redis was told; -1 where it knows nothing.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        return [_whole(units) for units in await self._states(keys, "total")]

    async def holders(self, key: StockKey) -> Holders:
        """Return who has how many, read piece by piece: what moves meanwhile is in it, or not.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        held, counted = key.names("h", "u")
        client = self._scripts.client
        with answering():
            found = {rid: text async for rid, text in client.hscan_iter(held, count=_CHUNK)}
            counts = {shopper: _whole(qty) async for shopper, qty in client.hscan_iter(counted, count=_CHUNK)}
        parts = {rid: (*text.split("|", 2), "", "") for rid, text in found.items()}
        durable = {rid: _whole(part[0]) for rid, part in parts.items() if part[1] == "durable"}
        return Holders(durable, counts, is_quiet=all(part[1] != "soft" for part in parts.values()))

    async def recount(self, key: StockKey, counts: Mapping[str, int], *, seen: int) -> bool:
        """Set what shoppers have to `counts` if nothing moved since `seen`; False when it did."""
        listed = list(counts.items())
        for start in range(0, len(listed), _CHUNK):
            args = (key.epoch, seen, json.dumps(listed[start : start + _CHUNK]))
            reply = await self._run("recount", key, ("st", "x", "u"), args)
            if Recount(reply[0]) is not Recount.RECOUNTED:
                return False
            seen = int(reply[1])
        return True

    async def server_id(self) -> str:
        """Return what changes when the server restarts, or when another takes its place.

        Raises:
            StoreUnavailable: it does not answer.
        """
        return await self._scripts.identity()

    async def holding(self, keys: Sequence[StockKey], rid: str) -> list[bool]:
        """Return of each of `keys` whether units of it are held for the reservation `rid`.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        asked = self._scripts.client.pipeline(transaction=False)
        for key in keys:
            _ = asked.hexists(key.names("h")[0], rid)
        with answering():
            return [bool(found) for found in await asked.execute()]

    async def _states(self, keys: Sequence[StockKey], field: str) -> list[str]:
        asked = self._scripts.client.pipeline(transaction=False)
        for key in keys:
            _ = asked.hget(key.names("st")[0], field)
        with answering():
            return [found or "" for found in await asked.execute()]

    async def _load(self, key: StockKey, stage: str, units: Supply, holds: Sequence[LiveHold]) -> None:
        args = (key.epoch, stage, units.free, units.total, units.version, json.dumps(holds))
        await self._run("load", key, ("st", "h", "x", "u"), args)

    async def _run(self, move: str, key: StockKey, keys: Sequence[str], args: Sequence[str | int]) -> Any:
        reply = await self._scripts.run(f"stock/{move}", keys=key.names(*keys), args=args)
        if reply[0] in {"unloaded", "fenced"}:
            raise StockNotLoaded(reply[0])
        return reply


def _whole(text: str) -> int:
    """Return a count; -1, which nobody has, for what is none any more."""
    return int(text) if text.isascii() and text.isdigit() else -1
