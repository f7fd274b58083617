"""Let time pass in every room, and hang up what came of it."""

import asyncio

from waitroom.store.board import Board
from waitroom.store.rooms import Rooms


class Ticker:
    """Ticks all rooms at once: one round trip, however many rooms."""

    def __init__(self, rooms: Rooms, board: Board) -> None:
        """Tick `rooms`, show them on `board`."""
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
                self._board.put(outcome)
        if faults:
            raise faults[0]
