"""What every move of units writes beside the hold itself: the stock, the shopper's quantity, the audit, the news.

Everything in here runs inside a transaction of the ledger's writer.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Insert, bindparam, literal_column, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger.news import TOLD_AFTER, tell
from inventory_backend.ledger.rows import change_rows, write_rows
from inventory_backend.ledger.schema import audit, line, shopper_qty, sku
from inventory_backend.sales import HoldState, Line

_QTY = bindparam("qty", type_=sku.c.total.type)
_GUARDED = (
    update(sku)
    .where(sku.c.sale == bindparam("in_sale"), sku.c.sku == bindparam("named"), sku.c.allocated + _QTY <= sku.c.total)
    .values(allocated=sku.c.allocated + _QTY, version=sku.c.version + literal_column("1"))
)
_AUDITED = audit.insert()
_AUDIT_COLUMNS = ("rid", "from_state", "to_state", "delta", "at_ms", "actor", "why")


def _added(insert: postgresql.Insert | sqlite.Insert) -> Insert:
    return insert.on_conflict_do_update(
        index_elements=["sale", "shopper"],
        set_={"qty": shopper_qty.c.qty + insert.excluded.qty, "cap": insert.excluded.cap},
    )


_ADDED = {"postgresql": _added(postgresql.insert(shopper_qty)), "sqlite": _added(sqlite.insert(shopper_qty))}


def allocate(connection: Connection, units: Counter[tuple[str, str]]) -> bool:
    """Count `units` of (sale, shard) as allocated; False when a shard has not that many: the guard against oversale.

    The caller rolls its savepoint back on False. Rows are locked in the order of their names, so that no two callers
    lock each other out.
    """
    for (sale, name), qty in sorted(units.items()):
        if change_rows(connection, _GUARDED, {"in_sale": sale, "named": name, "qty": qty}) != 1:
            return False
    return True


def count_for_shopper(connection: Connection, rows: Sequence[tuple[str, str, int, int]]) -> bool:
    """Add to what shoppers have (sale, shopper, qty, cap); False when one would have more than their limit."""
    added = _ADDED[connection.dialect.name]
    try:
        write_rows(connection, added, ("sale", "shopper", "qty", "cap"), sorted(rows))  # locks in the order of names
    except IntegrityError:  # CHECK (qty <= cap)
        return False
    return True


@dataclass(frozen=True, slots=True)
class Note:
    """Who made a move, when, and why: it goes into the audit; `reason` is a word for programs, `why` a person's."""

    actor: str
    now_ms: int
    reason: str | None = None
    why: str | None = None


Move = tuple[str, HoldState | None, HoldState, int]
"""For the audit: reservation id, state before, state after, units allocated (+) or given back (-)."""


def record(connection: Connection, moves: Iterable[Move], note: Note) -> None:
    """Append `moves` to the audit, and to the outbox what the world shall hear of them."""
    moves = list(moves)
    said = note.now_ms, note.actor, note.why or note.reason
    write_rows(connection, _AUDITED, _AUDIT_COLUMNS, [(*move, *said) for move in moves])
    for kind in TOLD_AFTER.values():
        tell(connection, kind, [rid for rid, _, after, _ in moves if TOLD_AFTER.get(after) is kind], note.now_ms)


def lines_of(connection: Connection, rids: Sequence[str]) -> dict[str, list[Line]]:
    """Return the lines of each of `rids`."""
    lines: dict[str, list[Line]] = {rid: [] for rid in rids}
    for row in connection.execute(select(line).where(line.c.rid.in_(rids)).order_by(line.c.rid, line.c.sku)):
        lines[row.rid].append(Line.counted(row.sku, row.qty, row.unit_amount))
    return lines
