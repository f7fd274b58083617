"""Compare Redis calls through ScriptRunner with the same calls sent one by one, in one run on one server.

    python bench/pipeline.py [--callers 200] [--calls 20000] [--rounds 5]

Each of `callers` tasks awaits one `limits/take` after the other, as requests do. Ways, turn about:

one by one    redis-py's EVALSHA on a pool of 16 connections: a round trip a call
gathered      ScriptRunner: the calls of an event-loop turn share a round trip
alone         ScriptRunner with a single caller: what gathering costs who has nobody to share with
N flights     gathered, with at most N round trips under way at once

Ratios are the result; absolute numbers say only how fast this machine is today.
"""

import argparse
import asyncio
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1]))  # runs from a bare checkout, too

from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.scripts import load_script

Call = Callable[[str], Awaitable[object]]
TAKE = load_script("limits/take")


@dataclass(frozen=True, slots=True)
class Measure:
    """One round of one way."""

    calls_per_s: float
    cpu_us_a_call: float
    p99_ms: float


async def measure(call: Call, *, callers: int, calls: int) -> Measure:
    """Let `callers` make `calls` together."""
    waits_s: list[float] = []

    async def one_caller(number: int) -> None:
        for _ in range(calls // callers):
            start_s = time.perf_counter()
            await call(f"wr:{{limit:{number}}}")
            waits_s.append(time.perf_counter() - start_s)
            for _ in range(number % 7):  # not all in step, as requests are not
                await asyncio.sleep(0)

    start_s, start_cpu_s = time.perf_counter(), cpu_s()
    async with asyncio.TaskGroup() as group:
        for number in range(callers):
            group.create_task(one_caller(number))
    took_s, took_cpu_s = time.perf_counter() - start_s, cpu_s() - start_cpu_s
    made = len(waits_s)
    return Measure(made / took_s, took_cpu_s / made * 1e6, sorted(waits_s)[made * 99 // 100] * 1000)


def cpu_s() -> float:
    """Return the processor time of this process; the server is another."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def gathered(runner: ScriptRunner) -> Call:
    """Return a call as the waiting room makes it."""

    async def call(key: str) -> object:
        return await runner.run("limits/take", keys=[key], args=[60_000, 1000, 1, 0])

    return call


def one_by_one(runner: ScriptRunner) -> Call:
    """Return the same call as any user of redis-py makes it."""

    async def call(key: str) -> object:
        return await runner.client.evalsha(TAKE.sha, 1, key, 60_000, 1000, 1, 0)

    return call


async def main(*, callers: int, calls: int, rounds: int) -> None:
    """Measure every way `rounds` times, turn about, and print the medians and their ratio."""
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder:
        server = EmbeddedServer(Path(folder), append_only=False)
        await server.start()
        try:
            async with connected(RedisSettings(server.url, max_connections=16, timeout_ms=5000)) as runner:
                await gathered(runner)("warm")
                ways = {
                    "one by one": (one_by_one(runner), callers, calls),
                    "gathered": (gathered(runner), callers, calls),
                    "alone": (gathered(runner), 1, calls // 10),
                }
                for flights in (1, 2, 4, 8, 16):
                    other = ScriptRunner(runner.client, flights=flights)
                    ways[f"  {flights:>2} flights"] = (gathered(other), callers, calls)
                measures: dict[str, list[Measure]] = {name: [] for name in ways}
                for _ in range(rounds):
                    for name, (call, callers_, calls_) in ways.items():
                        measures[name].append(await measure(call, callers=callers_, calls=calls_))
        finally:
            await server.stop()
    print(f"{callers} callers, {calls} calls, median of {rounds} rounds")
    print(f"{'':<12}{'calls/s':>10}{'CPU µs a call':>15}{'p99 ms':>9}")
    for name, found in measures.items():
        rate, cpu, p99 = (median(getattr(m, field) for m in found) for field in Measure.__slots__)
        print(f"{name:<12}{rate:>10,.0f}{cpu:>15.1f}{p99:>9.2f}")
    plain, ours = measures["one by one"], measures["gathered"]
    faster = [g.calls_per_s / o.calls_per_s for g, o in zip(ours, plain, strict=True)]
    cheaper = [o.cpu_us_a_call / g.cpu_us_a_call for g, o in zip(ours, plain, strict=True)]
    print(f"gathered makes {median(faster):.2f} x the calls/s (rounds: {min(faster):.2f} to {max(faster):.2f})")
    print(f"   at 1/{median(cheaper):.2f} of the CPU a call (rounds: {min(cheaper):.2f} to {max(cheaper):.2f})")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--callers", type=int, default=200, help="how many wait at once (default %(default)s)")
    parser.add_argument("--calls", type=int, default=20_000, help="how many calls a round (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="how many rounds (default %(default)s)")
    told = parser.parse_args()
    uvloop.run(main(callers=told.callers, calls=told.calls, rounds=told.rounds))
