"""The ledger keeps what it acknowledged, and nothing else."""

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select, text, update

from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.schema import sale, sku
from tests.fakes import FakeClock
from waitroom.kernel.errors import ConfigFault, Refused, StoreUnavailable


def add_sale(name: str) -> Callable[[Connection], int]:
    return lambda connection: connection.execute(sale.insert(), {"sale": name, "epoch": 0}).rowcount


def count(connection: Connection) -> int:
    return int(connection.execute(select(func.count()).select_from(sale)).scalar_one())


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

    version = select(sku.c.version).where(sku.c.sku == "sneaker")
    before: int = await ledger.read(lambda connection: connection.execute(version).scalar_one())

    await asyncio.gather(*(ledger.write(add) for _ in range(300)))

    assert await ledger.read(lambda connection: connection.execute(version).scalar_one()) == before + 300


async def test_a_ledger_that_is_locked_by_somebody_else_is_unavailable(tmp_path: Path, clock: FakeClock) -> None:
    settings = LedgerSettings(f"sqlite:///{tmp_path}/locked.db", timeout_ms=1000)
    async with opened(settings, clock) as one, opened(settings, clock) as other:
        with one._writer.engine.begin(), pytest.raises(StoreUnavailable):  # the first holds the write lock
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


async def test_a_worker_whose_clock_jumps_moves_no_deadline_on_postgresql(ledger: Ledger, clock: FakeClock) -> None:
    if ledger._reader.engine.dialect.name != "postgresql":
        pytest.skip("SQLite's clock is that of its machine")
    jumping = Jumping(clock)
    ledger._clock = jumping
    await ledger.ask_time()
    asked_ms = ledger.now_ms()

    jumping.ahead_ms = 5 * 60 * 1000
    await clock.advance(2)

    assert ledger.now_ms() - asked_ms == 2000
    assert asked_ms == clock.now_ms() - 2000


class Jumping(FakeClock):
    """The clock of a machine whose hands somebody turns; what it counts goes on evenly."""

    def __init__(self, steady: FakeClock) -> None:
        super().__init__()
        self._steady = steady
        self.ahead_ms = -5 * 60 * 1000

    def now_ms(self) -> int:
        return self._steady.now_ms() + self.ahead_ms

    def tick_s(self) -> float:
        return self._steady.tick_s()


async def test_what_the_database_took_back_is_done_again(ledger: Ledger, ledger_url: str, clock: FakeClock) -> None:
    """Two tills that lock the same rows crosswise: PostgreSQL ends one, whose group is then done again."""
    if ledger._reader.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer")
    tries: Counter[str] = Counter()

    def crosswise(first: str, second: str) -> Callable[[Connection], None]:
        def unit(connection: Connection) -> None:
            tries[first] += 1
            for name in (first, second):
                connection.execute(update(sku).where(sku.c.sku == name).values(version=sku.c.version + 1))
                if name == first and sum(tries.values()) <= 2:
                    connection.exec_driver_sql("SELECT pg_sleep(0.3)")  # until the other has its first row too

        return unit

    versions = select(sku.c.version).order_by(sku.c.sku)
    before = await ledger.read(lambda connection: connection.execute(versions).scalars().all())
    async with opened(LedgerSettings(ledger_url, group_delay_ms=0), clock) as other:
        await asyncio.gather(ledger.write(crosswise("laces", "sneaker")), other.write(crosswise("sneaker", "laces")))

    assert sum(tries.values()) == 3
    after = await ledger.read(lambda connection: connection.execute(versions).scalars().all())
    assert after == [version + 2 for version in before]


async def test_a_connection_that_was_lost_is_a_503_and_then_forgotten(ledger: Ledger) -> None:
    if ledger._reader.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no connection to lose")
    killed = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
        "AND datname = current_database()"
    )
    await ledger.write(add_sale("before"))
    await ledger.read(lambda connection: connection.execute(killed).all())

    with pytest.raises(StoreUnavailable) as refused:
        await ledger.write(add_sale("lost"))
    assert (refused.value.status, refused.value.retry_after_s is not None) == (503, True)

    await ledger.write(add_sale("after"))
    assert await ledger.read(count) == 3
