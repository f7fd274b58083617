"""The pulse of each room, made into bytes once a tick."""

import json

from aiohttp import web

from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.prepared import Prepared
from waitroom.rules.pulse import pulse
from waitroom.rules.rooms import Snapshot
from waitroom.store.board import Board
from waitroom.store.rooms import Rooms

_SHARED = {"Cache-Control": "public, max-age=1", "X-Content-Type-Options": "nosniff"}


class Pulses:
    """One prepared pulse a room, made anew when a tick has changed the room."""

    def __init__(self, rooms: Rooms, board: Board) -> None:
        """Show what hangs on `board`."""
        self._rooms = rooms
        self._board = board
        self._made: dict[str, tuple[Snapshot, Prepared]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with the pulse of the room in the path."""
        return self.prepared(request.match_info["room"]).answer(request)

    def prepared(self, room: str) -> Prepared:
        """Return the pulse of `room`; while Redis is gone, the last one there was.

        Raises:
            Refused: 404, there is no such room.
            StoreUnavailable: nothing is known yet.
        """
        rules = self._rooms.rules(room)
        snapshot = self._board.get(room)
        if snapshot is None:
            raise StoreUnavailable(f"no tick of {room} yet")
        made = self._made.get(room)
        if made is None or made[0] is not snapshot:
            seed = self._rooms.seed(room, snapshot.event, snapshot.commitment)
            body = json.dumps(pulse(snapshot, rules.polling, seed), separators=(",", ":")).encode()
            made = snapshot, Prepared(body, "application/json", headers=_SHARED)
            self._made[room] = made
        return made[1]
