"""Publish the roster of a draw just after its opening, so that nobody can be slipped in later."""

import logging

from waitroom.rules.proofs import Roster
from waitroom.rules.rooms import Snapshot
from waitroom.store.board import Board
from waitroom.store.draws import Draws, NoRoster
from waitroom.store.rooms import Rooms
from waitroom.store.wheels import Wheels

log = logging.getLogger(__name__)


class RosterKeeper:
    """Works the root of each roster out, once among all workers; puts it back where Redis has lost it."""

    def __init__(self, rooms: Rooms, board: Board, draws: Draws, wheels: Wheels) -> None:
        """Look at the `board` for draws that have begun."""
        self._rooms = rooms
        self._board = board
        self._draws = draws
        self._wheels = wheels
        self._seen: dict[str, tuple[str, Roster]] = {}

    async def step(self) -> None:
        """Look at every room once.

        Raises:
            StoreUnavailable: Redis does not answer.
        """
        for room in self._rooms.names():
            snapshot = self._board.get(room)
            if snapshot is None or not snapshot.is_drawn or not self._rooms.rules(room).draws:
                continue
            if snapshot.roster is not None:
                self._seen[room] = snapshot.event, snapshot.roster
            else:
                await self._freeze(snapshot)

    async def _freeze(self, snapshot: Snapshot) -> None:
        room, event, starts_ms = snapshot.room, snapshot.event, snapshot.starts_ms
        assert starts_ms is not None, "what is drawn has an opening"
        seen = self._seen.get(room)
        known = seen[1] if seen and seen[0] == event else None
        turn = await self._draws.freeze(room, event, starts_ms, known)
        if turn is not NoRoster.YOURS:
            return
        wheel = await self._wheels.at_the_opening(room, event, self._rooms.seed(room, event, snapshot.commitment))
        kept = await self._draws.freeze(room, event, starts_ms, wheel.roster)
        if kept == wheel.roster:
            self._wheels.keep(room, event, wheel)
            log.info("roster frozen", extra={"room": room, "event": event, "count": wheel.roster.count})
