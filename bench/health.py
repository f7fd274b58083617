"""Show what health feedback does for a store that slows under load: the same crowd at a fixed rate, and with feedback.

    python bench/health.py [--minutes 40] [--rate 900] [--seed 1]

The store has `SERVERS` workers and serves a request in 40 ms on average: it can do 200 a second, and answers queue
behind each other (M/M/c). Whoever is let in asks for a page, reads for 5 s on average, asks again, and leaves after
2 minutes on average. There is always somebody waiting. From minute 15 to 20 the store takes three times as long, and in
minute 30 it is gone. The room's scripts are the real ones, on a Valkey of their own, with their clock turned by hand;
two workers watch and report with the code that the edge runs. Nothing here depends on how fast this machine is.
"""

import argparse
import asyncio
import heapq
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # runs from a bare checkout, too

from tests.lua.room import Room
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.redis import RedisSettings, connected
from waitroom.rules.health import Circuit, HealthRules, Probe
from waitroom.rules.watch import Watch

SERVERS, SERVICE_S, READING_S, STAY_S = 8, 0.04, 5.0, 120.0
TARGET_S = 0.25
SLOW_FROM_S, SLOW_TO_S, SLOW_FACTOR = 15 * 60, 20 * 60, 3
GONE_FROM_S, GONE_TO_S = 30 * 60, 31 * 60
STEP_S = 0.25


@dataclass
class Minute:
    """What was seen in one minute."""

    rate: float = 0.0
    circuit: str = "closed"
    inside: int = 0
    took_s: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0

    @property
    def p95_ms(self) -> float:
        return sorted(self.took_s)[int(len(self.took_s) * 0.95)] * 1000 if self.took_s else 0.0


