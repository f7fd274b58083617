"""Who is inside: claim, touch, release."""

import asyncio
import json
from dataclasses import dataclass

from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Ticket
from waitroom.rules.rooms import RoomRules, Schedule
from waitroom.store.keys import RoomKeys

_BATCH = 500
"""How many sessions one script renews: Redis answers nobody else meanwhile."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The ticket is a session now, until `expires_ms`."""

    session_id: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class NotYet:
    """Not called yet, or called while rate or cap are used up: come back in `retry_ms`."""

    is_called: bool
    retry_ms: int


@dataclass(frozen=True, slots=True)
class Over:
    """Nothing to come in with: the call "lapsed", or the room "ended"."""

    why: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Redis does not know this ticket, or nothing at all of the room: join first."""


class Sessions:
    """The sessions of all rooms, and the visits that are not written to Redis yet."""

    def __init__(self, runner: ScriptRunner) -> None:
        """Speak through `runner`."""
        self._runner = runner
        self._visits: dict[str, dict[str, int]] = {}
        self._revoked: dict[str, dict[str, int]] = {}
        self._forgotten: set[str] = set()
        self._revoked_before: dict[str, int] = {}

    async def claim(self, ticket: Ticket, rules: RoomRules, schedule: Schedule) -> Admitted | NotYet | Over | Unknown:
        """Exchange a called ticket for a session, once."""
        keys = RoomKeys(ticket.room, ticket.event, ticket.lane)
        reply = await self._runner.run(
            "sessions/claim",
            keys=[
                keys.room,
                keys.sessions,
                keys.revoked,
                keys.queue,
                keys.line,
                keys.calls,
                keys.claimed,
                keys.knocks,
            ],
            args=[
                ticket.ticket_id,
                0,
                rules.session_duration_ms,
                ticket.event,
                "" if schedule.ends_ms is None else schedule.ends_ms,
            ],
        )
        match reply[0]:
            case "admitted":
                return Admitted(ticket.ticket_id, reply[1])
            case "waiting":
                return NotYet(False, 0)
            case "later":
                return NotYet(True, reply[1])
            case "lapsed" | "ended":
                return Over(reply[0])
            case _:
                return Unknown()

    def visit(self, room: str, session_id: str, expires_ms: int) -> None:
        """Note that a session was used; `flush` writes it. An admitted request never waits for Redis."""
        self._visits.setdefault(room, {})[session_id] = expires_ms

    def is_revoked(self, room: str, session_id: str) -> bool:
        """Whether this process has heard that the session was revoked."""
        return session_id in self._revoked.get(room, {})

    def heed(self, room: str, revoked_before_ms: int) -> None:
        """Take when ops last revoked every pass of `room`: visits noted with one of those are not written."""
        if revoked_before_ms > self._revoked_before.get(room, 0):
            self._revoked_before[room] = revoked_before_ms
            self._visits.pop(room, None)

    def recall(self, room: str) -> None:
        """Note that Redis lost data of `room`; `flush` tells it again which sessions were ended."""
        self._forgotten.add(room)

    async def flush(self, now_ms: int) -> None:
        """Write the noted visits to Redis; what fails is kept for the next time."""
        for room, expiries in self._revoked.items():
            self._revoked[room] = {id_: until for id_, until in expiries.items() if until > now_ms}
        for room in list(self._forgotten):
            ended = self._revoked.get(room, {})
            await asyncio.gather(*[self.release(room, id_, until_ms=until) for id_, until in ended.items()])
            self._forgotten.discard(room)
        for room, visits in list(self._visits.items()):
            self._visits[room] = {}
            try:
                await self._touch(room, visits)
            except BaseException:
                self._visits[room] = visits | self._visits[room]
                raise

    async def release(self, room: str, session_id: str, *, until_ms: int) -> bool:
        """End a session before its time; its pass, valid `until_ms`, is worth nothing from here on."""
        self._revoked.setdefault(room, {})[session_id] = until_ms
        self._visits.get(room, {}).pop(session_id, None)
        keys = RoomKeys(room, "")
        reply = await self._runner.run(
            "sessions/release", keys=[keys.sessions, keys.revoked], args=[session_id, 0, until_ms]
        )
        return bool(reply[0] == "released")

    async def _touch(self, room: str, visits: dict[str, int]) -> None:
        if not visits:
            return
        keys, visited = RoomKeys(room, ""), list(visits.items())
        for start in range(0, len(visited), _BATCH):
            told = json.dumps([part for visit in visited[start : start + _BATCH] for part in visit])
            reply = await self._runner.run(
                "sessions/touch",
                keys=[keys.sessions, keys.revoked, keys.room],
                args=[0, told, self._revoked_before.get(room, 0)],
            )
            for session_id in reply[1:]:
                self._revoked.setdefault(room, {})[session_id] = visits[session_id]


async def revoke_by_hand(
    runner: ScriptRunner, rules: RoomRules, session_id: str, *, now_ms: int, who: str, why: str
) -> None:
    """End one session by ops; each worker hears of it when it writes the next visit with its pass.

    A worker that has not heard yet may renew the pass once more, hence twice its life.
    """
    keys = RoomKeys(rules.name, "")
    await runner.run(
        "sessions/revoke",
        keys=[keys.sessions, keys.revoked, keys.room, keys.audit],
        args=[session_id, 0, now_ms + 2 * rules.session_duration_ms, who, why],
    )
