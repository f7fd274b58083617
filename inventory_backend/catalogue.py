"""What is for sale and how much is left, answered from memory: no shopper's look at the shop costs a query."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from sqlalchemy import Connection

from inventory_backend.ledger import supply, waitlist
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.stock_changes import Name
from inventory_backend.ledger.supply import Supply
from inventory_backend.refusals import refused
from inventory_backend.sales import Line, Money, Sale, SaleState, Sku
from waitroom.kernel.prepared import Prepared
from waitroom.kernel.units import spell_instant

_STALE_MS = 5000
_TRUST_MS = 1000
"""From then on "all is gone" is not said from memory any more."""
_LOOK_MS = 1000
"""How often it is looked up at most who had a hold, while the last units go to and fro."""
_PRICED = 1024
_HEADERS = {"Cache-Control": "public, max-age=1"}
_NONE = Supply(total=0, allocated=0, version=0)


@dataclass(frozen=True, slots=True)
class Gone:
    """A sale of which nothing is left: its units as they then were, and who ever had a hold."""

    units: Sequence[Supply]
    had: frozenset[str]


class Catalogue:
    """The sales of this shop and their free units, a fraction of a second old."""

    def __init__(self, ledger: Ledger, sales: Sequence[Sale]) -> None:
        """Know `sales`; their units come with `refresh`."""
        self._ledger = ledger
        self.sales: Mapping[str, Sale] = {one.name: one for one in sales}
        self._supplies: Mapping[Name, Supply] = {}
        self._waiting: Mapping[Name, int] = {}
        self._documents: dict[str, Prepared] = {}
        self._read_ms = 0
        self._gone: dict[str, Gone] = {}
        self._looked_ms = 0
        self._priced = lru_cache(_PRICED)(self._priced_anew)  # a crowd wants the same few things
        self.beat = asyncio.Event()
        """Set once a document has changed; then another takes its place."""

    async def seed(self) -> None:
        """Write sales and skus into the ledger, and apply what changed in the configuration.

        Raises:
            ConfigFault: a total would be below what is held or sold already.
        """
        sales, now_ms = list(self.sales.values()), self._ledger.now_ms()
        await self._ledger.write(lambda connection: supply.seed(connection, sales, now_ms))
        await self._ledger.write(lambda connection: waitlist.renew(connection, sales))

    async def refresh(self) -> None:
        """Read the units of every sku, and prepare the documents anew where they changed."""
        self._supplies, self._waiting = await self._ledger.read(_counted)
        self._read_ms = self._ledger.now_ms()
        await self._look_who_had_some()
        is_news = False
        for name in self.sales:
            body = json.dumps(self.as_json(name), separators=(",", ":")).encode()
            known = self._documents.get(name)
            if known is None or known.body != body:
                self._documents[name] = Prepared(body, "application/json", headers=_HEADERS)
                is_news = True
        if is_news:
            self.wake()

    def wake(self) -> None:
        """Let whoever waits for news look again."""
        beat, self.beat = self.beat, asyncio.Event()
        beat.set()

    async def _look_who_had_some(self) -> None:
        """Keep in mind who ever had a hold of a sale that is gone, as long as nothing moves in it."""
        for name, one in self.sales.items():
            units = [self._supply(name, sku) for sku in one.skus]
            known = self._gone.get(name)
            if any(each.free > 0 for each in units):
                self._gone.pop(name, None)
            elif known is None or known.units != units:
                self._gone.pop(name, None)
                if self._read_ms >= self._looked_ms + _LOOK_MS:
                    had = await self._ledger.read(partial(supply.had_some, sale_name=name))
                    self._gone[name], self._looked_ms = Gone(units, had), self._read_ms

    def is_gone(self, name: str, shopper: str) -> bool:
        """Tell whether nothing is left for `shopper`, who never had a hold of this sale: from memory, a moment old.

        False wherever that is not certain; who had a hold may ask for the answer of that time again.
        """
        known = self._gone.get(name)
        return known is not None and shopper not in known.had and self._ledger.now_ms() - self._read_ms < _TRUST_MS

    @property
    def is_fresh(self) -> bool:
        """Whether the ledger was read a moment ago."""
        return self._ledger.now_ms() - self._read_ms < _STALE_MS

    def document(self, name: str) -> Prepared | None:
        """Return the public document of a sale; None when there is no such sale."""
        return self._documents.get(name)

    def state(self, name: str) -> SaleState:
        """Return the state of a sale now."""
        one = self.sales[name]
        return one.state(self._ledger.now_ms(), {sku: self._supply(name, sku).free for sku in one.skus})

    def is_short(self, name: str) -> bool:
        """Tell whether a sku of the sale is sold out: only then somebody may wait."""
        return any(self._supply(name, sku).free == 0 for sku in self.sales[name].skus)

    def ordered(self, room: str, name: str, wanted: Sequence[tuple[str, int]]) -> tuple[Sale, tuple[Line, ...]]:
        """Return the sale `name` and `wanted` (sku, qty) of it, priced, for somebody who came in by `room`.

        Raises:
            Refused: unknown-sale, no-pass, unknown-sku, sale-not-active, limit-reached.
        """
        sale = self.sales.get(name)
        if sale is None:
            raise refused("unknown-sale")
        if room != sale.room:
            raise refused("no-pass")
        lines, units = self._priced(name, tuple(wanted))
        if not lines:
            raise refused("unknown-sku")
        if not sale.is_open(self._ledger.now_ms()):
            raise refused("sale-not-active", sale=name, state=self.state(name))
        if units > sale.limit_per_shopper:
            limits = {"limit_per_shopper": sale.limit_per_shopper, "limit_per_identity": sale.limit_per_identity}
            told = {limit: units for limit, units in limits.items() if units is not None}
            raise refused("limit-reached", sale=name, **told)
        return sale, lines

    def _priced_anew(self, name: str, wanted: tuple[tuple[str, int], ...]) -> tuple[tuple[Line, ...], int]:
        """Return the lines and their units, none where the sale has no such sku: prices stay as long as we run."""
        sale = self.sales[name]
        if any(sku not in sale.skus for sku, _ in wanted):
            return (), 0
        lines = sale.priced(wanted)
        return lines, sum(line.qty for line in lines)

    def as_json(self, name: str) -> dict[str, object]:
        """Return a sale as shoppers' clients read it."""
        one = self.sales[name]
        return {
            "sale": name,
            "title": one.title,
            "state": self.state(name),
            "starts_at": None if one.starts_ms is None else spell_instant(one.starts_ms),
            "ends_at": None if one.ends_ms is None else spell_instant(one.ends_ms),
            "limit_per_shopper": one.limit_per_shopper,
            "hold_s": one.hold_ms // 1000,
            "has_waitlist": one.max_waitlist > 0,
            "skus": [self._sku_json(one, each) for each in one.skus.values()],
        }

    def _sku_json(self, one: Sale, each: Sku) -> dict[str, object]:
        units, next_ms = self._supply(one.name, each.sku), each.next_wave_ms(self._ledger.now_ms())
        return {
            "sku": each.sku,
            "name": each.name,
            "description": each.description,
            "price": Money(each.price, one.currency).as_json(),
            "available": units.free,
            "total": units.total,
            "next_wave_at": None if next_ms is None else spell_instant(next_ms),
            "waited_for": self._waiting.get((one.name, each.sku), 0),
        }

    def _supply(self, name: str, sku: str) -> Supply:
        return self._supplies.get((name, sku), _NONE)


def _counted(connection: Connection) -> tuple[Mapping[Name, Supply], Mapping[Name, int]]:
    """Return the units of every sku, and how many are waited for."""
    return supply.by_sku(supply.supplies(connection)), waitlist.counts(connection)
