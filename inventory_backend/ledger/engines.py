"""Reach the database of the ledger: SQLite in a file for one till, PostgreSQL for several.

PostgreSQL runs in READ COMMITTED. No unit decides on what it read without a lock: stock by a guarded UPDATE, moves by
compare-and-set, payments and holds by `FOR UPDATE`; each of these looks again at the row once it has it. A stricter
level would add nothing but transactions that must be tried again while a crowd stands before one row.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from waitroom.kernel.errors import ConfigFault

try:
    import asyncpg
except ImportError:  # the extra `postgres` is not installed
    _REFUSALS: tuple[type[Exception], ...] = ()
else:  # SQLAlchemy wraps what goes wrong in a connection, not what goes wrong on the way to one
    _REFUSALS = (asyncpg.PostgresError, asyncpg.InterfaceError)

FAULTS: tuple[type[Exception], ...] = (SQLAlchemyError, OSError, TimeoutError, *_REFUSALS)
"""What a database does that is gone, full, locked or starting."""

Result = TypeVar("Result")
Work = Callable[[Connection], Result]

_DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+asyncpg"}
_FULL = 2
"""SQLite's number for synchronous=FULL."""
_TRY_AGAIN = {"40001", "40P01"}
"""PostgreSQL took the whole transaction back for the sake of another: serialization failure, deadlock."""


class Database(Protocol):
    """A database, as one writes to it or reads from it."""

    @property
    def engine(self) -> Engine:
        """SQLAlchemy's engine."""
        ...

    async def write(self, work: Work[Result]) -> Result:
        """Return what `work` returns, once its transaction is committed."""
        ...

    async def read(self, work: Work[Result]) -> Result:
        """Return what `work` returns; what it should write all the same is taken back."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


class InThreads:
    """SQLite: a transaction is done whole in one visit to a thread.

    A visit for each of its statements, as an asynchronous driver makes them, costs more than the statements. Who is cut
    short while their transaction is under way does not learn how it ended; the next one waits for its end.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        """Do at most `threads` transactions at a time."""
        self.engine = engine
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="ledger")

    async def write(self, work: Work[Result]) -> Result:
        """Return what `work` returns, once committed."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._written, work)

    async def read(self, work: Work[Result]) -> Result:
        """Return what `work` reads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._seen, work)

    async def close(self) -> None:
        """Hang up after what is under way."""
        await asyncio.get_running_loop().run_in_executor(self._threads, self.engine.dispose)
        self._threads.shutdown(wait=False)

    def _written(self, work: Work[Result]) -> Result:
        with self.engine.begin() as connection:
            return work(connection)

    def _seen(self, work: Work[Result]) -> Result:
        with self.engine.connect() as connection:
            return work(connection)


class OverTheNetwork:
    """PostgreSQL: while it works, the loop does other things."""

    def __init__(self, engine: AsyncEngine) -> None:
        """Speak through `engine`."""
        self._engine = engine
        self.engine = engine.sync_engine

    async def write(self, work: Work[Result]) -> Result:
        """Return what `work` returns, once committed."""
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    async def read(self, work: Work[Result]) -> Result:
        """Return what `work` reads."""
        async with self._engine.connect() as connection:
            return await connection.run_sync(work)

    async def close(self) -> None:
        """Hang up."""
        await self._engine.dispose()


def database_at(
    url: str, *, connections: int, timeout_ms: int, begin: str = "BEGIN", foreign_keys: str = "ON"
) -> Database:
    """Return the database at `url`, over at most `connections`; SQLite begins its transactions with `begin`.

    Raises:
        ConfigFault: there can be no such database, or its driver is not installed.
    """
    try:
        where = make_url(url)
        where = where.set(drivername=_DRIVERS.get(where.drivername, where.drivername))
        limits = {"pool_size": connections, "max_overflow": 0, "pool_timeout": timeout_ms / 1000}
        if where.get_backend_name() == "postgresql":
            return OverTheNetwork(create_async_engine(where, **limits, **_postgresql(timeout_ms)))
        return InThreads(_sqlite(where, limits, timeout_ms, begin, foreign_keys), connections)
    except ImportError as fault:
        raise ConfigFault([f"ledger.url: {fault}; install waitroom[postgres]"]) from fault
    except ArgumentError as fault:
        raise ConfigFault([f"ledger.url: {fault}"]) from fault


def check_durable(connection: Connection) -> None:
    """Look whether this database keeps what it has committed when the power fails.

    Raises:
        ConfigFault: SQLite in another mode than WAL with synchronous=FULL, PostgreSQL that does not wait for its disk.
    """
    if connection.dialect.name == "postgresql":
        for name in ("fsync", "synchronous_commit"):
            if connection.exec_driver_sql(f"SHOW {name}").scalar_one() == "off":
                raise ConfigFault([f"ledger.url: PostgreSQL has {name} = off; it would forget what was sold"])
        return
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
    if mode != "wal" or level < _FULL:
        told = f"ledger.url: SQLite has journal_mode={mode}, synchronous={level}; it must be a file in WAL with FULL"
        raise ConfigFault([told])


def database_ms(connection: Connection) -> int:
    """Return the time of PostgreSQL, in milliseconds since 1970."""
    asked = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    return int(connection.exec_driver_sql(asked).scalar_one())


def was_taken_back(fault: Exception) -> bool:
    """Tell whether the database undid the transaction for the sake of another: the same work may be done again."""
    return isinstance(fault, DBAPIError) and getattr(fault.orig, "sqlstate", None) in _TRY_AGAIN


def _postgresql(timeout_ms: int) -> dict[str, Any]:
    """What does not end is ended by the server too: no lock outlives the till that waits for it."""
    told = {
        "application_name": "waitroom till",
        "statement_timeout": str(timeout_ms),
        "idle_in_transaction_session_timeout": str(timeout_ms * 2),
    }
    waits_s = timeout_ms / 1000
    arguments = {"timeout": waits_s, "command_timeout": waits_s, "server_settings": told}
    return {"isolation_level": "READ COMMITTED", "connect_args": arguments}


def _sqlite(where: URL, limits: dict[str, Any], timeout_ms: int, begin: str, foreign_keys: str) -> Engine:
    _check_file(where.database)
    engine = create_engine(where, **limits)
    # SQLite gives up before we do: its thread must never outlive the call that waits for it
    _prepare_sqlite(engine, begin, f"busy_timeout={timeout_ms * 4 // 5}", f"foreign_keys={foreign_keys}")
    return engine


def _check_file(database: str | None) -> None:
    if database in {None, "", ":memory:"}:
        raise ConfigFault(["ledger.url: SQLite needs a file; memory forgets what was sold"])
    if not (folder := Path(str(database)).absolute().parent).is_dir():
        raise ConfigFault([f"ledger.url: there is no folder {folder}; make it"])


def _prepare_sqlite(engine: Engine, begin: str, *chosen: str) -> None:
    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # SQLAlchemy begins, not the driver (its docs, "pysqlite: transactions")
        cursor = connection.cursor()
        for pragma in (*chosen, "journal_mode=WAL", "synchronous=FULL"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)
