"""A real PostgreSQL for tests: on a Unix socket in a private folder, a new database for each test."""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import asyncpg
import pytest

_SERIAL = count()
_SETTINGS = ("listen_addresses=", "max_connections=60", "deadlock_timeout=100ms", "shared_buffers=32MB")


def program(name: str) -> str:
    """Return the path of a program of PostgreSQL; skip, loudly, where there is none."""
    packaged = sorted(map(str, Path("/usr/lib/postgresql").glob(f"*/bin/{name}")))
    if found := shutil.which(name) or (packaged[-1] if packaged else None):
        return found
    if os.environ.get("CI"):
        pytest.fail("no PostgreSQL on this machine: apt-get install postgresql")
    pytest.skip("NO POSTGRESQL TESTS: install postgresql (apt-get install postgresql)")


def somebody() -> str | None:
    """Return who runs the server where root must not; None where we are not root."""
    if os.getuid() != 0:
        return None
    known = {one.pw_name for one in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@contextmanager
def server() -> Iterator[Path]:
    """Run a server while the block lasts and give the folder of its socket."""
    postgres, initdb, who = program("postgres"), program("initdb"), somebody()
    folder = Path(tempfile.mkdtemp(prefix="wr-pg-"))
    if who:
        shutil.chown(folder, who)
    data = folder / "data"
    made = ["-D", str(data), "-U", "till", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
    subprocess.run([initdb, *made], check=True, capture_output=True, user=who, cwd=folder)
    command = [postgres, "-D", str(data), "-k", str(folder), *(f"-c{one}" for one in _SETTINGS)]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, user=who, cwd=folder)
    try:
        for _ in range(600):
            if (folder / ".s.PGSQL.5432").exists() or running.poll() is not None:
                break
            time.sleep(0.05)
        assert running.poll() is None, (folder / "log").read_text()
        yield folder
    finally:
        running.send_signal(signal.SIGQUIT)  # at once: nobody needs what is in it any more
        running.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


async def new_database(folder: Path, now_ms: int | None = None) -> str:
    """Return the address of an empty database whose clock, if wanted, stands at `now_ms`."""
    name = f"till_{next(_SERIAL)}"
    async with asyncio.timeout(60):
        connection = await connected(folder, "postgres")
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        if now_ms is not None:
            await set_clock(folder, name, now_ms)
    return f"postgresql://till@/{name}?host={folder}"


async def set_clock(folder: Path, name: str, now_ms: int) -> None:
    """Let the clock of the database `name` stand at `now_ms`."""
    connection = await connected(folder, name)
    await connection.execute(f"ALTER DATABASE {name} SET search_path = public, pg_catalog")
    await connection.execute(
        "CREATE OR REPLACE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql "
        f"AS 'SELECT pg_catalog.to_timestamp({now_ms} / 1000.0)'"
    )
    await connection.close()


async def connected(folder: Path, name: str) -> asyncpg.Connection:
    while True:
        try:
            return await asyncpg.connect(host=str(folder), user="till", database=name)
        except (asyncpg.CannotConnectNowError, ConnectionError):  # its socket is there before it listens
            await asyncio.sleep(0.05)
