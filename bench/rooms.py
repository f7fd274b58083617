"""Fill one room with a crowd and see what a place costs: `python -m bench.rooms [--tickets 1000000]`.

Everybody joins through the store's own Python face, on a private Valkey with its append-only file; past a million the
line is filled straight with places of the same kind first, for they take a Python process too long. The microseconds
are Redis's own account of its scripts (INFO commandstats), the median of batches, so that a busy machine disturbs them
little; beside a join stands, turn about in the same line, a script that does nothing but ZADD: less it cannot be.
"""

import argparse
import asyncio
import json
import random
import resource
import secrets
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

from bench.parts import cpu_seconds
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys, Ticket
from waitroom.rules.lanes import MAIN
from waitroom.rules.rooms import Queueing, RoomRules, Schedule
from waitroom.store.keys import RoomKeys
from waitroom.store.rooms import Rooms
from waitroom.store.sessions import Admitted, Sessions

_KEYS = Keys([b"a-secret-for-measuring-of-32-characters"])
_LINE = RoomKeys("drop", "opening")
_FLOOR = "redis.call('ZADD', KEYS[2], 'NX', ARGV[9], ARGV[1])\nreturn { 'waiting', ARGV[9], false, 0 }"
_AT_ONCE, _CLAIMS, _ROUNDS = 512, 20_000, 40
_JOINED_AT_MOST = 1_000_000


class Watch:
    """What Redis's scripts cost since the last look."""

    def __init__(self, runner: ScriptRunner) -> None:
        self._runner = runner
        self._before = (0, 0)

    async def us_a_call(self) -> float:
        stats: Any = await self._runner.client.info("commandstats")
        found = stats.get("cmdstat_evalsha", {"calls": 0, "usec": 0})
        calls, usec = found["calls"] - self._before[0], found["usec"] - self._before[1]
        self._before = (found["calls"], found["usec"])
        return float(usec / max(calls, 1))

    async def us_median(self, step: Callable[[], Awaitable[object]], rounds: int) -> float:
        """Return what a call of `step` costs, each time it is awaited: the median."""
        await self.us_a_call()
        costs = []
        for _ in range(rounds):
            await step()
            costs.append(await self.us_a_call())
        return median(costs)


