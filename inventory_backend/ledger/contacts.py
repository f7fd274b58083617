"""Where a shopper wants to read of an order: kept beside the ledger's books, and forgotten after a while."""

from sqlalchemy import Connection, delete, select

from inventory_backend.ledger.schema import contact


def keep(connection: Connection, rid: str, email: str, now_ms: int) -> None:
    """Remember the address for `rid`; another one takes the place of what was there."""
    connection.execute(delete(contact).where(contact.c.rid == rid))
    connection.execute(contact.insert(), {"rid": rid, "email": email, "at_ms": now_ms})


def address_of(connection: Connection, rid: str) -> str | None:
    """Return the address for `rid`; None when none was given, or it is forgotten."""
    found = connection.execute(select(contact.c.email).where(contact.c.rid == rid)).scalar_one_or_none()
    return None if found is None else str(found)
