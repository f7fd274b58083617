"""Hold thousands of streams, and of idle connections, on one worker: `python -m bench.streams [--connections 20000]`.

What a connection takes is what the worker grew by; how late a change is, is counted from the moment that Redis has it
to the moment that the last of all streams has it. As many are opened as the system lets one process have files.
"""

import argparse
import asyncio
import json
import resource
import select
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from bench.parts import SECRET, cpu_seconds, worker
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.redis import RedisSettings, connected
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind, RoomRules
from waitroom.store.rooms import Rooms

_SPARE_FILES = 600
_SOURCES = 16
_TO_SPARE = 64
"""Seats for who was here before, and is on the way out."""
_LIMIT_S = 120.0
_CONFIG = """
[edge]
listen = "{edge}"
workers = 1
max_connections = {most}
max_connections_per_address = {most}
max_streams = {most}
keepalive_timeout = "1h"
[ops]
listen = "{ops}"
[[upstreams]]
name = "store"
url = "http://127.0.0.1:9"
[[rooms]]
name = "drop"
paths = ["/drop/"]
"""


class Crowd:
    """Connections from a few addresses of this machine to one port."""

    def __init__(self, port: int) -> None:
        """Connect nobody yet."""
        self._port = port
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}

    def open(self, count: int, path: str) -> None:
        """Open so many more, and ask each for `path`; some at a time, so that none waits to be accepted."""
        request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n\r\n".encode()
        for number in range(count):
            one = socket.create_connection(("127.0.0.1", self._port), 30, (f"127.0.0.{2 + number % _SOURCES}", 0))
            one.send(request)
            one.setblocking(False)
            self._sockets[one.fileno()] = one
            self._poll.register(one, select.EPOLLIN)
        self.heard(b"\r\n\r\n")

    def heard(self, word: bytes) -> int:
        """Return how many events came until everybody has heard `word`."""
        missing, events, late_s = set(self._sockets), 0, time.monotonic() + _LIMIT_S
        while missing:
            assert time.monotonic() < late_s, f"{len(missing)} have not heard {word!r}"
            for number, _ in self._poll.poll(1, 4096):
                data = self._sockets[number].recv(65536)
                assert data, "hung up"
                events += data.count(b"data: ")
                if word in data:
                    missing.discard(number)
        return events

    def close(self) -> None:
        """Hang up."""
        for one in self._sockets.values():
            one.close()
        self._sockets.clear()
        self._poll.close()


@contextmanager
def site(folder: Path, most: int) -> Iterator[tuple[int, int, str]]:
    """Run Valkey and a worker that takes so many; give its port, its pid and Redis's address."""
    edge = free_loopback()
    with worker(folder, edge, _CONFIG.format(edge=edge, ops=free_loopback(), most=most)) as found:
        yield edge.port, found.pid, found.environment["REDIS_URL"]


def memory_bytes(pid: int) -> int:
    """Return what a process has in memory."""
    line = next(one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if one.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def held(folder: Path, count: int, path: str) -> float:
    """Return how many bytes each of so many connections takes that has asked for `path`, and rests."""
    with site(folder, count + _TO_SPARE) as (port, pid, _):
        _ = _grown_bytes(port, pid, 8, path)  # what is loaded or made once
        return _grown_bytes(port, pid, count, path) / count


def _grown_bytes(port: int, pid: int, count: int, path: str) -> int:
    before, crowd = memory_bytes(pid), Crowd(port)
    crowd.open(count, path)
    time.sleep(3)  # the worker looks at each once a second, and lets go of what it needs no more
    grown = memory_bytes(pid) - before
    crowd.close()
    return grown


def told(folder: Path, count: int, *, rounds: int) -> dict[str, float]:
    """Return how long a change takes until the last of so many streams has it, and what telling one costs."""
    with site(folder, count + _TO_SPARE) as (port, pid, url):
        crowd, waits, events = Crowd(port), [], 0
        crowd.open(count, "/.waitroom/drop/events")
        before = cpu_seconds(pid)
        for number in range(rounds):
            word = f"round {number:04}"
            asyncio.run(_change(url, word))
            start = time.monotonic()
            events += crowd.heard(word.encode())
            waits.append(time.monotonic() - start)
        spent = cpu_seconds(pid) - before
        crowd.close()
    return {
        "last_has_it_s": round(median(waits), 3),
        "slowest_round_s": round(max(waits), 3),
        "cpu_us_an_event": round(spent / events * 1e6, 1),
    }


async def _change(url: str, text: str) -> None:
    async with connected(RedisSettings(url, max_connections=1, timeout_ms=5000)) as runner:
        rooms = Rooms(runner, [RoomRules("drop")], Keys([SECRET.encode()]), SystemClock())
        await rooms.control("drop", Change(ChangeKind.MESSAGE, text), who="bench")


def affordable(wanted: int) -> int:
    """Return how many connections a process may have here, and let this one have them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = wanted + _SPARE_FILES if hard == resource.RLIM_INFINITY else min(wanted + _SPARE_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))
    return files - _SPARE_FILES


def streams(folder: Path, *, count: int, rounds: int) -> dict[str, object]:
    """Return all figures."""
    count = affordable(count)
    for name in ("idle", "streams", "told"):
        (folder / name).mkdir()
    return {
        "connections": count,
        "idle_bytes_each": round(held(folder / "idle", count, "/.waitroom/drop/pulse")),
        "stream_bytes_each": round(held(folder / "streams", count, "/.waitroom/drop/events")),
        **told(folder / "told", count, rounds=rounds),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.streams", description=__doc__)
    parser.add_argument("--connections", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wr-streams-") as folder:
        print(json.dumps(streams(Path(folder), count=asked.connections, rounds=asked.rounds), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
