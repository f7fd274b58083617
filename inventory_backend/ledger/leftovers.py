"""Delete what was kept long enough, a little at a time, so that no shopper waits for it. The audit stays for ever."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Column, ColumnElement, Connection, Select, delete, exists, select, tuple_

from inventory_backend.ledger.idempotency import LIFETIME_MS
from inventory_backend.ledger.schema import contact, delivery, idempotency, inbox, outbox


@dataclass(frozen=True, slots=True)
class Leftover:
    """Rows that may go: `keep_ms` after the moment in `since`, unless `still` holds for them."""

    since: Column[int]
    keep_ms: int
    still: ColumnElement[bool] | None = None


def leftovers(*, keep_ms: int, keep_addresses_ms: int) -> Sequence[Leftover]:
    """Return all that does not stay: `keep_ms` is for what was told, by gateways to us and by us to others.

    A dead letter is not done: it waits for ops, and what it is about is not done either.
    """
    is_told_of = exists().where(delivery.c.outbox_id == outbox.c.id)
    return (
        Leftover(idempotency.c.created_ms, LIFETIME_MS),
        Leftover(contact.c.at_ms, keep_addresses_ms),
        Leftover(inbox.c.received_ms, keep_ms),
        Leftover(delivery.c.done_ms, keep_ms),
        Leftover(outbox.c.done_ms, keep_ms, still=is_told_of),
    )


def is_any(connection: Connection, leftover: Leftover, now_ms: int) -> bool:
    """Tell whether something may go."""
    return connection.execute(_gone(leftover, now_ms, 1)).first() is not None


def drop(connection: Connection, leftover: Leftover, now_ms: int, most: int) -> int:
    """Delete the oldest that may go, `most` at most, and return how many there were."""
    table = leftover.since.table
    key = tuple_(*table.primary_key.columns)
    return connection.execute(delete(table).where(key.in_(_gone(leftover, now_ms, most)))).rowcount


def _gone(leftover: Leftover, now_ms: int, most: int) -> Select[tuple[object, ...]]:
    table = leftover.since.table
    found = select(*table.primary_key.columns).where(leftover.since < now_ms - leftover.keep_ms)
    if leftover.still is not None:
        found = found.where(~leftover.still)
    return found.order_by(leftover.since).limit(most)
