"""Open the ledger, write to it in groups, read from it: nothing is acknowledged before its transaction is committed."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger.engines import (
    FAULTS,
    Database,
    check_durable,
    database_at,
    database_ms,
    was_taken_back,
)
from inventory_backend.ledger.groups import Bulk, Groups, Waiting, carried_out, in_order, in_pieces
from inventory_backend.ledger.migrating import migrate
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault, StoreUnavailable, WaitroomError

log = logging.getLogger(__name__)

Item = TypeVar("Item")
Result = TypeVar("Result")
Unit = Callable[[Connection], Result]
"""One piece of work in SQL: no input or output beside the connection, so that it may run in any transaction."""

_TRIES = 5
"""How often a piece of a group is done that the database takes back for the sake of another till's."""


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

    def __init__(self, writer: Database, reader: Database, settings: LedgerSettings, clock: Clock) -> None:
        """Write through `writer`, one transaction at a time; `opened` makes one."""
        self._writer = writer
        self._reader = reader
        self._settings = settings
        self._clock = clock
        self._asked: tuple[int, float] | None = None
        most = settings.group_rows
        self._writes = Groups(self._commit, most=most, delay_ms=settings.group_delay_ms, clock=clock)
        self._reads = Groups(self._look_up, most=most, delay_ms=0, clock=clock)

    def now_ms(self) -> int:
        """Return the time by which every deadline in the ledger is set and judged: the database's, for all its tills.

        SQLite's is the clock of this machine. PostgreSQL was asked for its own, and since then the clock counts that
        never jumps: whoever turns the hands of this machine moves no deadline.
        """
        if self._asked is None:
            return self._clock.now_ms()
        database, tick_s = self._asked
        return database + round((self._clock.tick_s() - tick_s) * 1000)

    async def ask_time(self) -> None:
        """Ask PostgreSQL for the time; it counts as asked when the question left, so that no deadline comes early.

        Raises:
            StoreUnavailable: the database does not answer.
        """
        if self._reader.engine.dialect.name == "postgresql":
            tick_s = self._clock.tick_s()
            self._asked = (await self.read(database_ms), tick_s)

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
            async with asyncio.timeout(self._settings.timeout_s):
                return await self._reader.read(unit)
        except FAULTS as fault:
            raise StoreUnavailable(f"ledger does not answer: {fault!r}") from fault

    async def close(self) -> None:
        """Commit what is waiting, then close."""
        await self._writes.close(self._settings.timeout_s)
        await self._reads.close(self._settings.timeout_s)
        await self._writer.close()
        await self._reader.close()

    async def _commit(self, group: Sequence[Waiting]) -> Sequence[Any]:
        """Carry a group out in one transaction; if the database takes it back, piece by piece: each locks less."""
        try:
            return await self._written(group)
        except FAULTS as fault:
            if not was_taken_back(fault):
                raise _not_committed(fault) from fault
        pieces = in_pieces(group, _one_by_one)
        return in_order(pieces, [await self._insisted([group[place] for place in places]) for places in pieces])

    async def _insisted(self, piece: Sequence[Waiting]) -> Sequence[Any]:
        """Return an answer for each of `piece`, done again as often as the database takes it back."""
        for is_last in (*[False] * (_TRIES - 1), True):
            try:
                return await self._written(piece)
            except FAULTS as fault:
                if is_last or not was_taken_back(fault):
                    return [_not_committed(fault)] * len(piece)
        raise AssertionError("the last try returned")

    async def _written(self, group: Sequence[Waiting]) -> Sequence[Any]:
        async with asyncio.timeout(self._settings.timeout_s):
            return await self._writer.write(lambda connection: carried_out(connection, group))

    async def _look_up(self, group: Sequence[Waiting]) -> Sequence[Any]:
        return await self.read(lambda connection: carried_out(connection, group))


@asynccontextmanager
async def opened(settings: LedgerSettings, clock: Clock) -> AsyncIterator[Ledger]:
    """Give the ledger at `settings.url` while the block lasts, its tables brought to this version.

    Raises:
        ConfigFault: it cannot be opened, or it would not keep what it has acknowledged.
    """
    url, timeout_ms = settings.url, settings.timeout_ms
    writer = database_at(url, connections=1, timeout_ms=timeout_ms, begin="BEGIN IMMEDIATE")
    reader = database_at(url, connections=settings.readers, timeout_ms=timeout_ms)
    ledger = Ledger(writer, reader, settings, clock)
    try:
        await migrated(settings)
        await _check(writer)
        await ledger.ask_time()
        yield ledger
    finally:
        await ledger.close()


async def migrated(settings: LedgerSettings, to: str = "head") -> str | None:
    """Take the ledger to the step `to` of its migrations, in one transaction, and return the step it stands at.

    Raises:
        ConfigFault: it cannot be opened, or was written by a newer version.
    """
    begin, timeout_ms = "BEGIN IMMEDIATE", settings.timeout_ms
    database = database_at(settings.url, connections=1, timeout_ms=timeout_ms, begin=begin, foreign_keys="OFF")
    try:
        return await database.write(lambda connection: migrate(connection, to))
    except FAULTS as fault:
        raise _unopened(fault) from fault
    finally:
        await database.close()


async def _check(writer: Database) -> None:
    try:
        await writer.read(check_durable)
    except FAULTS as fault:
        raise _unopened(fault) from fault


def _not_committed(fault: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"ledger does not commit: {fault!r}")


def _unopened(fault: Exception) -> ConfigFault:
    return ConfigFault([f"ledger.url: cannot be opened: {type(fault).__name__}: {fault}"])


def _one_by_one(connection: Connection, units: Sequence[Unit[Result]]) -> list[Result | Exception]:
    outcomes: list[Result | Exception] = []
    for unit in units:
        try:
            with connection.begin_nested():
                outcomes.append(unit(connection))
        except (WaitroomError, IntegrityError) as fault:
            outcomes.append(fault)
    return outcomes
