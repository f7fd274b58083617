"""The processes that a comparison is made of: ours, the peer's, and what loads them; CPU time is read from /proc."""

import asyncio
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from waitroom.kernel.embedded import server_binary
from waitroom.kernel.units import Address

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SERVER_CORE, LOAD_CORE = "0", "1"
SECRET = "a-secret-for-measuring-of-32-characters"


@dataclass(frozen=True, slots=True)
class Cost:
    """What some requests cost the processes that answered them."""

    requests: int
    seconds: float
    cpu_s: Mapping[str, float]

    @property
    def per_s(self) -> float:
        return self.requests / self.seconds

    def cpu_us(self, process: str) -> float:
        return self.cpu_s[process] / self.requests * 1_000_000


def cpu_seconds(pid: int) -> float:
    """Return user and system time of a process (proc(5), stat, fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@contextmanager
def running(arguments: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None) -> Iterator[int]:
    """Run a server on its own core while the block lasts; give its pid."""
    process = subprocess.Popen(
        ["taskset", "-c", SERVER_CORE, *arguments],
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.DEVNULL,
        stderr=(cwd / "errors.log").open("ab"),
    )
    try:
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


@dataclass(frozen=True, slots=True)
class OnValkey:
    """A server of ours, and the Valkey that it works on."""

    pid: int
    valkey: int
    environment: Mapping[str, str]


@contextmanager
def on_valkey(folder: Path, *arguments: str, appendonly: bool = False) -> Iterator[OnValkey]:
    """Run a module of ours on a Valkey of its own in `folder`."""
    socket = folder / "valkey.sock"
    valkey = [server_binary(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--dir", str(folder)]
    valkey += ["--appendonly", "yes" if appendonly else "no"]
    environment = {"WAITROOM_SECRET": SECRET, "REDIS_URL": f"unix://{socket}"}
    with (
        running(valkey, cwd=folder) as redis,
        running(python(*arguments), cwd=folder, environment=environment) as pid,
    ):
        yield OnValkey(pid, redis, environment)


@contextmanager
def worker(folder: Path, edge: Address, config: str, *, appendonly: bool = False) -> Iterator[OnValkey]:
    """Run a worker of the edge with these settings, as soon as it is ready."""
    (folder / "waitroom.toml").write_text(config)
    with on_valkey(folder, "waitroom", "_worker", "-c", "waitroom.toml", appendonly=appendonly) as found:
        answered(f"http://{edge}/.waitroom/readyz")
        yield found


def event_in_an_hour() -> str:
    """Return the settings of an event whose pre-queue is open, and which opens in an hour."""
    now = datetime.now(UTC)
    times = {"prequeue_start_time": -1, "event_start_time": 1, "event_end_time": 2}
    lines = [f"{name} = {(now + timedelta(hours=hours)).isoformat()}\n" for name, hours in times.items()]
    return f'[[rooms.events]]\nname = "opening"\n{"".join(lines)}'


def answered(url: str, *, within_s: float = 30, accepts: str = "*/*") -> bytes:
    """Return the body at `url` as soon as it answers 200."""
    end = time.monotonic() + within_s
    while True:
        try:
            asked = urllib.request.Request(url, headers={"Accept-Encoding": "br", "Accept": accepts})
            with urllib.request.urlopen(asked, timeout=2) as answer:
                return bytes(answer.read())
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def wrk(
    url: str,
    *,
    seconds: int,
    connections: int = 32,
    headers: Mapping[str, str] | None = None,
    script: Path | None = None,
    is_refused: bool = False,
) -> int:
    """Load `url` from the other core; return how many requests were answered, all well unless they are to be refused.

    A `script` (wrk's Lua) words each request by itself.
    """
    command = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s"]
    sent = {"Accept-Encoding": "br", "Accept": "*/*", **(headers or {})}
    lines = [part for name, value in sent.items() for part in ("-H", f"{name}: {value}")]
    worded = ["-s", str(script)] if script else []
    done = subprocess.run([*command, *worded, *lines, url], check=True, capture_output=True, text=True)
    assert is_refused == ("Non-2xx" in done.stdout), done.stdout
    return int(next(line for line in done.stdout.splitlines() if "requests in" in line).split()[0])


def measured(pids: Mapping[str, int], load: "object") -> Cost:
    """Call `load()`, which returns a number of requests, and tell what it cost the processes."""
    assert callable(load)
    before, start = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.perf_counter()
    requests = load()
    seconds = time.perf_counter() - start
    return Cost(requests, seconds, {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()})


def send_all(
    address: tuple[str, int], requests: Sequence[bytes], *, connections: int, per_s: float | None = None
) -> tuple[list[int], list[float]]:
    """Send raw requests over kept connections, one at a time on each; return statuses and latencies in seconds.

    With `per_s` each is due at a moment of its own, and its latency counts from then, be a connection free or not.
    """
    os.sched_setaffinity(0, {int(LOAD_CORE)})
    try:
        return asyncio.run(_send_all(address, requests, connections, per_s))
    finally:
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


async def _send_all(
    address: tuple[str, int], requests: Sequence[bytes], connections: int, per_s: float | None
) -> tuple[list[int], list[float]]:
    left = enumerate(requests)
    statuses: list[int] = []
    latencies: list[float] = []
    streams = [await asyncio.open_connection(*address) for _ in range(connections)]
    began = time.perf_counter()

    async def one_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for number, request in left:
            start = time.perf_counter()
            if per_s is not None:
                start = began + number / per_s
                await asyncio.sleep(start - time.perf_counter())
            writer.write(request)
            status, _ = await read_answer(reader)
            statuses.append(status)
            latencies.append(time.perf_counter() - start)
        writer.close()

    async with asyncio.TaskGroup() as group:
        for stream in streams:
            group.create_task(one_connection(*stream))
    return statuses, latencies


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and the body of one answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
    return int(head[9:12]), await reader.readexactly(length)


def python(*arguments: str) -> list[str]:
    """Return the command that runs a module of ours with this Python."""
    return [sys.executable, "-m", *arguments]
