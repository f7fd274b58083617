"""What every move of units writes beside the hold itself: the stock, the shopper's quantity, the audit, the news.

Everything in here runs inside a transaction of the ledger's writer.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger.news import TOLD_AFTER, tell
from inventory_backend.ledger.schema import audit, line, shopper_qty, sku
from inventory_backend.sales import HoldState, Line


def allocate(connection: Connection, units: Counter[tuple[str, str]]) -> bool:
    """Count `units` of (sale, sku) as allocated; False when a sku has not that many: the guard against oversale.

    The caller rolls its savepoint back on False. Rows are locked in the order of their names, so that no two callers
    lock each other out.
    """
    for (sale, name), qty in sorted(units.items()):
        guarded = (
            update(sku)
            .where(sku.c.sale == sale, sku.c.sku == name, sku.c.allocated + qty <= sku.c.total)
            .values(allocated=sku.c.allocated + qty, version=sku.c.version + 1)
        )
        if connection.execute(guarded).rowcount != 1:
            return False
    return True


def count_for_shopper(connection: Connection, rows: Sequence[dict[str, Any]]) -> bool:
    """Add to what shoppers have (sale, shopper, qty, cap); False when one would have more than their limit."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    rows = sorted(rows, key=lambda row: (row["sale"], row["shopper"]))  # as everywhere: locks in the order of names
    added = insert(shopper_qty)
    added = added.on_conflict_do_update(
        index_elements=["sale", "shopper"],
        set_={"qty": shopper_qty.c.qty + added.excluded.qty, "cap": added.excluded.cap},
    )
    try:
        connection.execute(added, rows)
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
    said = {"at_ms": note.now_ms, "actor": note.actor, "why": note.why or note.reason}
    rows = [
        {"rid": rid, "from_state": before, "to_state": after, "delta": delta, **said}
        for rid, before, after, delta in moves
    ]
    connection.execute(audit.insert(), rows)
    for kind in TOLD_AFTER.values():
        tell(connection, kind, [rid for rid, _, after, _ in moves if TOLD_AFTER.get(after) is kind], note.now_ms)


def lines_of(connection: Connection, rids: Sequence[str]) -> dict[str, list[Line]]:
    """Return the lines of each of `rids`."""
    lines: dict[str, list[Line]] = {rid: [] for rid in rids}
    for row in connection.execute(select(line).where(line.c.rid.in_(rids)).order_by(line.c.rid, line.c.sku)):
        lines[row.rid].append(Line(row.sku, row.qty, row.unit_amount))
    return lines