class Crowd:
    """Who joins, waits and comes in."""

    def __init__(self, runner: ScriptRunner, committed: str, now_ms: int) -> None:
        self._runner, self._committed, self._now_ms = runner, committed, now_ms
        self.joined: list[tuple[float, Ticket]] = []

    async def fill(self, count: int) -> None:
        """Put `count` places straight into the line."""
        chance = random.Random(count)
        for _ in range(count // _JOINED_AT_MOST * 100):
            places = {secrets.token_urlsafe(15): chance.random() for _ in range(_JOINED_AT_MOST // 100)}
            await self._runner.client.zadd(_LINE.queue, places)

    async def join(self, rooms: Rooms, count: int = _AT_ONCE) -> None:
        tickets = [Ticket("drop", "opening", MAIN, secrets.token_urlsafe(15), self._now_ms, None) for _ in range(count)]
        places = await asyncio.gather(*(rooms.join(each, is_new=True, committed=self._committed) for each in tickets))
        self.joined += [(place.score, ticket) for place, ticket in zip(places, tickets, strict=True)]

    async def join_floor(self, sha: str) -> None:
        """Do what a join cannot do without, for as many, with as many words."""
        chance = random.Random(len(self.joined))
        names = [secrets.token_urlsafe(15) for _ in range(_AT_ONCE)]
        keys = [_LINE.room, _LINE.queue, _LINE.line, _LINE.claimed, _LINE.sessions, _LINE.calls, _LINE.strays]
        async with self._runner.client.pipeline(transaction=False) as pipe:
            for name in names:
                told = [name, "0", "opening", "1", "1", "", "0.5", "0", repr(chance.random()), "1.5", "0"]
                pipe.execute_command("EVALSHA", sha, len(keys), *keys, *told)
            await pipe.execute()

    async def claim(self, sessions: Sessions, rooms: Rooms, count: int) -> int:
        """Let the first of those who joined come in; return how many did."""
        first = [ticket for _, ticket in sorted(self.joined, key=lambda each: each[0])[:count]]
        rules, schedule, admitted = rooms.rules("drop"), rooms.schedule("drop"), 0
        for start in range(0, len(first), _AT_ONCE):
            batch = first[start : start + _AT_ONCE]
            outcomes = await asyncio.gather(*(sessions.claim(ticket, rules, schedule) for ticket in batch))
            admitted += sum(isinstance(outcome, Admitted) for outcome in outcomes)
        return admitted


class Meter:
    """Seconds, and seconds of processor, of this process and of Redis since it was made."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._now()

    def _now(self) -> tuple[float, float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return time.perf_counter(), used.ru_utime + used.ru_stime, cpu_seconds(self._pid)

    def told(self, what: str, count: int) -> dict[str, float]:
        """Return how many of `what` a second, and what one of `count` costs each process."""
        seconds, ours, redis = (after - before for after, before in zip(self._now(), self._before, strict=True))
        return {
            f"{what}s_per_s": round(count / seconds),
            f"{what}_cpu_us_python": round(ours / count * 1e6, 1),
            f"{what}_cpu_us_valkey": round(redis / count * 1e6, 1),
        }


def rooms_opening(runner: ScriptRunner, starts_ms: int) -> Rooms:
    schedule = Schedule("opening", 1, starts_ms, starts_ms + 86_400_000)
    rules = RoomRules(
        "drop", Queueing.RANDOM, new_users_per_minute=3_600_000.0, total_active_users=10**7, events=(schedule,)
    )
    return Rooms(runner, [rules], _KEYS, SystemClock())


async def measure(count: int, folder: Path) -> dict[str, float]:
    server = EmbeddedServer(folder)
    await server.start()
    try:
        async with connected(RedisSettings(server.url, timeout_ms=30_000)) as runner:
            return await _measure(runner, count, server.pid)
    finally:
        await server.stop()


async def _measure(runner: ScriptRunner, count: int, pid: int) -> dict[str, float]:
    watch, now_ms = Watch(runner), SystemClock().now_ms()
    before, after = rooms_opening(runner, now_ms + 3_600_000), rooms_opening(runner, now_ms - 1)
    crowd = Crowd(runner, (await before.tick("drop")).commitment, now_ms)
    await crowd.join(before)  # compiles the script, opens the connections
    empty_bytes = await _memory_bytes(runner)
    await crowd.fill(count - _JOINED_AT_MOST)
    meter = Meter(pid)
    joins = min(count, _JOINED_AT_MOST) // _AT_ONCE
    for _ in range(joins):
        await crowd.join(before)
    found: dict[str, float] = {
        "tickets": await runner.client.zcard(_LINE.queue),
        **meter.told("join", joins * _AT_ONCE),
    }
    found["bytes_a_ticket"] = (await _memory_bytes(runner) - empty_bytes) / (found["tickets"] - _AT_ONCE)
    floor = str(await runner.client.script_load(_FLOOR))
    costs = [
        (
            await watch.us_median(lambda: crowd.join(before), 1),
            await watch.us_median(lambda: crowd.join_floor(floor), 1),
        )
        for _ in range(_ROUNDS)
    ]
    found["join_redis_us"], found["join_floor_redis_us"] = (median(each) for each in zip(*costs, strict=True))
    found["tick_redis_us_while_waiting"] = await watch.us_median(lambda: before.tick("drop"), 5 * _ROUNDS)
    found["tick_redis_us_while_calling"] = await watch.us_median(lambda: after.tick("drop"), 5 * _ROUNDS)
    found["join_redis_us_after_the_opening"] = await watch.us_median(lambda: crowd.join(after), _ROUNDS)
    claims, sessions = min(count // 4, _CLAIMS), Sessions(runner)
    while (await after.tick("drop")).main.called < claims * found["tickets"] / len(crowd.joined):
        pass
    meter = Meter(pid)
    found["claims_admitted"] = await crowd.claim(sessions, after, claims)
    found |= meter.told("claim", claims)
    found["claim_redis_us"] = await watch.us_a_call()
    return {name: round(value, 1) for name, value in found.items()}


async def _memory_bytes(runner: ScriptRunner) -> int:
    info: Any = await runner.client.info("memory")
    return int(info["used_memory"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.rooms", description=__doc__)
    parser.add_argument("--tickets", type=int, default=100_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wr-") as folder:
        found = uvloop.run(measure(asked.tickets, Path(folder) / "v"))
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
