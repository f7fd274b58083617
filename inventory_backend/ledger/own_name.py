"""Who this ledger is, for ever: it stands beside each charge at the gateway, where others may have theirs."""

from uuid import uuid4

from sqlalchemy import Connection, select
from sqlalchemy.dialects import postgresql, sqlite

from inventory_backend.ledger.schema import shop

_ONE = 1


def own_name(connection: Connection) -> str:
    """Return the name of this ledger, made when it is asked for the first time."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    connection.execute(insert(shop).values(serial=_ONE, name=str(uuid4())).on_conflict_do_nothing())
    return str(connection.execute(select(shop.c.name)).scalar_one())
