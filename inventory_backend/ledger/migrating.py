"""Bring a ledger to the schema of this version: at the start, under a lock, whole or not at all.

At the start rather than only by command, because a till without its tables sells nothing, and one that nobody has to
remember to migrate cannot be forgotten. All steps and their record are one transaction, on both databases. Who gives
the till no right to change tables runs `python -m inventory_backend migrate` as somebody who has it: a till that finds
the schema as it should be only looks.
"""

import logging
from pathlib import Path
from typing import Any

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util.exc import CommandError
from sqlalchemy import Connection, inspect

from inventory_backend.ledger.schema import metadata
from waitroom.kernel.errors import ConfigFault

log = logging.getLogger(__name__)

logging.getLogger("alembic").setLevel(logging.WARNING)  # what it tells of each step stands in our one line

FIRST = "0001"
_LOCK = 0x7761_6974_726D  # "waitrm": who migrates a ledger on PostgreSQL


def steps() -> ScriptDirectory:
    """Return the migrations that lie beside this module."""
    place = Path(__file__).with_name("migrations")
    return ScriptDirectory(place, version_locations=[place])


def version(connection: Connection) -> str | None:
    """Return the step that this ledger stands at; None when it has no tables of ours."""
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None and inspect(connection).has_table("reservation"):
        return FIRST  # made by a version that did not write down its step: those tables are the first step's
    return found


def migrate(connection: Connection, to: str = "head") -> str | None:
    """Take the ledger up or down to the step `to`, and return where it stands; the caller commits.

    On SQLite the transaction is the lock, and foreign keys must be off: a table that is copied is dropped for a moment.

    Raises:
        ConfigFault: there is no such step, or the ledger was written by a newer version.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    standing = version(connection)
    try:
        _move(connection, standing, to)
    except (CommandError, RevisionError) as fault:
        raise ConfigFault([f"ledger.url: {fault}; was it written by a newer version?"]) from fault
    reached = version(connection)
    if reached != standing:
        log.info("ledger migrated", extra={"from": standing, "to": reached})
    return reached


def _move(connection: Connection, standing: str | None, to: str) -> None:
    script = steps()
    is_down = _is_down(script, standing, to)

    def plan(_heads: object, _context: object) -> Any:
        if is_down:
            return script._downgrade_revs(to, standing)
        return script._upgrade_revs(to, standing)  # type: ignore[arg-type]  # None is a ledger that is empty

    context = MigrationContext.configure(
        connection, opts={"target_metadata": metadata, "transactional_ddl": True, "fn": plan}
    )
    if standing is not None and context.get_current_revision() is None:
        context.stamp(script, standing)
    with Operations.context(context):
        context.run_migrations()


def _is_down(script: ScriptDirectory, standing: str | None, to: str) -> bool:
    older = {one.revision for one in script.iterate_revisions(standing, "base")} - {standing}
    return to == "base" or script.as_revision_number(to) in older
