"""Fill one room with a crowd and see what a place costs: `python -m bench.rooms [--tickets 1000000]`.

Everything goes through the store's own Python face, on a private Valkey with its append-only file. The microseconds are
Redis's own account of its scripts (INFO commandstats), so a busy machine disturbs them little.
"""

import argparse
import asyncio
import json
import secrets
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import uvloop

from waitroom.kernel.clock import SystemClock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys, Ticket
from waitroom.rules.rooms import MAIN, Queueing, RoomRules, Schedule
from waitroom.store.rooms import Rooms
from waitroom.store.sessions import Admitted, Sessions

KEYS = Keys([b"a-secret-for-measuring-of-32-characters"])
_AT_ONCE = 512
_CLAIMS = 20_000


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


async def memory_bytes(runner: ScriptRunner) -> int:
    info: Any = await runner.client.info("memory")
    return int(info["used_memory"])


def rooms_opening(runner: ScriptRunner, starts_ms: int) -> Rooms:
    schedule = Schedule("opening", 1, starts_ms, starts_ms + 86_400_000)
    rules = RoomRules(
        "drop", Queueing.RANDOM, new_users_per_minute=3_600_000.0, total_active_users=10**7, events=(schedule,)
    )
    return Rooms(runner, [rules], KEYS, SystemClock())


async def join_all(rooms: Rooms, count: int) -> list[Ticket]:
    committed = (await rooms.tick("drop")).commitment
    now_ms = rooms.now_ms()
    tickets = [Ticket("drop", "opening", MAIN, secrets.token_urlsafe(15), now_ms, None) for _ in range(count)]
    for start in range(0, count, _AT_ONCE):
        batch = tickets[start : start + _AT_ONCE]
        await asyncio.gather(*(rooms.join(ticket, is_new=True, committed=committed) for ticket in batch))
    return tickets


async def measure(count: int, folder: Path) -> dict[str, float]:
    server = EmbeddedServer(folder)
    await server.start()
    try:
        async with connected(RedisSettings(server.url, timeout_ms=10_000)) as runner:
            return await _measure(runner, count)
    finally:
        await server.stop()


async def _measure(runner: ScriptRunner, count: int) -> dict[str, float]:
    watch, now_ms = Watch(runner), SystemClock().now_ms()
    before = rooms_opening(runner, now_ms + 3_600_000)
    await before.tick("drop")
    empty_bytes = await memory_bytes(runner)
    await watch.us_a_call()
    start = time.perf_counter()
    tickets = await join_all(before, count)
    joined_s, join_us = time.perf_counter() - start, await watch.us_a_call()
    bytes_a_ticket = (await memory_bytes(runner) - empty_bytes) / count
    for _ in range(200):
        await before.tick("drop")
    waiting_tick_us = await watch.us_a_call()
    after = rooms_opening(runner, now_ms - 1)
    for _ in range(200):
        await after.tick("drop")
    calling_tick_us = await watch.us_a_call()
    sessions, schedule, rules = Sessions(runner), after.schedule("drop"), after.rules("drop")
    start, admitted = time.perf_counter(), 0
    for first in range(0, min(count, _CLAIMS), _AT_ONCE):
        batch = tickets[first : first + _AT_ONCE]
        outcomes = await asyncio.gather(*(sessions.claim(ticket, rules, schedule) for ticket in batch))
        admitted += sum(isinstance(outcome, Admitted) for outcome in outcomes)
    return {
        "tickets": count,
        "joins_per_s_one_process": round(count / joined_s),
        "join_redis_us": round(join_us, 1),
        "bytes_a_ticket": round(bytes_a_ticket, 1),
        "tick_redis_us_while_waiting": round(waiting_tick_us, 1),
        "tick_redis_us_while_calling": round(calling_tick_us, 1),
        "claims_per_s_one_process": round(min(count, _CLAIMS) / (time.perf_counter() - start)),
        "claim_redis_us": round(await watch.us_a_call(), 1),
        "claims_admitted": admitted,
    }


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
