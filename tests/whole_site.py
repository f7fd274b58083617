"""A whole installation for journeys: `waitroom serve` or `demo` with workers, console, till, gateway and Valkey."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from waitroom.kernel.ports import free_loopback
from waitroom.kernel.units import spell_instant

ROOT = Path(__file__).parents[1]
SNEAKERS, RARE, LAST = 5000, 100, 1
"""How many units there are of each sku, unless a site is asked for that has less."""

_WAITROOM = """
[edge]
listen = "127.0.0.1:{port}"
workers = 2
trusted_proxies = ["127.0.0.0/8"]
drain_timeout = "3s"

[ops]
listen = "127.0.0.1:{ops_port}"

[redis]
folder = "valkey"

[secrets]
file = "secret"
console_token_file = "console-token"

[backend]
config = "inventory.toml"
simulated_gateway = true

[[upstreams]]
name = "shop"
url = "http://127.0.0.1:{till_port}"

[[rooms]]
name = "drop"
paths = ["/drop/", "/checkout/", "/sales/drop/waitlist"]
queueing_method = "random"
total_active_users = 5000
new_users_per_minute = 60000
session_duration = "5m"
claim_window = "10s"
challenge = {{ difficulty = 8, steps = 4, slow_dwell = "1s" }}
poll = {{ floor = "200ms", ceiling = "500ms", divisor = 10 }}
stock = {{ decision_time = "1s" }}
events = [{{ name = "opening", prequeue_start_time = {gathers}, event_start_time = {opens}, event_end_time = {ends} }}]

[[rooms]]
name = "hard"
paths = ["/hard/"]
queueing_method = "random"
challenge = {{ difficulty = 17, steps = 64 }}
poll = {{ floor = "200ms", ceiling = "500ms", divisor = 10 }}
events = [{{ name = "later", prequeue_start_time = {gathers}, event_start_time = {later}, event_end_time = {ends} }}]
"""

_INVENTORY = """
[server]
listen = "127.0.0.1:{till_port}"
drain_timeout = "3s"

[ledger]
file = "ledger.sqlite"

[payments]
poll = "{poll}"

[[sales]]
name = "drop"
title = "The Drop"
room = "drop"
currency = "EUR"
hold = "{hold}"
limit_per_shopper = 1

[[sales.skus]]
sku = "sneaker"
name = "Meridian One"
description = "A court shoe in undyed canvas."
price = 14900
total = {sneakers}

[[sales.skus]]
sku = "rare"
name = "Meridian Zero"
price = 29900
total = {rare}

[[sales.skus]]
sku = "last"
name = "Meridian Laces"
price = 900
total = {last}
"""


@dataclass
class WholeSite:
    """A running installation, as somebody beside it sees it: by its ports and its processes."""

    folder: Path
    port: int
    ops_port: int
    till_port: int = 0
    home: Path = Path()
    told: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ops_url(self) -> str:
        return f"http://127.0.0.1:{self.ops_port}"

    @property
    def till_url(self) -> str:
        return f"http://127.0.0.1:{self.till_port}"

    @property
    def token(self) -> str:
        return (self.folder / "console-token").read_text("utf-8").strip()

    @property
    def log(self) -> str:
        return "\n".join(file.read_text("utf-8", "replace") for file in self.folder.glob("*.log"))

    def pulse(self, room: str = "drop") -> dict[str, Any]:
        return read(f"{self.url}/.waitroom/{room}/pulse")

    def stock(self, sku: str) -> int | None:
        skus = {one["sku"]: one for one in read(f"{self.url}/sales/drop").get("skus", [])}
        return skus[sku]["available"] if sku in skus else None

    def ops(self, what: str = "", body: Mapping[str, object] | None = None, *, room: str = "drop") -> dict[str, Any]:
        """Ask the console's API about a room, or change it."""
        path = f"/api/rooms/{room}" + (f"/{what}" if what else "")
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        sent = None if body is None else json.dumps(body).encode()
        return read(self.ops_url + path, sent, headers)

    def pids(self, part: str) -> list[int]:
        """Return the processes of this installation whose command line holds `part`."""
        return [pid for pid, line in processes(self.home).items() if part in line]

    def workers(self) -> list[int]:
        return self.pids(" _worker ")

    def kill(self, part: str) -> int:
        """End one process as a crash would; return which it was."""
        (pid, *_) = self.pids(part)
        os.kill(pid, signal.SIGKILL)
        return pid


