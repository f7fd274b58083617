"""The folder of the demo: its settings, its secrets, and the state of one run."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import create_secret_file
from waitroom.kernel.units import Address, spell_instant

ROOM = "drop"
SKU = "sneaker"
PAGE = "/drop/"
SALE_LASTS_MS = 2 * 3_600_000

_MARK = "# Written by `waitroom demo`; it is written anew at each start.\n"
_STATE_FILES = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm", "demo.log")
_KEPT = "lock"
"""A server whose demo was killed may still hold it for a moment; the next one waits for it."""
_LONGEST_PATH = 85
"""A Unix socket has a path of 107 bytes at most, and its name is a part of that."""

_WAITROOM = """
[edge]
listen = "127.0.0.1:{port}"
workers = {workers}
trusted_proxies = ["127.0.0.0/8", "::1/128"]    # the crowd says in X-Forwarded-For whom each member stands for
drain_timeout = "5s"

[ops]
listen = "127.0.0.1:{ops_port}"

[redis]
url = {redis_url}
folder = {redis_folder}

[secrets]
file = "secret"
console_token_file = "console-token"

[backend]
config = "inventory.toml"
simulated_gateway = true

[[upstreams]]
name = "shop"
url = "http://{till}"

[[rooms]]
name = "drop"
title = "The Drop"
accent = "#c2401d"
paths = ["/drop/", "/checkout/", "/sales/drop/waitlist"]
upstream = "shop"
queueing_method = "random"
total_active_users = {cap}
new_users_per_minute = {rate}
session_duration = "3m"
claim_window = "30s"

[rooms.challenge]
difficulty = {difficulty}

[[rooms.events]]
name = "{event}"
prequeue_start_time = {gathers}
event_start_time = {opens}
event_end_time = {ends}
"""

_INVENTORY = """
[server]
listen = "{till}"
drain_timeout = "5s"

[ledger]
file = "ledger.sqlite"

[payments]
poll = "2s"                                     # the gateway tells; this is for what it could not
return_url = "http://127.0.0.1:{port}/drop/orders/{{order_id}}"

[[sales]]
name = "drop"
title = "The Drop"
room = "drop"
currency = "EUR"
starts_at = {opens}
ends_at = {ends}
hold = "2m"
limit_per_shopper = 1

[[sales.skus]]
sku = "sneaker"
name = "Meridian One"
description = "A court shoe in undyed canvas with a sole of recycled rubber. {stock} pairs, numbered by hand."
price = 14900
total = {stock}
"""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What was asked for on the command line."""

    port: int
    ops_port: int
    opens_in_s: float
    stock: int
    rate: float
    cap: int
    difficulty: int
    workers: int
    redis_url: str


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """A folder that belongs to the demo, and to one demo at a time."""

    path: Path

    @property
    def config(self) -> Path:
        """The waitroom.toml of this run."""
        return self.path / "waitroom.toml"

    @property
    def redis_folder(self) -> Path:
        """Where the embedded server keeps its data; elsewhere, if our own path is too long for its socket."""
        if len(os.fsencode(self.path)) <= _LONGEST_PATH:
            return self.path / "valkey"
        return Path(tempfile.gettempdir()) / f"waitroom-demo-{sha256(os.fsencode(self.path)).hexdigest()[:16]}"

    @property
    def counts(self) -> Path:
        """Where the processes count for /metrics."""
        return self.path / "counts"

    @property
    def log(self) -> Path:
        """What the processes wrote in this run."""
        return self.path / "demo.log"

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Have the folder to ourselves, with no state of an earlier run in it; its secrets stay.

        Raises:
            ConfigFault: it belongs to something else, or another demo runs in it.
        """
        self._take()
        lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as fault:
                raise ConfigFault(
                    [f"--dir: another demo runs in {self.path}; stop it, or name another --dir"]
                ) from fault
            self._begin_anew()
            yield
        finally:
            os.close(lock)

    def write(self, wishes: Wishes, *, till: Address, now_ms: int) -> None:
        """Write the settings of a run whose doors open in a while from `now_ms`."""
        opens_ms = now_ms + round(wishes.opens_in_s * 1000)
        moments = {
            "gathers": spell_instant(now_ms - 60_000),
            "opens": spell_instant(opens_ms),
            "ends": spell_instant(opens_ms + SALE_LASTS_MS),
            "event": f"opening-{opens_ms // 1000}",
        }
        asked = {name: getattr(wishes, name) for name in wishes.__slots__}
        asked |= {"redis_url": json.dumps(wishes.redis_url), "redis_folder": json.dumps(str(self.redis_folder))}
        for name, text in ((self.config, _WAITROOM), (self.path / "inventory.toml", _INVENTORY)):
            name.write_text(_MARK + text.format(till=till, **asked, **moments), "utf-8")

    def last_words(self, lines: int = 12) -> list[str]:
        """Return the end of the log."""
        return self.log.read_text("utf-8", "replace").splitlines()[-lines:] if self.log.exists() else []

    def _take(self) -> None:
        is_ours = self.config.exists() and self.config.read_text("utf-8", "replace").startswith(_MARK)
        try:
            if self.path.exists() and any(self.path.iterdir()) and not is_ours:
                raise ConfigFault(
                    [f"--dir: {self.path} holds something else than a demo; name another, or an empty one"]
                )
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
        except OSError as fault:
            raise ConfigFault([f"--dir: {self.path} cannot be used: {fault.strerror}"]) from fault

    def _begin_anew(self) -> None:
        for old in self.redis_folder.glob("*") if self.redis_folder.is_dir() else ():
            if old.is_dir():
                shutil.rmtree(old, ignore_errors=True)
            elif old.name != _KEPT:
                old.unlink(missing_ok=True)
        shutil.rmtree(self.counts, ignore_errors=True)
        for name in _STATE_FILES:
            (self.path / name).unlink(missing_ok=True)
        self.counts.mkdir(mode=0o700)
        self.log.touch(0o600)
        create_secret_file(self.path / "secret")
