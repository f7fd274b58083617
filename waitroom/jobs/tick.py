"""Let time pass in every room, and hang up what came of it."""

import asyncio
import logging

from waitroom.rules.rooms import Snapshot
from waitroom.store.board import Board
from waitroom.store.rooms import Rooms
from waitroom.store.sessions import Sessions

log = logging.getLogger(__name__)


class Ticker:
    """Ticks all rooms at once: one round trip, however many rooms."""

    def __init__(self, rooms: Rooms, board: Board, sessions: Sessions) -> None:
        """Tick `rooms`, show them on `board`; `sessions` tell Redis again whom it must not let in, should it forget."""
        self._sessions = sessions
        self._rooms = rooms
        self._board = board

    async def step(self) -> None:
        """Tick every room once; a room whose tick failed keeps its last snapshot.

        Raises:
            StoreUnavailable: at least one tick failed.
        """
        ticks = [self._rooms.tick(name) for name in self._rooms.names()]
        outcomes = await asyncio.gather(*ticks, return_exceptions=True)
        faults = []
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                faults.append(outcome)
            else:
                self._notice_loss(outcome)
                self._sessions.heed(outcome.room, outcome.revoked_before_ms)
                self._board.put(outcome)
        if faults:
            raise faults[0]

    def _notice_loss(self, snapshot: Snapshot) -> None:
        before = self._board.get(snapshot.room)
        if before is not None and before.generation != snapshot.generation:
            log.warning("redis lost data, the room goes on", extra={"room": snapshot.room, "event": snapshot.event})
            self._sessions.recall(snapshot.room)
