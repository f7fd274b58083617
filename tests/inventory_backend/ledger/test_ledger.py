"""The ledger keeps what it acknowledged, and nothing else."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, update

from inventory_backend.ledger.ledger import Ledger, LedgerSettings, check_durable, opened
from inventory_backend.ledger.schema import sale, sku
from tests.fakes import FakeClock
from waitroom.kernel.errors import ConfigFault, Refused, StoreUnavailable


def add_sale(name: str) -> Callable[[Connection], int]:
    return lambda connection: connection.execute(sale.insert(), {"sale": name, "epoch": 0}).rowcount


def count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(sale)).scalar_one())


async def test_sqlite_runs_in_wal_with_full_sync(ledger: Ledger) -> None:
    await ledger.write(check_durable)
    await ledger.read(check_durable)


@pytest.mark.parametrize("pragma", ["synchronous=NORMAL", "synchronous=OFF"])
async def test_a_database_that_might_forget_is_refused(ledger: Ledger, pragma: str) -> None:
    def weakened(connection: Connection) -> None:
        connection.exec_driver_sql("COMMIT")  # the level cannot be changed inside a transaction
        connection.exec_driver_sql(f"PRAGMA {pragma}")
        connection.exec_driver_sql("BEGIN")
        check_durable(connection)

    with pytest.raises(ConfigFault, match="WAL with FULL"):
        await ledger.read(weakened)


async def test_a_ledger_in_memory_is_refused(clock: FakeClock) -> None:
    with pytest.raises(ConfigFault, match=r"ledger\.url"):
        async with opened(LedgerSettings("sqlite:///:memory:"), clock):
            pass


@pytest.mark.parametrize("url", ["sqlite:////no/such/folder/ledger.db", "postgresql://nowhere.invalid/x", "nonsense"])
async def test_a_ledger_that_cannot_be_opened_is_a_fault_of_the_configuration(url: str, clock: FakeClock) -> None:
    with pytest.raises(ConfigFault, match=r"ledger\.url"):
        async with opened(LedgerSettings(url), clock):
            pass


async def test_what_was_acknowledged_is_there_after_reopening(tmp_path: Path, clock: FakeClock) -> None:
    settings = LedgerSettings(f"sqlite:///{tmp_path}/again.db")
    async with opened(settings, clock) as first:
        await first.write(add_sale("one"))

    async with opened(settings, clock) as second:
        assert await second.read(count) == 1


async def test_a_refused_unit_takes_only_itself_back(ledger: Ledger) -> None:
    def refused(connection: Connection) -> None:
        connection.execute(sale.insert(), {"sale": "never", "epoch": 0})
        raise Refused(409, "no", "no")

    answers = await asyncio.gather(
        ledger.write(add_sale("a")),
        ledger.write(refused),
        ledger.write(add_sale("drop")),
        ledger.write(add_sale("b")),
        return_exceptions=True,
    )

    assert [type(answer).__name__ for answer in answers] == ["int", "Refused", "IntegrityError", "int"]
    assert await ledger.read(count) == 3


async def test_a_crowd_shares_commits(ledger: Ledger) -> None:
    def add(connection: Connection) -> None:
        connection.execute(update(sku).where(sku.c.sku == "sneaker").values(version=sku.c.version + 1))

    await asyncio.gather(*(ledger.write(add) for _ in range(300)))

    version = select(sku.c.version).where(sku.c.sku == "sneaker")
    assert await ledger.read(lambda connection: connection.execute(version).scalar_one()) == 300


async def test_a_ledger_that_is_locked_by_somebody_else_is_unavailable(tmp_path: Path, clock: FakeClock) -> None:
    settings = LedgerSettings(f"sqlite:///{tmp_path}/locked.db", timeout_ms=200)
    async with opened(settings, clock) as one, opened(settings, clock) as other:
        async with one._writer.begin():  # holds the write lock
            with pytest.raises(StoreUnavailable):
                await other.write(add_sale("late"))

        await other.write(add_sale("late"))
        assert await one.read(count) == 1


async def test_a_bug_in_one_unit_is_not_the_end_of_the_ledger(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    def bug(_connection: Connection) -> None:
        raise KeyError("a bug")

    with pytest.raises(StoreUnavailable):
        await ledger.write(bug)

    assert await ledger.write(count) == 1
    assert "errand failed" in caplog.text
