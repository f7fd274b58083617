"""How many units there are to sell: what the configuration, waves and ops add or take away, each change on record.

The total of a sku is the sum of its changes. The configuration says how many there are to begin with: where its number
has changed since it was last read, the difference is applied, so that no start undoes what waves and ops did.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import ColumnElement, Connection, Table, and_, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from inventory_backend.ledger.offers import hand_out
from inventory_backend.ledger.schema import line, reservation, sale, shopper_qty, sku, stock_change
from inventory_backend.sales import COUNTED, MOST_UNITS, HoldState, Sale, Wave
from waitroom.kernel.errors import ConfigFault

Name = tuple[str, str]
"""Sale and sku."""


class Origin(StrEnum):
    """Where a change of stock comes from."""

    CONFIGURATION = "configuration"
    WAVE = "wave"
    OPS = "ops"


@dataclass(frozen=True, slots=True)
class Supply:
    """The units of one sku; `version` grows with every change of the row."""

    total: int
    allocated: int
    version: int

    @property
    def free(self) -> int:
        """Return how many nobody has."""
        return self.total - self.allocated


@dataclass(frozen=True, slots=True)
class Change:
    """So many units more, or fewer, on whose word, and why; `wave_ms` is the time of a wave."""

    delta: int
    origin: Origin
    actor: str
    why: str
    now_ms: int
    wave_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A change on record."""

    at_ms: int
    delta: int
    origin: str
    actor: str
    why: str


def supplies(connection: Connection) -> dict[Name, Supply]:
    """Return the units of every sku."""
    found = connection.execute(select(sku))
    return {(row.sale, row.sku): Supply(row.total, row.allocated, row.version) for row in found}


def taken(connection: Connection, name: Name) -> tuple[int, int]:
    """Return how many units of a sku are held, paid ones not among them, and how many are sold."""
    wanted = (
        select(reservation.c.state, func.sum(line.c.qty))
        .select_from(line.join(reservation))
        .where(reservation.c.sale == name[0], line.c.sku == name[1], reservation.c.state.in_(COUNTED))
        .group_by(reservation.c.state)
    )
    counted = {state: int(qty) for state, qty in connection.execute(wanted)}
    sold = counted.pop(HoldState.PAID, 0)
    return sum(counted.values()), sold


def had_some(connection: Connection, sale_name: str) -> frozenset[str]:
    """Return who ever had a hold of a sale."""
    wanted = select(shopper_qty.c.shopper).where(shopper_qty.c.sale == sale_name)
    return frozenset(connection.execute(wanted).scalars())


def entries(connection: Connection, name: Name) -> list[Entry]:
    """Return the changes of a sku, oldest first."""
    wanted = select(stock_change).where(stock_change.c.sale == name[0], stock_change.c.sku == name[1])
    rows = connection.execute(wanted.order_by(stock_change.c.seq))
    return [Entry(row.at_ms, row.delta, row.origin, row.actor, row.why) for row in rows]


def change(connection: Connection, name: Name, asked: Change) -> bool:
    """Change a total; False when fewer would be left than are held or sold, or more than can be counted."""
    total = sku.c.total + asked.delta
    guarded = (
        update(sku)
        .where(_is(name), sku.c.allocated <= total, total <= MOST_UNITS)
        .values(total=total, version=sku.c.version + 1)
    )
    if connection.execute(guarded).rowcount != 1:
        return False
    connection.execute(stock_change.insert(), _row(name, asked))
    _offer(connection, name, asked.now_ms)
    return True


def set_total(connection: Connection, name: Name, total: int, asked: Change) -> bool:
    """Make a total what it shall be, whatever it is; `asked.delta` is not looked at."""
    standing = connection.execute(select(sku.c.total).where(_is(name)).with_for_update()).scalar_one()
    delta = total - standing
    return change(connection, name, Change(delta, asked.origin, asked.actor, asked.why, asked.now_ms))


