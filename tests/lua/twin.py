"""A room twice: the scripts on a real Valkey and the model, every move made on both, every promise looked at."""

import json
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from math import inf
from typing import Any

from redis import Redis

from tests.lua.model import Memory, Model, Reply, Times, lane_of
from waitroom.kernel.scripts import load_script
from waitroom.rules.lanes import LANES, MAIN
from waitroom.store.keys import RoomKeys

KEYS = RoomKeys("drop", "opening")


def room_keys(keys: RoomKeys) -> dict[str, list[str]]:
    """Return the keys of every script, for a ticket in the lane of `keys`."""
    k = keys
    return {
        "rooms/enter": [k.room, k.sessions, *k.of_lanes("queue", "line")],
        "rooms/join": [k.room, k.queue, k.line, k.claimed, k.sessions, k.calls, k.strays, k.knocks],
        "rooms/tick": [k.room, k.sessions, k.log, *k.of_lanes("queue", "line", "calls", "claimed", "knocks")],
        "rooms/leave": [k.queue, k.line, k.calls, k.claimed, k.knocks, k.strays, k.room],
        "draws/spin": [k.line, k.audit],
        "draws/freeze": [k.line],
        "rooms/health": [k.room, k.health, k.audit, *k.of_lanes("line", "calls")],
        "rooms/stock": [k.room],
        "rooms/control": [k.room, k.audit, k.sessions, *k.of_lanes("line", "calls")],
        "sessions/claim": [k.room, k.sessions, k.revoked, k.queue, k.line, k.calls, k.claimed, k.knocks],
        "sessions/touch": [k.sessions, k.revoked, k.room],
        "sessions/release": [k.sessions, k.revoked],
        "sessions/revoke": [k.sessions, k.revoked, k.room, k.audit],
    }


LANE_KEYS = {lane: room_keys(KEYS.of(lane)) for lane in LANES}
ROOM_KEYS = LANE_KEYS[MAIN]
Patch = Mapping[str, tuple[str, str]]
"""What a mutant changes: script -> (text, other text)."""

_KEEP_MS = 3_600_000
ALL_KEYS = sorted({key for scripts in LANE_KEYS.values() for keys in scripts.values() for key in keys})


@dataclass(frozen=True)
class _Moment:
    """What the rate promises from here on."""

    admitted: int
    earned: float
    allowance: float


@dataclass(frozen=True)
class _Worker:
    """What one worker remembers, as the script wrote it and as the model has it."""

    text: str = ""
    memory: Memory | None = None
    admissions: int = 0


