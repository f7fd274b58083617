"""Tell a load balancer whether this worker lives, and whether it can serve."""

from aiohttp import web

from waitroom.kernel.answers import json_answer
from waitroom.kernel.errors import StoreUnavailable
from waitroom.store.board import Board
from waitroom.store.rooms import Rooms

_STALE_S = 10.0


class Probes:
    """The two probes; neither calls Redis."""

    def __init__(self, rooms: Rooms, board: Board) -> None:
        """Judge by how old the last ticks are."""
        self._rooms = rooms
        self._board = board

    async def healthz(self, _request: web.Request) -> web.StreamResponse:
        """Answer 200 as long as the process answers at all."""
        return json_answer({"status": "alive"})

    async def readyz(self, _request: web.Request) -> web.StreamResponse:
        """Answer 200 while every room ticks, else 503 with the rooms that do not."""
        stale = [name for name in self._rooms.names() if self._board.age_s(name) > _STALE_S]
        if stale:
            raise StoreUnavailable(f"no tick of {', '.join(stale)}")
        return json_answer({"status": "ready"})