class Crowd:
    """The store and everybody inside, event by event."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.free_s = [0.0] * SERVERS
        self.watches = [Watch(HealthRules(round(TARGET_S * 1000))) for _ in range(2)]
        self.events: list[tuple[float, int, str, tuple[float, int, int]]] = []
        self.serial = 0
        self.minute = Minute()
        self.inside = 0

    def comes_in(self, at_s: float) -> None:
        self.inside += 1
        self._later(at_s, "ask", (at_s + self.chance.expovariate(1 / STAY_S), self.serial % 2, 0))

    def goes_on(self, until_s: float) -> None:
        """Let everything happen that happens before `until_s`."""
        while self.events and self.events[0][0] < until_s:
            at_s, _, what, one = heapq.heappop(self.events)
            if what == "ask":
                self._ask(at_s, *one)
            else:
                self._answer(at_s, what, one)

    def _ask(self, at_s: float, leaves_s: float, worker: int, _number: int) -> None:
        if at_s >= leaves_s:
            self.inside -= 1
            return
        number = self.watches[worker].begin(at_s, is_plain=True)
        if number is None:
            self.minute.refused += 1
            self._later(at_s + self.chance.uniform(5, 10), "ask", (leaves_s, worker, 0))
        elif GONE_FROM_S <= at_s < GONE_TO_S:
            self._later(at_s + 0.001, "failed", (leaves_s, worker, number))
        else:
            factor = SLOW_FACTOR if SLOW_FROM_S <= at_s < SLOW_TO_S else 1
            start_s = max(at_s, heapq.heappop(self.free_s))
            end_s = start_s + self.chance.expovariate(1 / SERVICE_S) * factor
            heapq.heappush(self.free_s, end_s)
            self._later(end_s, f"{end_s - at_s}", (leaves_s, worker, number))

    def _answer(self, at_s: float, what: str, one: tuple[float, int, int]) -> None:
        leaves_s, worker, number = one
        self.watches[worker].end(number, 502 if what == "failed" else 200, at_s)
        if what == "failed":
            self.minute.failed += 1
        else:
            self.minute.took_s.append(float(what))
        pause_s = self.chance.uniform(5, 10) if what == "failed" else self.chance.expovariate(1 / READING_S)
        self._later(at_s + pause_s, "ask", (leaves_s, worker, 0))

    def _later(self, at_s: float, what: str, one: tuple[float, int, int]) -> None:
        self.serial += 1
        heapq.heappush(self.events, (at_s, self.serial, what, one))


async def run(room: Room, crowd: Crowd, *, minutes: int, has_feedback: bool) -> list[Minute]:
    """Let in whom the room calls, minute by minute."""
    await room.tick(0)
    tickets = await joined(room, round(room.rate * minutes) + 100)
    found = []
    called = 0
    for step in range(1, round(minutes * 60 / STEP_S) + 1):
        at_s = step * STEP_S
        crowd.goes_on(at_s)
        at = round(at_s * 1000)
        if has_feedback and at % 1000 == 0:
            await report(room, crowd, at_s)
        snapshot = await room.tick(at)
        fresh = [next(tickets) for _ in range(snapshot["called"] - called)]
        called = snapshot["called"]
        for reply in await asyncio.gather(*[room.claim(ticket, at) for ticket in fresh]):
            assert reply[0] == "admitted", reply
            crowd.comes_in(at_s)
        if at % 60_000 == 0:
            crowd.minute.rate, crowd.minute.circuit = float(snapshot["in_force"]), snapshot["circuit"]
            crowd.minute.inside = crowd.inside
            found.append(crowd.minute)
            crowd.minute = Minute()
    return found


async def joined(room: Room, count: int) -> Iterator[str]:
    """Let a crowd join, and give its tickets in the order of the line."""
    for start in range(0, count, 500):
        numbers = range(start, min(count, start + 500))
        await asyncio.gather(*[room.join(f"t{number}", 0, score=number + 1.0) for number in numbers])
    return (f"t{number}" for number in range(count))


async def report(room: Room, crowd: Crowd, at_s: float) -> None:
    """Do for each worker what `HealthFeedback` does once a second."""
    for number, watch in enumerate(crowd.watches):
        outcome, sample = watch.outcome(at_s), watch.sample(at_s)
        seen = sample.requests, sample.slow, sample.failed
        probe = "" if outcome is None else Probe(outcome).value
        reply = await room.health(round(at_s * 1000), *seen, probe=probe, worker=f"w{number}")
        if outcome is not None:
            watch.settle()
        watch.heed(Circuit(reply[2]))
        if reply[4]:
            watch.grant(at_s)


def told(fixed: list[Minute], slowed: list[Minute]) -> None:
    """Print both runs side by side, and the sums."""
    print("minute |  fixed rate: inside  p95 ms  failed |  feedback: rate  inside  p95 ms  failed  held back  circuit")
    for number, (one, other) in enumerate(zip(fixed, slowed, strict=True), 1):
        print(
            f"{number:6} | {one.inside:19,} {one.p95_ms:7,.0f} {one.failed:7,} | {other.rate:15,.0f} {other.inside:7,}"
            f" {other.p95_ms:7,.0f} {other.failed:7,} {other.refused:10,}  {other.circuit}"
        )
    for name, minutes in (("fixed", fixed), ("feedback", slowed)):
        calm = [one for at, one in enumerate(minutes) if not SLOW_FROM_S <= at * 60 < SLOW_TO_S + 120 and at != 30]
        took = sorted(took for one in calm for took in one.took_s)
        on_target = sum(one.p95_ms <= TARGET_S * 1000 for one in calm)
        p95_ms = took[int(len(took) * 0.95)] * 1000
        rate = sum(len(one.took_s) for one in minutes) / len(minutes) / 60
        print(f"{name}: outside the disturbances p95 {p95_ms:,.0f} ms; {on_target} of {len(calm)} minutes on target; "
              f"{rate:.0f} requests a second over all")  # fmt: skip


async def main() -> None:
    """Run both and print them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=int, default=40)
    parser.add_argument("--rate", type=float, default=900.0, help="admissions a minute, at most")
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder:
        server = EmbeddedServer(Path(folder), append_only=False)
        await server.start()
        try:
            async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
                runs = []
                for has_feedback in (False, True):
                    await runner.client.flushdb()
                    room = Room(runner, rate=asked.rate, cap=1_000_000, keep_ms=10**9, duration_ms=10**7)
                    runs.append(await run(room, Crowd(asked.seed), minutes=asked.minutes, has_feedback=has_feedback))
        finally:
            await server.stop()
    told(*runs)


if __name__ == "__main__":
    asyncio.run(main())
