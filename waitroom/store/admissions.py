"""Who was called when, as this worker has read it: kept in memory, so that a crowd that asks costs Redis nothing."""

import asyncio
from collections.abc import Sequence

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.tasks import Errands
from waitroom.rules.proofs import Admission
from waitroom.store.draws import Draws

_FRESH_S = 1.0
_STRETCH_MS = 1_000
"""Moves of the threshold within one second are kept as one: an hour of a sale is half a megabyte."""


class AdmissionLog:
    """The moves of the threshold in the present event of each room."""

    def __init__(self, draws: Draws, errands: Errands, clock: Clock) -> None:
        """Read from `draws`, at most once a second."""
        self._draws = draws
        self._errands = errands
        self._clock = clock
        self._read: dict[str, _Read] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def of(self, room: str, event: str) -> Sequence[Admission]:
        """Return every move so far, at most a second old; while Redis is gone, what was known before."""
        read = self._read.get(room)
        if read is None or read.event != event:
            read = self._read[room] = _Read(event)
        if self._clock.tick_s() - read.at_s >= _FRESH_S:
            task = self._reading.get(room)
            if task is None or task.done():
                task = self._errands.begin(self._catch_up(room, read), name="admission log")
                self._reading[room] = task
            try:
                await asyncio.shield(task)
            except StoreUnavailable:
                if not read.moves:
                    raise
        return read.moves

    async def _catch_up(self, room: str, read: "_Read") -> None:
        while True:
            moves, last = await self._draws.admissions(room, read.event, read.last)
            if not moves:
                break
            read.add(moves, last)
        read.at_s = self._clock.tick_s()


class _Read:
    """What was read of one event."""

    def __init__(self, event: str) -> None:
        self.event = event
        self.moves: list[Admission] = []
        self._last_of: dict[str, int] = {}
        self.last = "0"
        self.at_s = float("-inf")

    def add(self, moves: Sequence[Admission], last: str) -> None:
        for moved in moves:
            stretch = moved.at_ms // _STRETCH_MS
            held = self._last_of.get(moved.lane)
            if held is not None and self.moves[held].at_ms // _STRETCH_MS == stretch:
                called = self.moves[held].called + moved.called
                self.moves[held] = Admission(moved.at_ms, moved.lane, moved.serving, called)
            else:
                self._last_of[moved.lane] = len(self.moves)
                self.moves.append(moved)
        self.last = last
