"""Open the ledger, write to it in groups, read from it: nothing is acknowledged before its transaction is committed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from inventory_backend.ledger.groups import Bulk, Groups, Waiting, carried_out
from inventory_backend.ledger.migrating import migrate
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault, StoreUnavailable, WaitroomError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Unit = Callable[[Connection], Result]
"""One piece of work in SQL: no input or output beside the connection, so that it may run in any transaction."""

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
_FULL = 2
"""SQLite's number for synchronous=FULL."""


@dataclass(frozen=True, slots=True)
class LedgerSettings:
    """Where the ledger is, and how it groups its writes."""

    url: str
    group_rows: int = 200
    group_delay_ms: int = 2
    timeout_ms: int = 5000
    readers: int = 4

    @property
    def timeout_s(self) -> float:
        """How long one transaction may take."""
        return self.timeout_ms / 1000


class Ledger:
    """The one writer of the ledger, and its readers."""

    def __init__(self, writer: AsyncEngine, reader: AsyncEngine, settings: LedgerSettings, clock: Clock) -> None:
        """Write through `writer`, one transaction at a time; `opened` makes one."""
        self._writer = writer
        self._reader = reader
        self._settings = settings
        self._clock = clock
        most = settings.group_rows
        self._writes = Groups(self._commit, most=most, delay_ms=settings.group_delay_ms, clock=clock)
        self._reads = Groups(self._look_up, most=most, delay_ms=0, clock=clock)

    def now_ms(self) -> int:
        """Return the time by which every deadline in the ledger is set and judged."""
        return self._clock.now_ms()

    async def write(self, unit: Unit[Result]) -> Result:
        """Return what `unit` returns, once its transaction is committed.

        Raises:
            StoreUnavailable: the database does not answer; whether it was committed is not known.
        """
        return await self._writes.join(_one_by_one, unit)

    async def write_together(self, work: Bulk[Item, Result], item: Item) -> Result:
        """Return the answer of `work` for `item`, once committed."""
        return await self._writes.join(work, item)

    async def read_together(self, work: Bulk[Item, Result], item: Item) -> Result:
        """Return the answer of `work` for `item`: small look-ups that a crowd makes at once."""
        return await self._reads.join(work, item)

    async def read(self, unit: Unit[Result]) -> Result:
        """Return what `unit` reads; it sees whatever is committed.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        try:
            async with asyncio.timeout(self._settings.timeout_s), self._reader.connect() as connection:
                return await connection.run_sync(unit)
        except (SQLAlchemyError, OSError, TimeoutError) as fault:
            raise StoreUnavailable(f"ledger does not answer: {fault!r}") from fault

    async def close(self) -> None:
        """Commit what is waiting, then close."""
        await self._writes.close(self._settings.timeout_s)
        await self._reads.close(self._settings.timeout_s)
        await self._writer.dispose()
        await self._reader.dispose()

    async def _commit(self, group: Sequence[Waiting]) -> Sequence[Any]:
        try:
            async with asyncio.timeout(self._settings.timeout_s), self._writer.begin() as connection:
                return await connection.run_sync(carried_out, group)
        except (SQLAlchemyError, OSError, TimeoutError) as fault:
            raise StoreUnavailable(f"ledger does not commit: {fault!r}") from fault

    async def _look_up(self, group: Sequence[Waiting]) -> Sequence[Any]:
        return await self.read(lambda connection: carried_out(connection, group))


@asynccontextmanager
async def opened(settings: LedgerSettings, clock: Clock) -> AsyncIterator[Ledger]:
    """Give the ledger at `settings.url` while the block lasts, its tables brought to this version.

    Raises:
        ConfigFault: it cannot be opened, or it would not keep what it has acknowledged.
    """
    writer = _engine(settings, connections=1, begin="BEGIN IMMEDIATE")
    reader = _engine(settings, connections=settings.readers, begin="BEGIN")
    ledger = Ledger(writer, reader, settings, clock)
    try:
        await migrated(settings)
        await _check(writer)
        yield ledger
    finally:
        await ledger.close()


async def migrated(settings: LedgerSettings, to: str = "head") -> str | None:
    """Take the ledger to the step `to` of its migrations, in one transaction, and return the step it stands at.

    Raises:
        ConfigFault: it cannot be opened, or was written by a newer version.
    """
    engine = _engine(settings, connections=1, begin="BEGIN IMMEDIATE", foreign_keys="OFF")
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(migrate, to)
    except (SQLAlchemyError, OSError) as fault:
        raise _unopened(fault) from fault
    finally:
        await engine.dispose()


async def _check(writer: AsyncEngine) -> None:
    try:
        async with writer.connect() as connection:
            await connection.run_sync(check_durable)
    except (SQLAlchemyError, OSError) as fault:
        raise _unopened(fault) from fault


def _unopened(fault: Exception) -> ConfigFault:
    return ConfigFault([f"ledger.url: cannot be opened: {type(fault).__name__}: {fault}"])


def check_durable(connection: Connection) -> None:
    """Look whether this database keeps what it has committed when the power fails.

    Raises:
        ConfigFault: SQLite in another mode than WAL with synchronous=FULL.
    """
    if connection.dialect.name != "sqlite":
        return
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if mode != "wal" or level < _FULL:
        told = f"ledger.url: SQLite has journal_mode={mode}, synchronous={level}; it must be a file in WAL with FULL"
        raise ConfigFault([told])


def _one_by_one(connection: Connection, units: Sequence[Unit[Result]]) -> list[Result | Exception]:
    outcomes: list[Result | Exception] = []
    for unit in units:
        try:
            with connection.begin_nested():
                outcomes.append(unit(connection))
        except (WaitroomError, IntegrityError) as fault:
            outcomes.append(fault)
    return outcomes


def _engine(settings: LedgerSettings, *, connections: int, begin: str, foreign_keys: str = "ON") -> AsyncEngine:
    try:
        url = make_url(settings.url)
        url = url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))
        if url.get_backend_name() == "sqlite":
            _check_file(url.database)
        engine = create_async_engine(url, pool_size=connections, max_overflow=0, pool_timeout=settings.timeout_s)
    except (ArgumentError, ImportError) as fault:
        raise ConfigFault([f"ledger.url: {fault}"]) from fault
    if engine.dialect.name == "sqlite":
        # SQLite gives up before we do: its thread must never outlive the call that waits for it
        _prepare_sqlite(engine, begin, f"busy_timeout={settings.timeout_ms * 4 // 5}", f"foreign_keys={foreign_keys}")
    return engine


def _check_file(database: str | None) -> None:
    if database in {None, "", ":memory:"}:
        raise ConfigFault(["ledger.url: SQLite needs a file; memory forgets what was sold"])
    if not (folder := Path(str(database)).absolute().parent).is_dir():
        raise ConfigFault([f"ledger.url: there is no folder {folder}; make it"])


def _prepare_sqlite(engine: AsyncEngine, begin: str, *chosen: str) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy begins, not the driver (its docs, "pysqlite: transactions")
        cursor = connection.cursor()
        for pragma in (*chosen, "journal_mode=WAL", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)
