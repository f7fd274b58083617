"""Show each draw to whoever wants to check it: the document of all, the document of one ticket."""

import asyncio
import json
import re

from aiohttp import web

from waitroom.kernel.answers import json_answer
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.prepared import Prepared
from waitroom.kernel.tasks import Errands
from waitroom.rules.beacons import NO_BEACON, planned
from waitroom.rules.proofs import Draw, proof_document, thinned, ticket_document
from waitroom.rules.rooms import Snapshot
from waitroom.store.admissions import AdmissionLog
from waitroom.store.board import Board
from waitroom.store.rooms import Rooms
from waitroom.store.wheels import Wheels

_TICKET_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SHARED = {"Cache-Control": "public, max-age=2", "X-Content-Type-Options": "nosniff"}
_FRESH_S = 2.0


class Proofs:
    """The proof of each room's present event; that of everybody is made once in two seconds, however many ask."""

    def __init__(
        self, rooms: Rooms, board: Board, log: AdmissionLog, wheels: Wheels, errands: Errands, clock: Clock
    ) -> None:
        """Show what hangs on the `board`, with the `log` and the `wheels` of this worker."""
        self._rooms = rooms
        self._board = board
        self._log = log
        self._wheels = wheels
        self._clock = clock
        self._errands = errands
        self._made: dict[str, tuple[Snapshot, float, Prepared]] = {}
        self._making: dict[str, asyncio.Task[Prepared]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with the proof of the room in the path, of one ticket where `ticket_id` names it."""
        room = self._rooms.rules(request.match_info["room"]).name
        ticket_id = request.query.get("ticket_id")
        if ticket_id is None:
            return (await self._of_all(room)).answer(request)
        if not _TICKET_ID.fullmatch(ticket_id):
            raise Refused(422, "bad-ticket-id", "A ticket id is 1 to 64 letters, digits, - and _.")
        return json_answer(await self._of_one(self._snapshot(room), ticket_id))

    async def _of_all(self, room: str) -> Prepared:
        """Return the shared document; while it cannot be made anew, the last one."""
        snapshot, made = self._snapshot(room), self._made.get(room)
        now_s = self._clock.tick_s()
        if made is not None and made[0].event == snapshot.event and now_s - made[1] < _FRESH_S:
            return made[2]
        task = self._making.get(room)
        if task is None or task.done():
            task = self._errands.begin(self._make(snapshot), name="proof")
            self._making[room] = task
        try:
            return await asyncio.shield(task)
        except StoreUnavailable:
            if made is None or made[0].event != snapshot.event:
                raise
            return made[2]

    async def _make(self, snapshot: Snapshot) -> Prepared:
        """Make the document in a thread: compressing an hour of admissions takes some milliseconds."""
        moves = await self._log.of(snapshot.room, snapshot.event)
        document = proof_document(self._draw(snapshot), thinned(moves))
        body = json.dumps(document, separators=(",", ":")).encode()
        prepared = await asyncio.to_thread(Prepared, body, "application/json", headers=_SHARED)
        self._made[snapshot.room] = snapshot, self._clock.tick_s(), prepared
        return prepared

    async def _of_one(self, snapshot: Snapshot, ticket_id: str) -> dict[str, object]:
        """Return the document of one ticket.

        Raises:
            Refused: 404 it is in no draw, 425 before the opening, 503 the roster is not there (yet).
            StoreUnavailable: Redis does not answer.
        """
        if snapshot.starts_ms is None or not self._rooms.rules(snapshot.room).draws:
            raise Refused(404, "no-draw", "Nothing is drawn in this room: places go by the time of asking.")
        draw = self._draw(snapshot)
        if draw.seed is None:
            wait_s = max(1, (snapshot.starts_ms - snapshot.now_ms) // 1000)
            raise Refused(425, "not-drawn", "The draw is at the opening.", retry_after_s=wait_s)
        wheel = await self._wheels.of(snapshot, draw.seed)
        told = ticket_document(draw, wheel, ticket_id, await self._log.of(snapshot.room, snapshot.event))
        if told is None:
            raise Refused(404, "not-in-draw", "This ticket was not in the draw at the opening.")
        return told

    def _draw(self, snapshot: Snapshot) -> Draw:
        seed = self._rooms.seed(snapshot.room, snapshot.event, snapshot.commitment)
        rules = self._rooms.rules(snapshot.room)
        beacon = rules.beacon if rules.draws else NO_BEACON
        return Draw(
            snapshot.room,
            snapshot.event,
            snapshot.starts_ms,
            snapshot.commitment,
            seed if snapshot.is_drawn else None,
            snapshot.spin if snapshot.is_spun else None,
            snapshot.spin_source or planned(beacon, snapshot.starts_ms or 0),
            snapshot.roster,
        )

    def _snapshot(self, room: str) -> Snapshot:
        snapshot = self._board.get(room)
        if snapshot is None:
            raise StoreUnavailable(f"no tick of {room} yet")
        return snapshot