def read(url: str, sent: bytes | None = None, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return a JSON document, over a connection of its own; nothing where it cannot be had."""
    asked = urllib.request.Request(url, sent, {"Connection": "close", **(headers or {})})
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(asked, timeout=5) as answer:
        found: dict[str, Any] = json.load(answer)
        return found
    return {}


def until(claim: Callable[[], object], *, within_s: float = 60, every_s: float = 0.05) -> None:
    """Wait until `claim()` is true: for what other processes do."""
    late_s = time.monotonic() + within_s
    while not claim():
        assert time.monotonic() < late_s, "it did not come true in time"
        time.sleep(every_s)


def processes(folder: Path) -> dict[int, str]:
    """Return the processes whose command line names `folder`, or that were started in it."""
    found = {}
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = one.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            is_here = (one.parent / "cwd").resolve().is_relative_to(folder)
            if line and (str(folder) in line or is_here) and int(one.parent.name) != os.getpid():
                found[int(one.parent.name)] = line
    return found


def worker_behind(site: WholeSite, local_port: int) -> int | None:
    """Return the worker that holds the other end of a connection from `local_port`."""
    inode = None
    for line in Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]:
        parts = line.split()
        ports = [int(parts[place].rpartition(":")[2], 16) for place in (1, 2)]
        if ports == [site.port, local_port]:
            inode = parts[9]
    for pid in site.workers():
        with suppress(OSError):
            if any(str(fd.readlink()) == f"socket:[{inode}]" for fd in Path(f"/proc/{pid}/fd").iterdir()):
                return pid
    return None


@contextmanager
def whole_site(
    *,
    hold: str = "2m",
    gathers_in_s: float = -3600,
    stock: tuple[int, int, int] = (SNEAKERS, RARE, LAST),
    poll: str = "500ms",
) -> Iterator[WholeSite]:
    """Run `waitroom serve` while the block lasts; then it ends by SIGTERM, with status 0, and leaves nothing."""
    with _folder() as folder:
        site = WholeSite(folder, free_loopback().port, free_loopback().port, free_loopback().port, folder)
        now_ms = time.time_ns() // 1_000_000
        moments = {
            "gathers": spell_instant(now_ms + round(gathers_in_s * 1000)),
            "opens": spell_instant(now_ms - 1000),
            "later": spell_instant(now_ms + 3_000_000),
            "ends": spell_instant(now_ms + 7_200_000),
        }
        facts = {"port": site.port, "ops_port": site.ops_port, "till_port": site.till_port, "hold": hold, "poll": poll}
        facts |= dict(zip(("sneakers", "rare", "last"), stock, strict=True))
        for name, text in (("waitroom.toml", _WAITROOM), ("inventory.toml", _INVENTORY)):
            (folder / name).write_text(text.format(**facts, **moments), "utf-8")
        (folder / "secret").write_text(os.urandom(32).hex(), "utf-8")
        (folder / "secret").chmod(0o600)
        with _running(site, ["serve", "-c", str(folder / "waitroom.toml")]):
            yield site


@contextmanager
def whole_demo(*options: str) -> Iterator[WholeSite]:
    """Run `waitroom demo` while the block lasts."""
    with _folder() as folder:
        site = WholeSite(folder / "demo", free_loopback().port, free_loopback().port, home=folder)
        ports = ["--port", str(site.port), "--ops-port", str(site.ops_port)]
        with _running(site, ["demo", "--dir", str(site.folder), *ports, *options]):
            yield site


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="wr-journey-") as made:
        yield Path(made)


@contextmanager
def _running(site: WholeSite, arguments: list[str]) -> Iterator[None]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("WAITROOM_", "REDIS_", "PROMETHEUS_"))
    }
    output = site.home.parent / f"{site.home.name}.out"
    with output.open("wb") as written:
        argv = [sys.executable, "-m", "waitroom", *arguments]
        environment["PYTHONPATH"] = str(ROOT)
        process = subprocess.Popen(argv, stdout=written, stderr=written, cwd=site.home, env=environment)
    try:
        until(lambda: process.poll() is not None or _is_up(site), within_s=60)
        assert process.poll() is None, output.read_text("utf-8", "replace")
        yield
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, output.read_text("utf-8", "replace")[-4000:]
        assert processes(site.home) == {}
    except BaseException:
        sys.stderr.write(output.read_text("utf-8", "replace")[-8000:])
        raise
    finally:
        site.told = output.read_text("utf-8", "replace").splitlines()
        output.unlink()
        if process.poll() is None:
            process.terminate()
            with suppress(subprocess.TimeoutExpired):
                process.wait(30)
            process.kill()
            process.wait()


def _is_up(site: WholeSite) -> bool:
    addresses = (f"{site.url}/.waitroom/readyz", f"{site.url}/sales/drop", f"{site.ops_url}/healthz")
    return all(read(address) for address in addresses) and len(site.workers()) == 2
