"""What a gateway told, each piece once: its record and what it changes are one transaction (W5)."""

from enum import StrEnum

from sqlalchemy import Connection, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from inventory_backend.ledger.schema import inbox, payment
from inventory_backend.ledger.settlement import Attempt, attempt


class Heard(StrEnum):
    """What became of a piece of news."""

    NEW = "new"
    KNOWN = "known"
    UNKNOWN = "unknown"  # nothing of ours


def write_down(connection: Connection, provider: str, event_id: str, body: str, now_ms: int) -> bool:
    """Keep one piece of news; False when it was told before."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    row = {"provider": provider, "event_id": event_id, "body": body, "received_ms": now_ms}
    return connection.execute(insert(inbox).values(row).on_conflict_do_nothing()).rowcount == 1


def payment_of(connection: Connection, provider: str, pid: str, ref: str) -> Attempt | None:
    """Return the payment that news of the charge `ref` are about, named `pid` by us; None when it is none of ours.

    Before the call that makes a charge has returned, only our own name tells; afterwards both must agree.
    """
    is_named = or_(payment.c.provider_ref == ref, (payment.c.pid == pid) & payment.c.provider_ref.is_(None))
    found = connection.execute(select(payment.c.pid).where(payment.c.provider == provider, is_named)).scalars().first()
    return None if found is None else attempt(connection, found)


def note_reservation(connection: Connection, provider: str, event_id: str, rid: str) -> None:
    """Note what the news were about."""
    own = (inbox.c.provider == provider, inbox.c.event_id == event_id)
    connection.execute(inbox.update().where(*own).values(rid=rid))
