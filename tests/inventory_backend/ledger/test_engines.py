"""A database that might forget what it has committed is refused."""

import asyncio
import threading
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import Connection

from inventory_backend.ledger.engines import check_durable, database_at
from inventory_backend.ledger.ledger import Ledger
from waitroom.kernel.errors import ConfigFault

WEAK = {
    "sqlite": ["PRAGMA synchronous=NORMAL", "PRAGMA synchronous=OFF"],
    "postgresql": ["SET synchronous_commit = off"],
}


async def test_every_connection_waits_for_the_disk(ledger: Ledger) -> None:
    await ledger.write(check_durable)
    await ledger.read(check_durable)


async def test_a_database_that_might_forget_is_refused(ledger: Ledger) -> None:
    def weakened(connection: Connection, said: str) -> None:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("COMMIT")  # the level cannot be changed inside a transaction
        connection.exec_driver_sql(said)
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN")
        check_durable(connection)

    for said in WEAK[ledger._reader.engine.dialect.name]:
        with pytest.raises(ConfigFault, match=r"WAL with FULL|would forget"):
            await ledger.read(partial(weakened, said=said))


async def test_transactions_on_postgresql_are_read_committed_and_end(ledger: Ledger) -> None:
    if ledger._reader.engine.dialect.name != "postgresql":
        pytest.skip("of PostgreSQL")

    def shown(connection: Connection) -> list[str]:
        names = ("transaction_isolation", "statement_timeout", "idle_in_transaction_session_timeout")
        return [str(connection.exec_driver_sql(f"SHOW {name}").scalar_one()) for name in names]

    assert await ledger.write(shown) == ["read committed", "5s", "10s"]


def test_another_database_is_a_fault_of_the_configuration() -> None:
    with pytest.raises(ConfigFault, match=r"ledger\.url"):
        database_at("nonsense", connections=1, timeout_ms=100)


async def test_who_is_cut_short_is_done_before_the_next_one_begins(tmp_path: Path) -> None:
    database = database_at(f"sqlite:///{tmp_path}/one.db", connections=1, timeout_ms=5000)
    has_begun, may_end = threading.Event(), threading.Event()
    said: list[str] = []

    def slow(_connection: Connection) -> None:
        has_begun.set()
        may_end.wait(20)
        said.append("first")

    first = asyncio.create_task(database.write(slow))
    await asyncio.to_thread(has_begun.wait, 20)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = asyncio.create_task(database.write(lambda _: said.append("second")))
    await asyncio.sleep(0)
    may_end.set()
    await second
    await database.close()

    assert said == ["first", "second"]
