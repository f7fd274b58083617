"""Let one of several tills do a piece of work: a lease is renewed while its holder lives, else it ends by itself.

A lease saves work and settles who waits; what must never be done twice is guarded where it is done.
"""

from sqlalchemy import Connection, delete, or_
from sqlalchemy.dialects import postgresql, sqlite

from inventory_backend.ledger.schema import lease


def take(connection: Connection, name: str, holder: str, now_ms: int, until_ms: int) -> bool:
    """Take the lease `name`, or renew it, until `until_ms`; False while somebody else has it."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    asked = insert(lease).on_conflict_do_update(
        index_elements=["name"],
        set_={"holder": holder, "until_ms": until_ms},
        where=or_(lease.c.until_ms <= now_ms, lease.c.holder == holder),
    )
    return connection.execute(asked, {"name": name, "holder": holder, "until_ms": until_ms}).rowcount == 1


def give_back(connection: Connection, name: str, holder: str) -> None:
    """Let the next one have it at once; nothing happens when it is somebody else's by now."""
    connection.execute(delete(lease).where(lease.c.name == name, lease.c.holder == holder))
