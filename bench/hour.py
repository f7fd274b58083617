"""Let an hour pass in a room and compare, at every tick, who came in with what the rate gives: `python -m bench.hour`.

The scripts are the real ones on a private Valkey, their clock turned by hand, a tick every quarter of a second; there
is always somebody waiting, and everybody comes when called. Nothing here depends on how fast this machine is.
"""

import argparse
import asyncio
import json
import sys
import tempfile
from math import floor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # runs from a bare checkout, too

from tests.lua.room import Room
from tests.lua.twin import KEYS
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected

HOUR_S = 3600
TICK_MS = 250
RATES = {"one in 7 minutes": 1 / 7, "7 a minute": 7.0, "90 a minute": 90.0, "599.9 a minute": 599.9}
FAST = 60_000.0
_AT_ONCE = 256


async def largest_deviation(runner: ScriptRunner, rate: float, seconds: int) -> int:
    """Return by how many those who came in were ever more or fewer than the rate gave: one at birth, then by time."""
    await runner.client.flushdb()
    room = Room(runner, rate=rate, cap=10**9, duration_ms=10**9, keep_ms=10**9)
    await room.tick()
    crowd = floor(rate / 60 * seconds) + 2
    for start in range(0, crowd, 10_000):
        numbers = range(start, min(crowd, start + 10_000))
        await runner.client.zadd(KEYS.queue, {f"t{number}": float(number + 1) for number in numbers})
    admitted, worst = 0, 0
    for at in range(0, seconds * 1000 + 1, TICK_MS):
        called = (await room.tick(at))["called"]
        for start in range(admitted, called, _AT_ONCE):
            numbers = range(start, min(called, start + _AT_ONCE))
            replies = await asyncio.gather(*[room.claim(f"t{number}", at) for number in numbers])
            admitted += sum(reply[0] == "admitted" for reply in replies)
        worst = max(worst, abs(admitted - floor(1 + at * rate / 60_000 + 1e-9)))
    return worst


async def measured(folder: Path, *, quick: bool) -> dict[str, int]:
    """Return the largest deviation for each rate: an hour each, of the fastest a minute."""
    server = EmbeddedServer(folder, append_only=False)
    await server.start()
    try:
        async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
            hour_s = HOUR_S // 60 if quick else HOUR_S
            found = {name: await largest_deviation(runner, rate, hour_s) for name, rate in RATES.items()}
            fast_s = 5 if quick else 60
            return found | {f"60,000 a minute, {fast_s} s": await largest_deviation(runner, FAST, fast_s)}
    finally:
        await server.stop()


def deviations(folder: Path, *, quick: bool) -> dict[str, int]:
    """Do the same for the run of all benches."""
    return asyncio.run(measured(folder, quick=quick))


def main() -> int:
    """Run it alone, and print it."""
    parser = argparse.ArgumentParser(prog="bench.hour", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute instead of an hour")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wr-") as folder:
        found = deviations(Path(folder) / "v", quick=asked.quick)
    print(json.dumps(found, indent=2))
    return 0 if not any(found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