def arrived(connection: Connection, name: Name) -> set[int]:
    """Return the times of the waves that have arrived."""
    wanted = select(stock_change.c.wave_ms).where(stock_change.c.sale == name[0], stock_change.c.sku == name[1])
    return set(connection.execute(wanted.where(stock_change.c.wave_ms.is_not(None))).scalars())


def arrive(connection: Connection, name: Name, wave: Wave, now_ms: int) -> bool:
    """Let a wave arrive; False when it did before, for whichever till was first."""
    asked = Change(wave.units, Origin.WAVE, "wave", "its time has come", now_ms, wave.at_ms)
    if not _insert_new(connection, stock_change, _row(name, asked)):
        return False
    more = update(sku).where(_is(name)).values(total=sku.c.total + wave.units, version=sku.c.version + 1)
    connection.execute(more)
    _offer(connection, name, now_ms)
    return True


def seed(connection: Connection, sales: Sequence[Sale], now_ms: int) -> None:
    """Write sales and skus into the ledger, and apply what changed in the configuration since it was last read.

    Raises:
        ConfigFault: fewer would be left than are held or sold.
    """
    for one in sales:
        _insert_new(connection, sale, {"sale": one.name, "epoch": 0})
        for each in one.skus.values():
            fresh = {"sale": one.name, "sku": each.sku, "total": each.total, "allocated": 0, "version": 0}
            if _insert_new(connection, sku, fresh):
                connection.execute(stock_change.insert(), _row((one.name, each.sku), _written(each.total, now_ms)))
    ordered = select(sku).order_by(sku.c.sale, sku.c.sku).with_for_update()
    known = {(row.sale, row.sku): Supply(row.total, row.allocated, row.version) for row in connection.execute(ordered)}
    before = _configured(connection)
    wanted = {(one.name, each.sku): each.total for one in sales for each in one.skus.values()}
    deltas = {name: total - before.get(name, 0) for name, total in wanted.items()}
    if faults := [_fault(name, known[name], delta) for name, delta in deltas.items() if known[name].free + delta < 0]:
        raise ConfigFault(faults)
    for name, delta in deltas.items():
        if delta:
            change(connection, name, _written(delta, now_ms))


def _fault(name: Name, units: Supply, delta: int) -> str:
    told = f"total would be {units.total + delta}, but {units.allocated} are held or sold; they cannot be taken away"
    return f"sales.{name[0]}.{name[1]}: {told}"


def _written(delta: int, now_ms: int) -> Change:
    return Change(delta, Origin.CONFIGURATION, "configuration", "as written", now_ms)


def _offer(connection: Connection, name: Name, now_ms: int) -> None:
    """Let who waits have new units first; Redis hears of the whole change, and of each offer what it took of it."""
    hand_out(connection, name[0], Counter({name[1]: 0}), now_ms)


def _configured(connection: Connection) -> Mapping[Name, int]:
    c = stock_change.c
    wanted = select(c.sale, c.sku, func.sum(c.delta)).where(c.origin == Origin.CONFIGURATION).group_by(c.sale, c.sku)
    return {(sale_, sku_): int(total) for sale_, sku_, total in connection.execute(wanted)}


def _is(name: Name) -> ColumnElement[bool]:
    return and_(sku.c.sale == name[0], sku.c.sku == name[1])


def _row(name: Name, asked: Change) -> dict[str, object]:
    return {
        "sale": name[0],
        "sku": name[1],
        "delta": asked.delta,
        "origin": asked.origin,
        "wave_ms": asked.wave_ms,
        "actor": asked.actor,
        "why": asked.why,
        "at_ms": asked.now_ms,
    }


def _insert_new(connection: Connection, table: Table, row: dict[str, object]) -> bool:
    """Insert `row` unless it is there, and tell whether it was not: several tills may do it at once."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return connection.execute(insert(table).on_conflict_do_nothing(), row).rowcount == 1
