"""How many units there are to sell: what the configuration, waves and ops add or take away, each change on record.

The total of a sku is the sum of its changes. The configuration says how many there are to begin with: where its number
has changed since it was last read, the difference is applied, so that no start undoes what waves and ops did.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Table, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from inventory_backend.ledger.offers import hand_out
from inventory_backend.ledger.schema import line, reservation, sale, shopper_qty, sku, stock_change
from inventory_backend.ledger.shards import free_units, is_of, locked, parts
from inventory_backend.ledger.stock_changes import Change, Name, Origin, write_down
from inventory_backend.sales import COUNTED, MOST_UNITS, HoldState, Sale, Sku, Wave, sku_of
from waitroom.kernel.errors import ConfigFault


@dataclass(frozen=True, slots=True)
class Supply:
    """The units of one shard, or of a whole sku; `version` grows with every change."""

    total: int
    allocated: int
    version: int

    @property
    def free(self) -> int:
        """Return how many nobody has."""
        return self.total - self.allocated

    def __add__(self, other: "Supply") -> "Supply":
        """Return both together; also this version grows with every change of either."""
        return Supply(self.total + other.total, self.allocated + other.allocated, self.version + other.version)


@dataclass(frozen=True, slots=True)
class Entry:
    """A change on record."""

    shard: str
    at_ms: int
    delta: int
    origin: str
    actor: str
    why: str


def supplies(connection: Connection) -> dict[Name, Supply]:
    """Return the units of every shard."""
    found = connection.execute(select(sku).order_by(sku.c.sale, sku.c.sku))
    return {(row.sale, row.sku): Supply(row.total, row.allocated, row.version) for row in found}


def by_sku(shards: Mapping[Name, Supply]) -> dict[Name, Supply]:
    """Return the units of every sku, those of all its `shards` together."""
    found: dict[Name, Supply] = {}
    for (sale_name, shard), units in shards.items():
        name = (sale_name, sku_of(shard))
        found[name] = units + found[name] if name in found else units
    return found


def taken(connection: Connection, name: Name) -> tuple[int, int]:
    """Return how many units of a sku are held, paid ones not among them, and how many are sold."""
    wanted = (
        select(reservation.c.state, func.sum(line.c.qty))
        .select_from(line.join(reservation))
        .where(reservation.c.sale == name[0], is_of(line.c.sku, [name[1]]), reservation.c.state.in_(COUNTED))
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
    wanted = select(stock_change).where(stock_change.c.sale == name[0], is_of(stock_change.c.sku, [name[1]]))
    rows = connection.execute(wanted.order_by(stock_change.c.seq))
    return [Entry(row.sku, row.at_ms, row.delta, row.origin, row.actor, row.why) for row in rows]


def change(connection: Connection, name: Name, asked: Change) -> bool:
    """Change the total of a sku; False when fewer would be left than are held or sold, or more than can be counted."""
    shards = connection.execute(locked(name[0], [name[1]])).all()
    total = sum(row.total for row in shards) + asked.delta
    if not sum(row.allocated for row in shards) <= total <= MOST_UNITS:
        return False
    _share_out(connection, name, asked, {row.sku: row.total - row.allocated for row in shards})
    return True


def set_total(connection: Connection, name: Name, total: int, asked: Change) -> bool:
    """Make a total what it shall be, whatever it is; `asked.delta` is not looked at."""
    standing = sum(row.total for row in connection.execute(locked(name[0], [name[1]])))
    return change(connection, name, replace(asked, delta=total - standing))


def arrive(connection: Connection, name: Name, wave: Wave, now_ms: int) -> bool:
    """Let a wave arrive; False when it did before, for whichever till was first."""
    asked = Change(wave.units, Origin.WAVE, "wave", "its time has come", now_ms, wave.at_ms)
    free = free_units(connection, name[0], [name[1]])
    known = select(stock_change.c.wave_ms).where(stock_change.c.sale == name[0], stock_change.c.sku == name[1])
    if wave.at_ms in connection.execute(known).scalars():
        return False
    _share_out(connection, name, asked, free)
    return True


def seed(connection: Connection, sales: Sequence[Sale], now_ms: int) -> None:
    """Write sales and skus into the ledger, and apply what changed in the configuration since it was last read.

    Raises:
        ConfigFault: fewer would be left than are held or sold, or a sku would have fewer shards.
    """
    for one in sales:
        _insert_new(connection, sale, {"sale": one.name, "epoch": 0})
        for shard in one.shard_names:
            _insert_new(connection, sku, {"sale": one.name, "sku": shard, "total": 0, "allocated": 0, "version": 0})
    ordered = select(sku).order_by(sku.c.sale, sku.c.sku).with_for_update()
    shards = {(row.sale, row.sku): Supply(row.total, row.allocated, row.version) for row in connection.execute(ordered)}
    known, before = by_sku(shards), _configured(connection)
    wanted = {(one.name, each.sku): each for one in sales for each in one.skus.values()}
    deltas = {name: each.total - before.get(name, 0) for name, each in wanted.items()}
    faults = [_fault(name, known[name], delta) for name, delta in deltas.items() if known[name].free + delta < 0]
    counts = Counter((sale_name, sku_of(shard)) for sale_name, shard in shards)
    faults += [_unshared(name, counts[name], each) for name, each in wanted.items() if counts[name] > each.shards]
    if faults:
        raise ConfigFault(faults)
    for name, delta in deltas.items():
        if delta or name not in before:
            change(connection, name, Change(delta, Origin.CONFIGURATION, "configuration", "as written", now_ms))


def _fault(name: Name, units: Supply, delta: int) -> str:
    told = f"total would be {units.total + delta}, but {units.allocated} are held or sold; they cannot be taken away"
    return f"sales.{name[0]}.{name[1]}: {told}"


def _unshared(name: Name, count: int, each: Sku) -> str:
    return f"sales.{name[0]}.{name[1]}: shards would be {each.shards}, but there are {count}; they can only be raised"


def _share_out(connection: Connection, name: Name, asked: Change, free: Mapping[str, int]) -> None:
    """Apply a change to shards with so many `free` units, and hand out what is new."""
    shares = parts(asked.delta, free)
    for shard, delta in shares.items():
        if delta or shard == name[1]:  # the first has a row for each, by which a wave is known
            changed = update(sku).where(sku.c.sale == name[0], sku.c.sku == shard)
            connection.execute(changed.values(total=sku.c.total + delta, version=sku.c.version + 1))
            write_down(connection, (name[0], shard), replace(asked, delta=delta))
    _offer(connection, name, asked.now_ms)


def _offer(connection: Connection, name: Name, now_ms: int) -> None:
    """Let who waits have new units first; Redis hears of the whole change, and of each offer what it took of it."""
    hand_out(connection, name[0], Counter({name[1]: 0}), now_ms)


def _configured(connection: Connection) -> Mapping[Name, int]:
    c = stock_change.c
    wanted = select(c.sale, c.sku, func.sum(c.delta)).where(c.origin == Origin.CONFIGURATION).group_by(c.sale, c.sku)
    found = Counter[Name]()
    for sale_name, shard, total in connection.execute(wanted):
        found[sale_name, sku_of(shard)] += int(total)
    return found


def _insert_new(connection: Connection, table: Table, row: dict[str, object]) -> bool:
    """Insert `row` unless it is there, and tell whether it was not: several tills may do it at once."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    return connection.execute(insert(table).on_conflict_do_nothing(), row).rowcount == 1
