"""The migrations make exactly the schema that the program works with, up and down, on both databases."""

import asyncio
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, inspect, text

from inventory_backend.ledger.engines import database_at
from inventory_backend.ledger.ledger import LedgerSettings, migrated, opened
from inventory_backend.ledger.migrating import FIRST, migrate, steps, version
from inventory_backend.ledger.schema import metadata
from tests.fakes import FakeClock
from waitroom.kernel.errors import ConfigFault

STEPS = [one.revision for one in reversed(list(steps().walk_revisions()))]


def shape(connection: Connection) -> dict[str, Any]:
    """Return everything that the database knows about the tables, but for their order."""
    found = inspect(connection)
    tables = sorted(set(found.get_table_names()) - {"alembic_version"})
    return {name: _shape_of(found, name) for name in tables} | {"triggers": _triggers(connection)}


def _shape_of(found: Any, name: str) -> dict[str, Any]:
    return {
        "columns": {
            one["name"]: (str(one["type"]), one["nullable"], one["default"], one.get("autoincrement"))
            for one in found.get_columns(name)
        },
        "key": found.get_pk_constraint(name),
        "foreign": sorted(map(str, found.get_foreign_keys(name))),
        "unique": sorted(map(str, found.get_unique_constraints(name))),
        "checks": sorted(map(str, found.get_check_constraints(name))),
        "indexes": sorted(str(_spelled(one)) for one in found.get_indexes(name)),
    }


def _spelled(index: Any) -> dict[str, object]:
    """Return an index with its condition as text: SQLite's comes as an object."""
    return {**index, "dialect_options": {name: str(value) for name, value in index.get("dialect_options", {}).items()}}


def _triggers(connection: Connection) -> list[str]:
    wanted = "SELECT sql FROM sqlite_master WHERE type = 'trigger'"
    if connection.dialect.name == "postgresql":
        wanted = (
            "SELECT pg_get_triggerdef(t.oid) || pg_get_functiondef(t.tgfoid) FROM pg_trigger t WHERE NOT t.tgisinternal"
        )
    return sorted(re.sub(r"\s+", " ", one) for one in connection.execute(text(wanted)).scalars())


def test_the_steps_stand_in_one_line() -> None:
    assert [f"{serial:04}" for serial in range(1, len(STEPS) + 1)] == STEPS
    assert steps().get_heads() == STEPS[-1:]


async def in_one_transaction(url: str, work: Callable[[Connection], None]) -> None:
    database = database_at(url, connections=1, timeout_ms=30_000, foreign_keys="OFF")
    try:
        await database.read(work)
    finally:
        await database.close()


async def test_the_migrations_make_exactly_the_schema(ledger_url: str) -> None:
    def compared(connection: Connection) -> None:
        migrate(connection)
        migrated_shape = shape(connection)
        migrate(connection, "base")
        assert shape(connection) == {"triggers": []}
        metadata.create_all(connection)

        assert migrated_shape == shape(connection)

    await in_one_transaction(ledger_url, compared)


async def test_each_step_down_takes_back_what_the_step_up_made(ledger_url: str) -> None:
    def up_and_down(connection: Connection) -> None:
        shapes = []
        for step in ("base", *STEPS):
            assert migrate(connection, step) == (None if step == "base" else step)
            shapes.append(shape(connection))
        for step in reversed(("base", *STEPS)):
            migrate(connection, step)
            assert shape(connection) == shapes.pop()

    await in_one_transaction(ledger_url, up_and_down)


async def test_tables_made_before_there_were_steps_are_the_first_step(tmp_path: Path, clock: FakeClock) -> None:
    settings = LedgerSettings(f"sqlite:///{tmp_path}/old.db")
    await migrated(settings, FIRST)
    engine = create_engine(settings.url)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE alembic_version"))
        connection.execute(text("INSERT INTO sale (sale, epoch) VALUES ('drop', 7)"))

    async with opened(settings, clock) as ledger:
        assert await ledger.read(version) == STEPS[-1]
        kept = text("SELECT epoch FROM sale")
        assert await ledger.read(lambda connection: connection.execute(kept).scalar_one()) == 7


async def test_a_ledger_of_a_newer_version_is_refused(tmp_path: Path, clock: FakeClock) -> None:
    settings = LedgerSettings(f"sqlite:///{tmp_path}/newer.db")
    await migrated(settings)
    with create_engine(settings.url).begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ConfigFault, match="newer version"):
        async with opened(settings, clock):
            pass


async def test_tills_that_start_at_once_migrate_once(ledger_url: str) -> None:
    settings = LedgerSettings(ledger_url)

    reached = await asyncio.gather(*(migrated(settings) for _ in range(4)))

    assert reached == [STEPS[-1]] * 4