class Twin:
    """The scripts and the model, side by side; an AssertionError is a promise that was broken."""

    def __init__(
        self, client: "Redis", times: Times, *, now: int = 1_700_000_000_000, patch: Patch | None = None
    ) -> None:
        """Begin with an empty database and no state."""
        self.client = client
        self.times = times
        self.model = Model(times)
        self.now = now
        self.scores: dict[str, float] = {}
        self.admitted: set[str] = set()
        self._sources = {name: load_script(name).source for name in ROOM_KEYS}
        for name, (text, other) in (patch or {}).items():
            if self._sources[name].count(text) != 1:
                raise ValueError(f"the mutant does not fit {name}: {text}")
            self._sources[name] = self._sources[name].replace(text, other)
        client.flushdb()
        self._set_spin()
        self._moments: list[_Moment] = []
        self._earned, self._earned_ms, self._changes, self._admissions = 0.0, now, 0, 0
        self._workers: dict[int, _Worker] = {}
        self._copy: Model | None = None
        self._lapsed_upto: dict[str, float] = {}
        self._newborns, self._has_lost, self._lost_beats = 0, False, 0
        self._lost_lives: set[str] = set()
        self.passes: dict[str, tuple[int, int]] = {}
        self._strangers: set[str] = set()

    def advance(self, ms: int) -> None:
        """Let time pass."""
        self.now += ms

    def lose(self) -> None:
        """Lose all of Redis, and with it what was promised about the rate."""
        self.client.flushdb()
        self._set_spin()
        self.model.lose()
        self._copy = None
        self._lost()

    def restart_workers(self) -> None:
        """Forget what the workers remember; what Redis loses from here on is lost."""
        self._workers.clear()

    def keep_copy(self) -> None:
        """Do what a replica, or an append-only file, does: keep the state of now."""
        self._copy = deepcopy(self.model)
        self._replace(ALL_KEYS, {key: f"copy:{key}" for key in ALL_KEYS})

    def fail_over(self) -> None:
        """Go on from the copy: whatever happened since is lost."""
        if self._copy is not None:
            self.model = deepcopy(self._copy)
            self._replace([f"copy:{key}" for key in ALL_KEYS], {f"copy:{key}": key for key in ALL_KEYS})
            self._lost()

    def _replace(self, keys: Iterable[str], names: Mapping[str, str]) -> None:
        for key in keys:
            if not self.client.copy(key, names[key], replace=True):
                self.client.delete(names[key])

    def _lost(self) -> None:
        self._has_lost = True
        self._moments.clear()
        self._lost_beats, self._lost_lives = self.model.beats, set(self.model.lives)
        self._lapsed_upto.clear()
        self.admitted.clear()  # until the call of their batch lapses, or their pass is shown
        if not any(worker.memory for worker in self._workers.values()):
            self.passes.clear()

    def _is_lapsed(self, ticket: str) -> bool:
        """Whether a worker that ticked since the last loss remembers that the call of `ticket` is over."""
        score, lane = self.scores.get(ticket), lane_of(ticket)
        if score is None:
            return False
        turn = (score - self.times.spin) % 1 if 0 <= score < 1 and lane == MAIN else score
        return turn <= self._lapsed_upto.get(lane, -inf)

    def tick(self, worker: int = 0) -> Reply:
        """Let `worker` tick, with what it remembers."""
        t, before = self.times, self._workers.get(worker, _Worker())
        self._newborns += 1
        newborn = f"g{self._newborns}"
        limits = [repr(t.rate), t.cap, t.window_ms, t.settle_ms, newborn, "commitment", _KEEP_MS, "", "none"]
        weights = [repr(t.priority_weight), repr(t.slow_share), t.lasts_ms, t.deciding_ms]
        reply = self._run("rooms/tick", [*self._event(), *limits, before.text, t.regather_ms, t.trim_ms, *weights])
        (_, generation, phase, now, lanes, *counts) = reply
        told = [(name, float(serving), *seen) for name, serving, *seen in lanes]
        seen = ["ticked", phase, told, *counts[:4], float(counts[4]), *counts[5:8], counts[-2]]
        assert now == self.now
        self._agreed(seen, self.model.tick(self.now, before.memory, newborn))
        assert generation == self.model.generation
        # A worker that slept through two losses may alone know of a lapse before the first: it is not asked.
        for name, grown in (before.memory.lanes if before.memory else {}).items():
            if grown["lapsed_upto"] <= self.model.lanes[name].lapsed_upto:
                self._lapsed_upto[name] = max(self._lapsed_upto.get(name, -inf), grown["lapsed_upto"])
        if self._has_lost:
            self._healed(before, generation)
        self._workers[worker] = _Worker(reply[-1], self.model.memory(self.now), self._admissions)
        return seen

    def _healed(self, worker: _Worker, generation: str) -> None:
        """Look at what must be as it was, now that a worker has ticked after a loss."""
        self._has_lost = False
        self._strangers |= {name for name, (_, number) in self.passes.items() if number > worker.admissions}
        is_older_life = worker.memory and worker.memory.generation in self._lost_lives
        if worker.memory and worker.memory.beats > self._lost_beats and not is_older_life:
            assert generation == f"g{self._newborns}", "the pages see that something was lost"
            for name, grown in worker.memory.lanes.items():
                lane = self.model.lanes[name]
                assert lane.serving >= grown["serving"], "who was called is called"
                assert lane.lapsed_upto >= grown["lapsed_upto"], "who lapsed has lapsed"
            assert self.model.revision >= worker.memory.revision, "what ops said holds"

    def stock(self, left: int, held: int, said: int) -> Reply:
        """Report what the store behind has, as it said at `said`."""
        reply = self._run("rooms/stock", [self.now, left, held, said])
        return self._agreed(reply, self.model.report(left, held, said, self.now))

    def enter(self, session: str) -> Reply:
        was_inside = self.model.sessions.get(session, 0) > self.now
        reply = self._run("rooms/enter", [session, self.now, self.times.duration_ms, *self._event()[1:]])
        self._agreed(reply, self.model.enter(session, self.now))
        if reply[0] == "admitted" and not was_inside:
            self._look_at_admission(session, reply[1])
        return list(reply)

    def join(self, ticket: str, scores: tuple[float, float, float], *, is_resent: bool = False) -> Reply:
        """Present `ticket`, with its old score if it ever had one: like a browser that kept its cookie.

        One that `is_resent` comes without: like a browser whose first answer was lost.
        """
        kept = None if is_resent and ticket in self.model.lane(ticket).queue else self.scores.get(ticket)
        head, draw, tail = scores
        times = ["" if time is None else time for time in (self.times.starts, self.times.ends)]
        told = [
            "" if kept is None else repr(kept),
            repr(head),
            self.times.heads,
            repr(draw),
            repr(tail),
            0,
            self.times.window_ms,
        ]
        reply = self._run("rooms/join", [ticket, self.now, KEYS.event, *times, *told], lane_of(ticket))
        seen = [reply[0], float(reply[1]), *reply[2:]] if len(reply) > 1 else reply
        self._agreed(seen, self.model.join(ticket, self.now, (kept, *scores)))
        if len(seen) > 1:
            assert self.scores.setdefault(ticket, seen[1]) == seen[1], "a ticket keeps its score for ever"
        return seen

    def leave(self, ticket: str) -> Reply:
        return self._agreed(
            self._run("rooms/leave", [ticket, self.now], lane_of(ticket)), self.model.leave(ticket, self.now)
        )

    def claim(self, ticket: str) -> Reply:
        was_inside = self.model.sessions.get(ticket, 0) > self.now
        lane = self.model.lane(ticket)
        is_called = ticket in lane.queue and lane.turn(ticket) <= lane.serving
        is_back = ticket in lane.returned
        ends = "" if self.times.ends is None else self.times.ends
        told = [ticket, self.now, self.times.duration_ms, KEYS.event, ends]
        reply = self._run("sessions/claim", told, lane_of(ticket))
        self._agreed(reply, self.model.claim(ticket, self.now))
        if reply[0] == "admitted" and not was_inside:
            assert is_called, "nobody comes in before their turn"
            assert is_back or not self._is_lapsed(ticket), "who lapsed stays lapsed, unless they are back"
            self._look_at_admission(ticket, reply[1])
        return list(reply)

    def touch(self, visits: Sequence[tuple[str, int]]) -> Reply:
        told = json.dumps([part for visit in visits for part in visit])
        for name, end in visits:
            if name in self.passes and end > self.passes[name][0] > self.now and name not in self.model.revoked:
                self.passes[name] = (end, self.passes[name][1])
        return self._agreed(self._run("sessions/touch", [self.now, told, 0]), self.model.touch(self.now, list(visits)))

    def release(self, session: str) -> Reply:
        until = self.now + self.times.duration_ms
        reply = self._run("sessions/release", [session, self.now, until])
        self.passes.pop(session, None)
        return self._agreed(reply, self.model.release(session, self.now, until))

    def control(self, kind: str, value: str = "") -> Reply:
        self._earn()
        self._changes += 1
        told = [self.now, KEYS.event, kind, value, self.times.window_ms, "ops", "why", str(self._changes)]
        return self._agreed(self._run("rooms/control", told), self.model.control(self.now, kind, value))

    def look(self) -> None:
        """Look at what must hold at every moment."""
        if not self.model.is_loaded:
            return
        expected = int(self.client.hget(KEYS.room, "expected") or 0)
        assert expected == self.model.expected(), "who is counted on to come is who was called and may come"
        for lane in self.model.lanes.values():
            ratio = float(self.client.hget(KEYS.of(lane.name).line, "show_up_ratio") or 1)
            assert ratio == lane.show_up_ratio(), "so many of the called came in, or came and were told to come back"
        self._earn()
        moment = _Moment(self._admissions, self._earned, self.model.burst() + expected)
        self._moments.append(moment)
        for before in self._moments:
            came_in = moment.admitted - before.admitted
            bound = moment.earned - before.earned + before.allowance
            assert came_in <= bound + 1e-6, f"{came_in} came in where {bound} may"

    def _look_at_admission(self, name: str, end: int) -> None:
        assert name not in self.admitted, "nobody comes in twice"
        self.admitted.add(name)
        self._admissions += 1
        self.passes[name] = (end, self._admissions)
        alive = {name for name, (end, _) in self.passes.items() if end > self.now}
        assert len(alive - self._strangers) <= self.model.cap, "never more valid passes than the cap, also after a loss"
        inside: Any = self.client.zcard(KEYS.sessions)
        assert inside <= self.model.cap, "never more inside than the cap"

    def _earn(self) -> None:
        self._earned += (self.now - self._earned_ms) * self.model.rate / 60000
        self._earned_ms = self.now

    def _event(self) -> list[Any]:
        t = self.times
        times = ["" if time is None else time for time in (t.prequeue, t.starts, t.ends)]
        return [self.now, KEYS.event, *times]

    def _set_spin(self) -> None:
        if self.times.spin:
            self.client.hset(KEYS.line, "spin", repr(self.times.spin))

    def _agreed(self, seen: Reply, oracle: Reply) -> Reply:
        assert seen == oracle, f"the script says {seen}, the model {oracle}"
        return seen

    def _run(self, name: str, args: Sequence[object], lane: str = MAIN) -> Any:
        keys = LANE_KEYS[lane][name]
        return self.client.eval(self._sources[name], len(keys), *keys, *[str(arg) for arg in args])
