"""Which till carries which payment: claimed for a while in one statement, so that no other asks the gateway the same.

A claim saves questions; what must never happen twice is guarded by keys and states. A till that dies leaves its claims
to run out.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Update, or_, select, update

from inventory_backend.ledger.schema import payment
from inventory_backend.ledger.settlement import Attempt, attempt


@dataclass(frozen=True, slots=True)
class Claim:
    """Who carries payments, and until when nobody else does."""

    by: str
    now_ms: int
    until_ms: int


def is_any_due(connection: Connection, now_ms: int) -> bool:
    """Tell whether there is something to claim."""
    return connection.execute(select(payment.c.pid).where(*_due(now_ms)).limit(1)).first() is not None


def claim(connection: Connection, claimed: Claim, most: int) -> list[str]:
    """Take payments whose saga must go on and that nobody carries, those first that wait for longest."""
    due = select(payment.c.pid).where(*_due(claimed.now_ms)).order_by(payment.c.next_ms).limit(most)
    found = due.with_for_update(skip_locked=True).cte("due")
    taken = _written(claimed).where(payment.c.pid.in_(select(found.c.pid)))
    return list(connection.execute(taken.returning(payment.c.pid)).scalars())


def renew(connection: Connection, pid: str, claimed: Claim) -> Attempt | None:
    """Take one payment, or keep it for longer; None when it is not due, or somebody else carries it."""
    is_ours = or_(payment.c.claimed_by == claimed.by, _is_free(claimed.now_ms))
    taken = _written(claimed).where(payment.c.pid == pid, payment.c.next_ms <= claimed.now_ms, is_ours)
    return attempt(connection, pid) if connection.execute(taken).rowcount == 1 else None


def give_back(connection: Connection, by: str) -> None:
    """Let others carry at once what `by` does not carry on."""
    mine = update(payment).where(payment.c.claimed_by == by)
    connection.execute(mine.values(claimed_by=None, claimed_until_ms=None))


def _written(claimed: Claim) -> Update:
    return update(payment).values(claimed_by=claimed.by, claimed_until_ms=claimed.until_ms)


def _due(now_ms: int) -> tuple[ColumnElement[bool], ...]:
    return payment.c.next_ms <= now_ms, _is_free(now_ms)


def _is_free(now_ms: int) -> ColumnElement[bool]:
    return or_(payment.c.claimed_until_ms.is_(None), payment.c.claimed_until_ms <= now_ms)
