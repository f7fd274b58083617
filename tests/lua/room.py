"""One room for the tests of single scripts: each move with everything but what the test is about filled in."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.lua.model import lane_of
from tests.lua.twin import KEYS, LANE_KEYS
from waitroom.kernel.redis import ScriptRunner
from waitroom.rules.lanes import MAIN

T0 = 1_700_000_000_000
"""The instant from which the tests count their time, in ms since 1970."""


@dataclass
class Room:
    """A room on a real Valkey; `at` is ms after T0, times are so too."""

    redis: ScriptRunner
    rate: float = 600.0
    cap: int = 100
    window_ms: int = 120_000
    settle_ms: int = 25_000
    duration_ms: int = 300_000
    prequeue: int | None = None
    starts: int | None = None
    ends: int | None = None
    awaited: int | None = None
    heads: int = 0
    max_waiting: int = 0
    keep_ms: int = 3_600_000
    regather_ms: int = 25_000
    trim_ms: int = 86_400_000
    priority_weight: float = 3.0
    slow_share: float = 0.1
    lasts_ms: int = 15_000
    deciding_ms: int = 20_000
    memory: str = ""
    last_memory: str = ""
    rate_floor: float = 6.0
    serials: Iterator[int] = field(default_factory=count)

    async def tick(self, at: int = 0, *, newborn: str = "one", memory: str | None = None) -> dict[str, Any]:
        """Tick as a worker that remembers `memory`, else what `self.memory` holds: by default, nothing."""
        limits = [repr(self.rate), self.cap, self.window_ms, self.settle_ms, newborn, "commitment", self.keep_ms]
        draw = ["" if self.awaited is None else T0 + self.awaited, "none"]
        memories = [self.memory if memory is None else memory, self.regather_ms, self.trim_ms]
        weights = [repr(self.priority_weight), repr(self.slow_share), self.lasts_ms, self.deciding_ms]
        reply = await self.run("rooms/tick", at, KEYS.event, *self.times(), *limits, *draw, *memories, *weights)
        names = (
            "word generation phase now lanes sessions outstanding admitted lapsed rate cap message "
            "revision commitment spin in_force ratio circuit circuit_since spin_source roster_root roster_count "
            "closed open_until revoked_before show_up_ratio stock memory"
        )
        told = dict(zip(names.split(), reply, strict=True))
        self.last_memory = told.pop("memory")
        (_, told["serving"], told["called"], told["waiting"]), *others = told.pop("lanes")
        told |= {name: (serving, called, waiting) for name, serving, called, waiting in others}
        return told

    async def ticks(self, count: int, every_ms: int, since: int = 0) -> dict[str, Any]:
        """Tick `count` times; return the last snapshot."""
        for number in range(1, count):
            await self.tick(since + number * every_ms)
        return await self.tick(since + count * every_ms)

    async def ticked(self, until: int, since: int = 0) -> dict[str, Any]:
        """Tick every second, as workers do who reach Redis all the time; return the last snapshot."""
        for at in range(since, until, 1000):
            await self.tick(at)
        return await self.tick(until)

    async def join(
        self, ticket: str, at: int = 0, *, score: float = 1.0, kept: float | None = None, **other: float
    ) -> Any:
        """Join at `score`, whichever segment the script chooses, unless `head`, `draw` or `tail` says otherwise."""
        scores = [
            _text(other.get("head", score)),
            self.heads,
            _text(other.get("draw", score)),
            _text(other.get("tail", score)),
            self.max_waiting,
            self.window_ms,
        ]
        kept_text = "" if kept is None else _text(kept)
        return await self.run(
            "rooms/join", ticket, at, KEYS.event, *self.times()[1:], kept_text, *scores, lane=lane_of(ticket)
        )

    async def crowd(self, count: int, at: int = 0) -> list[str]:
        """Let `count` tickets join, at the scores 1, 2, 3 and so on."""
        tickets = [f"t{number}" for number in range(1, count + 1)]
        for number, ticket in enumerate(tickets, 1):
            await self.join(ticket, at, score=float(number))
        return tickets

    async def claim(self, ticket: str, at: int = 0) -> Any:
        return await self.run(
            "sessions/claim", ticket, at, self.duration_ms, KEYS.event, self.times()[2], lane=lane_of(ticket)
        )

    async def claims(self, tickets: list[str], at: int = 0) -> list[str]:
        """Return the tickets that came in."""
        return [ticket for ticket in tickets if (await self.claim(ticket, at))[0] == "admitted"]

    async def enter(self, session: str, at: int = 0) -> Any:
        return await self.run("rooms/enter", session, at, self.duration_ms, KEYS.event, *self.times())

    async def leave(self, ticket: str, at: int = 0) -> Any:
        return await self.redis.run(
            "rooms/leave", keys=LANE_KEYS[lane_of(ticket)]["rooms/leave"], args=[ticket, T0 + at]
        )

    async def control(self, kind: str, value: str = "", at: int = 0, *, id_: str = "") -> Any:
        told = [KEYS.event, kind, value, self.window_ms, "ann", "because", id_ or f"{kind} {value} {at}"]
        return await self.run("rooms/control", at, *told)

    async def stock(self, left: int, held: int = 0, at: int = 0, *, said: int | None = None) -> Any:
        """Report as the store behind; `said` is ms after T0 by its own clock, which by default goes as ours."""
        return await self.run("rooms/stock", at, left, held, T0 + (at if said is None else said))

    async def health(self, at: int = 0, *seen: int, probe: str = "", worker: str = "w1", serial: int = -1) -> Any:
        """Report requests, slow and failed ones, with the defaults of the configuration."""
        told = [worker, next(self.serials) if serial < 0 else serial, *(seen or (0, 0, 0)), probe]
        terms = [repr(self.rate_floor), 10_000, 20, "0.05", "0.5", 300_000, 5_000, self.window_ms]
        return await self.run("rooms/health", at, *told, *terms)

    async def touch(self, visits: dict[str, int], at: int = 0, *, revoked_before: int = 0) -> Any:
        told = json.dumps([part for name, end in visits.items() for part in (name, T0 + end)])
        return await self.run("sessions/touch", at, told, revoked_before and T0 + revoked_before)

    async def release(self, session: str, at: int = 0, until: int = 300_000) -> Any:
        return await self.run("sessions/release", session, at, T0 + until)

    async def revoke(self, session: str, at: int = 0, until: int = 300_000) -> Any:
        return await self.run("sessions/revoke", session, at, T0 + until, "ann", "because")

    def times(self) -> list[str | int]:
        return ["" if time is None else T0 + time for time in (self.prequeue, self.starts, self.ends)]

    async def run(self, name: str, *args: Any, lane: str = MAIN) -> Any:
        """Run a script; whatever stands in the place of `now` counts from T0."""
        told, place = list(args), _PLACE_OF_NOW[name]
        at = told[place]
        assert isinstance(at, int)
        told[place] = T0 + at
        return await self.redis.run(name, keys=LANE_KEYS[lane][name], args=told)

    async def spin(self, spin: float, source: str = "beacon", at: int = 0) -> Any:
        return await self.run("draws/spin", at, repr(spin), source, "ann", "3 17", "because")

    async def freeze(self, root: str = "", number: int = 0, *, at: int = 0, worker: str = "one") -> Any:
        assert self.starts is not None
        return await self.run("draws/freeze", at, T0 + self.starts, worker, root, number, 1000)

    async def expected(self) -> int:
        """Return how many of the called are counted on to come."""
        return int(await self.redis.client.hget(KEYS.room, "expected") or 0)

    async def line(self, field: str) -> str | None:
        found = await self.redis.client.hget(KEYS.line, field)
        return None if found is None else str(found)


def _text(score: float) -> str:
    """Return `score` as Redis tells it: every bit, and no fraction where there is none."""
    return f"{score:.17g}"


_PLACE_OF_NOW = {
    "rooms/tick": 0,
    "draws/spin": 0,
    "draws/freeze": 0,
    "rooms/control": 0,
    "rooms/health": 0,
    "rooms/stock": 0,
    "sessions/touch": 0,
    "rooms/join": 1,
    "rooms/enter": 1,
    "sessions/claim": 1,
    "sessions/release": 1,
    "sessions/revoke": 1,
}
