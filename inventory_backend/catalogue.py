"""What is for sale and how much is left, answered from memory: no shopper's look at the shop costs a query."""

import json
from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import sale, sku
from inventory_backend.sales import Money, Sale, SaleState
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.prepared import Prepared
from waitroom.kernel.units import spell_instant

_STALE_MS = 5000
_HEADERS = {"Cache-Control": "public, max-age=1"}


class Catalogue:
    """The sales of this shop and their free units, a fraction of a second old."""

    def __init__(self, ledger: Ledger, sales: Sequence[Sale]) -> None:
        """Know `sales`; the free units come with `refresh`."""
        self._ledger = ledger
        self.sales: Mapping[str, Sale] = {one.name: one for one in sales}
        self._free: dict[str, dict[str, int]] = {one.name: dict.fromkeys(one.skus, 0) for one in sales}
        self._documents: dict[str, Prepared] = {}
        self._read_ms = 0

    async def seed(self) -> None:
        """Write sales and skus into the ledger, and the totals as the configuration has them now.

        Raises:
            ConfigFault: a total is below what is held or sold already.
        """
        await self._ledger.write(lambda connection: _seed(connection, list(self.sales.values())))

    async def refresh(self) -> None:
        """Read the free units of every sku, and prepare the documents anew where they changed."""
        found = await self._ledger.read(_free)
        self._free = {name: {sku: found.get((name, sku), 0) for sku in one.skus} for name, one in self.sales.items()}
        self._read_ms = self._ledger.now_ms()
        for name in self.sales:
            body = json.dumps(self.as_json(name), separators=(",", ":")).encode()
            known = self._documents.get(name)
            if known is None or known.body != body:
                self._documents[name] = Prepared(body, "application/json", headers=_HEADERS)

    @property
    def is_fresh(self) -> bool:
        """Whether the ledger was read a moment ago."""
        return self._ledger.now_ms() - self._read_ms < _STALE_MS

    def document(self, name: str) -> Prepared | None:
        """Return the public document of a sale; None when there is no such sale."""
        return self._documents.get(name)

    def state(self, name: str) -> SaleState:
        """Return the state of a sale now."""
        return self.sales[name].state(self._ledger.now_ms(), self._free[name])

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
            "skus": [
                {
                    "sku": each.sku,
                    "name": each.name,
                    "description": each.description,
                    "price": Money(each.price, one.currency).as_json(),
                    "available": self._free[name][each.sku],
                    "total": each.total,
                }
                for each in one.skus.values()
            ],
        }


def _free(connection: Connection) -> dict[tuple[str, str], int]:
    return {(row.sale, row.sku): row.total - row.allocated for row in connection.execute(select(sku))}


def _seed(connection: Connection, sales: Sequence[Sale]) -> None:
    for one in sales:
        _insert_new(connection, sale, {"sale": one.name, "epoch": 0})
        for each in one.skus.values():
            fresh = {"sale": one.name, "sku": each.sku, "total": each.total, "allocated": 0, "version": 0}
            _insert_new(connection, sku, fresh)
    ordered = select(sku).order_by(sku.c.sale, sku.c.sku).with_for_update()
    known = {(row.sale, row.sku): row for row in connection.execute(ordered)}
    faults = []
    for one in sales:
        for each in one.skus.values():
            row = known[one.name, each.sku]
            if row.allocated > each.total:
                told = f"total is {each.total}, but {row.allocated} are held or sold; they cannot be taken away"
                faults.append(f"sales.{one.name}.{each.sku}: {told}")
            elif row.total != each.total:
                changed = update(sku).where(sku.c.sale == one.name, sku.c.sku == each.sku)
                connection.execute(changed.values(total=each.total, version=sku.c.version + 1))
    if faults:
        raise ConfigFault(faults)


def _insert_new(connection: Connection, table: Table, row: dict[str, object]) -> None:
    """Insert `row` unless it is there: several tills may start at once."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(table).on_conflict_do_nothing(), row)
