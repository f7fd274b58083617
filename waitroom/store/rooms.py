"""The line of a room: enter, join, tick, leave, control."""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Ticket
from waitroom.rules.beacons import BeaconKind, source_text, unspun
from waitroom.rules.changes import refuse_above_ceiling, value_of
from waitroom.rules.rooms import (
    Change,
    ChangeKind,
    RoomRules,
    Schedule,
    Snapshot,
    schedule_at,
    spell_of,
)
from waitroom.rules.scores import commitment, derive_seed
from waitroom.store.draws import spin_by_hand
from waitroom.store.invites import Invites
from waitroom.store.keys import RoomKeys
from waitroom.store.places import Place, keys_of_join, place_of, scores_of
from waitroom.store.sessions import revoke_by_hand
from waitroom.store.snapshots import snapshot_of

_REMEMBERED = 256
_KEEP_MS = 7 * 24 * 3600 * 1000
_JOIN = "rooms/join"


@dataclass(frozen=True, slots=True)
class Entered:
    """Somebody went straight in; the session ends at `expires_ms` unless renewed."""

    session_id: str
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Wait:
    """Nobody goes straight in now; `why` is a phase, or "health", "line", "rate", "cap"."""

    why: str


class Rooms:
    """All rooms of this installation, in Redis."""

    def __init__(self, runner: ScriptRunner, rules: Iterable[RoomRules], keys: Keys, clock: Clock) -> None:
        """Speak through `runner`; the seed of each draw is derived from `keys`."""
        self._runner = runner
        self._rules = {room.name: room for room in rules}
        self._draw_keys = keys.derive("draw")
        self._seeds = lru_cache(_REMEMBERED)(self._derived_seed)
        self.invites = Invites(runner, keys)
        self._clock = clock
        self._skew_ms = 0
        self._schedules: dict[str, tuple[float, float, Schedule]] = {}
        self._memories: dict[str, str] = {}
        self._waiting: dict[str, dict[str, int]] = {}

    def names(self) -> list[str]:
        """Return the names of all rooms."""
        return list(self._rules)

    def rules(self, room: str) -> RoomRules:
        """Return what the configuration says of `room`.

        Raises:
            Refused: 404, there is no such room.
        """
        if room not in self._rules:
            raise Refused(404, "unknown-room", "There is no waiting room of that name.")
        return self._rules[room]

    def now_ms(self) -> int:
        """Return the time on Redis's clock, as far as the last tick told: what tickets and passes are judged by."""
        return self._clock.now_ms() + self._skew_ms

    def schedule(self, room: str) -> Schedule:
        """Return the event of `room` that counts now."""
        events = self.rules(room).events
        now_ms, known = self.now_ms(), self._schedules.get(room)
        if known is None or not known[0] <= now_ms < known[1]:
            known = self._schedules[room] = *spell_of(events, now_ms), schedule_at(events, now_ms)
        return known[2]

    def seed(self, room: str, event: str, committed: str) -> bytes:
        """Return the seed of the draw that was `committed` to; after a change of secrets, that of the elder."""
        return self._seeds(room, event, committed)

    def memory(self, room: str) -> str:
        """Return what this process remembers of `room`, to be kept where it outlives the process."""
        return self._memories.get(room, "")

    def remember(self, room: str, memory: str) -> None:
        """Take what an earlier process remembered; where Redis knows less, the next tick puts it back."""
        self._memories.setdefault(room, memory)

    async def tick(self, room: str) -> Snapshot:
        """Let time pass in `room`; return how it stands.

        Each tick gives Redis back what this process remembers from the one before: should Redis have lost data since,
        thresholds, limits and flags are restored, under a new generation.
        """
        rules, schedule = self.rules(room), self.schedule(room)
        keys = RoomKeys(room, schedule.event)
        seed = derive_seed(self._draw_keys[-1], room, schedule.event)
        reply = await self._runner.run(
            "rooms/tick",
            keys=[keys.room, keys.sessions, keys.log, *keys.of_lanes("queue", "line", "calls", "claimed", "knocks")],
            args=[
                0,
                schedule.event,
                *_times(schedule),
                repr(rules.new_users_per_minute),
                rules.total_active_users,
                rules.claim_window_ms,
                rules.settle_ms,
                secrets.token_hex(8),
                commitment(seed),
                _KEEP_MS,
                *self._draw(rules, schedule),
                self._memories.get(room, ""),
                rules.regather_ms,
                rules.forget_ms,
                repr(rules.lanes.priority_weight),
                repr(rules.lanes.slow_share),
                rules.stock.lasts_ms,
                rules.stock.deciding_ms,
            ],
        )
        snapshot, self._memories[room] = snapshot_of(room, schedule, reply[:-1]), reply[-1]
        self._skew_ms = snapshot.now_ms - self._clock.now_ms()
        self._waiting[room] = {name: lane.waiting for name, lane in snapshot.lanes.items()}
        return snapshot

    async def enter(self, room: str) -> Entered | Wait:
        """Let somebody straight into `room`, if nobody has to wait."""
        rules, schedule = self.rules(room), self.schedule(room)
        keys, session_id = RoomKeys(room, schedule.event), secrets.token_urlsafe(15)
        reply = await self._run(
            room,
            "rooms/enter",
            keys=[keys.room, keys.sessions, *keys.of_lanes("queue", "line")],
            args=[session_id, 0, rules.session_duration_ms, schedule.event, *_times(schedule)],
        )
        return Entered(session_id, reply[1]) if reply[0] == "admitted" else Wait(reply[1])

    async def join(self, ticket: Ticket, *, is_new: bool, committed: str) -> Place:
        """Give `ticket` its place, once; a ticket that was given before comes back to its old score.

        Raises:
            Refused: 410, the room takes nobody any more; 503, it is full, and this ticket never had a place.
        """
        keys = keys_of_join(ticket.room, ticket.event, ticket.lane)
        args = self._joining(ticket, committed, is_new=is_new)
        place = place_of(await self._run(ticket.room, _JOIN, keys=keys, args=args))
        assert place is not None, "the room was ticked where it had no state"
        return place

    def begin_to_join(self, ticket: Ticket, *, committed: str) -> asyncio.Future[Any]:
        """Begin to give a new `ticket` its place; `place_of` reads the reply.

        For who has no task to wait in. Where Redis lost the room's state, `join` puts it back, and this does not.

        Raises:
            StoreUnavailable: it is not even begun.
        """
        keys = keys_of_join(ticket.room, ticket.event, ticket.lane)
        args = self._joining(ticket, committed, is_new=True)
        return self._runner.call(_JOIN, keys=keys, args=args)

    async def leave(self, ticket: Ticket) -> bool:
        """Take `ticket` out of the line; return whether it had a place."""
        keys = RoomKeys(ticket.room, ticket.event, ticket.lane)
        reply = await self._runner.run(
            "rooms/leave",
            keys=[keys.queue, keys.line, keys.calls, keys.claimed, keys.knocks, keys.strays, keys.room],
            args=[ticket.ticket_id, 0],
        )
        return bool(reply[0] == "left")

    async def control(self, room: str, change: Change, *, who: str, why: str = "") -> Snapshot:
        """Make a change by ops and write it down; return how the room stands after it.

        Raises:
            Refused: 422, the value does not fit; 409, the rate is above its ceiling, and nobody forced it; a spin
                comes too early or too late, or the room is not turned by hand.
        """
        rules, schedule = self.rules(room), self.schedule(room)
        keys = RoomKeys(room, schedule.event)
        value = value_of(change)
        refuse_above_ceiling(change, rules.rate_ceiling_per_minute)
        if change.kind is ChangeKind.SPIN:
            await spin_by_hand(self._runner, rules, schedule.event, value, who=who, why=why)
            return await self.tick(room)
        if change.kind is ChangeKind.REVOKE:
            await revoke_by_hand(self._runner, rules, value, now_ms=self.now_ms(), who=who, why=why)
            return await self.tick(room)
        await self._run(
            room,
            "rooms/control",
            keys=[keys.room, keys.audit, keys.sessions, *keys.of_lanes("line", "calls")],
            args=[0, schedule.event, change.kind, value, rules.claim_window_ms, who, why, secrets.token_hex(8)],
        )
        return await self.tick(room)

    def _draw(self, rules: RoomRules, schedule: Schedule) -> list[str]:
        """Return what `tick` takes of the draw: until when its spin is awaited, what to tell should there be none."""
        if schedule.starts_ms is None:
            return ["", ""]
        awaits = rules.draws and rules.beacon.kind is not BeaconKind.NONE
        return [
            str(rules.beacon.awaited_until_ms(schedule.starts_ms)) if awaits else "",
            source_text(unspun(rules.beacon, schedule.starts_ms)),
        ]

    async def _run(self, room: str, script: str, *, keys: Sequence[str], args: list[Any]) -> Any:
        """Run `script`; where Redis lost the room's state, tick makes it anew and the script runs again."""
        reply = await self._runner.run(script, keys=keys, args=args)
        if reply[0] == "unloaded":
            await self.tick(room)
            reply = await self._runner.run(script, keys=keys, args=args)
        if reply[0] == "unloaded":
            raise StoreUnavailable(f"{script}: the room {room} has no state")
        return reply

    def _derived_seed(self, room: str, event: str, committed: str) -> bytes:
        seeds = [derive_seed(key, room, event) for key in self._draw_keys]
        return next((seed for seed in seeds if commitment(seed) == committed), seeds[-1])

    def _joining(self, ticket: Ticket, committed: str, *, is_new: bool) -> list[Any]:
        """Return what `join` takes."""
        schedule = self.schedule(ticket.room)
        seed = self.seed(ticket.room, ticket.event, committed)
        return [
            ticket.ticket_id,
            0,
            ticket.event,
            _text(schedule.starts_ms),
            _text(schedule.ends_ms),
            *scores_of(self.rules(ticket.room), ticket, schedule.starts_ms or 0, seed, is_new=is_new),
            self._most(ticket),
            self.rules(ticket.room).claim_window_ms,
        ]

    def _most(self, ticket: Ticket) -> int:
        """Return how many may wait in the lane of `ticket`: what the other lanes leave, as the last tick saw them."""
        most = self.rules(ticket.room).max_waiting
        if most == 0:
            return 0
        elsewhere = sum(people for lane, people in self._waiting.get(ticket.room, {}).items() if lane != ticket.lane)
        return max(most - elsewhere, 0) or -1


def _times(schedule: Schedule) -> list[str]:
    return [_text(schedule.prequeue_ms), _text(schedule.starts_ms), _text(schedule.ends_ms)]


def _text(number: int | None) -> str:
    return "" if number is None else str(number)
