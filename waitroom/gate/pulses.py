"""The pulse of each room, made into bytes once a tick."""

import json
from dataclasses import dataclass, field

from aiohttp import web

from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.prepared import Prepared
from waitroom.rules.pulse import pulse
from waitroom.rules.rooms import Snapshot
from waitroom.store.board import Board
from waitroom.store.rooms import Rooms

_SHARED = {"Cache-Control": "public, max-age=1", "X-Content-Type-Options": "nosniff"}


@dataclass(slots=True, eq=False)
class Told:
    """What one snapshot tells: the members of the pulse, and the same as JSON; `prepared` once somebody polls it."""

    snapshot: Snapshot
    members: dict[str, object]
    text: bytes = field(init=False)
    prepared: Prepared | None = None

    def __post_init__(self) -> None:
        """Write it down."""
        self.text = json.dumps(self.members, separators=(",", ":")).encode()


class Pulses:
    """One pulse a room, made anew when a tick has changed the room."""

    def __init__(self, rooms: Rooms, board: Board) -> None:
        """Show what hangs on `board`."""
        self._rooms = rooms
        self._board = board
        self._told: dict[str, Told] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with the pulse of the room in the path."""
        return self.prepared(request.match_info["room"]).answer(request)

    def prepared(self, room: str) -> Prepared:
        """Return the pulse of `room`; while Redis is gone, the last one there was.

        Raises:
            Refused: 404, there is no such room.
            StoreUnavailable: nothing is known yet.
        """
        told = self.told(room)
        if told.prepared is None:
            told.prepared = Prepared(told.text, "application/json", headers=_SHARED)
        return told.prepared

    def told(self, room: str) -> Told:
        """Return what the last tick of `room` tells.

        Raises:
            Refused: 404, there is no such room.
            StoreUnavailable: nothing is known yet.
        """
        rules = self._rooms.rules(room)
        snapshot = self._board.get(room)
        if snapshot is None:
            raise StoreUnavailable(f"no tick of {room} yet")
        told = self._told.get(room)
        if told is None or told.snapshot is not snapshot:
            seed = self._rooms.seed(room, snapshot.event, snapshot.commitment)
            told = self._told[room] = Told(snapshot, pulse(snapshot, rules.polling, seed))
        return told
