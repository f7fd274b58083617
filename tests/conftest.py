"""What every test may ask for: a private Valkey, an empty database in it, a clock, a browser."""

import asyncio
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
import redis as plain_redis
from hypothesis import settings
from playwright.async_api import expect as expect_async
from playwright.sync_api import expect

from tests import postgresql
from tests.edges import Store, store_running
from tests.fakes import FakeClock
from tests.till import LEDGER_URL
from waitroom.kernel.embedded import server_binary
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys

settings.register_profile("shared machine", deadline=None)
settings.load_profile("shared machine")
# A page that is right at last is right: how late is this machine's business.
expect.set_options(timeout=30_000)
expect_async.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def valkey_url() -> Iterator[str]:
    """Start one private server for the whole run, on a Unix socket."""
    folder = Path(tempfile.mkdtemp(prefix="wr-test-"))
    folder.chmod(0o700)
    socket = folder / "valkey.sock"
    arguments = ["--port", "0", "--unixsocket", str(socket), "--dir", str(folder), "--save", "", "--databases", "16"]
    server = subprocess.Popen([server_binary(), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    client = plain_redis.Redis(unix_socket_path=str(socket))
    for _ in range(500):
        try:
            client.ping()
            break
        except plain_redis.ConnectionError:
            time.sleep(0.01)
    client.close()
    yield f"unix://{socket}"
    server.terminate()
    server.wait(10)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def unused_tcp_port_factory() -> Callable[[], int]:
    """Give ports that no other test is given; those of pytest-asyncio may be taken before they are used."""
    return lambda: free_loopback().port


@pytest.fixture
def unused_tcp_port(unused_tcp_port_factory: Callable[[], int]) -> int:
    return unused_tcp_port_factory()


@pytest.fixture
async def redis(valkey_url: str) -> AsyncIterator[ScriptRunner]:
    """Give a runner of scripts on an empty database."""
    async with connected(RedisSettings(f"{valkey_url}?db=1", max_connections=8, timeout_ms=5000)) as runner:
        await runner.client.flushdb()
        yield runner


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def keys() -> Keys:
    return Keys([b"a-test-secret-that-is-32-bytes-long!"])


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of the system's Chromium; skip, loudly, where there is none."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    if os.environ.get("CI"):
        pytest.fail("no Chromium on this machine: apt-get install chromium")
    pytest.skip("NO BROWSER TESTS: install chromium (apt-get install chromium)")


CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


async def eventually(claim: object, *, within_s: float = 60) -> None:
    """Wait until `claim()` is true: for what another process does."""
    assert callable(claim)
    async with asyncio.timeout(within_s):
        while not claim():
            await asyncio.sleep(0.02)


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    """Give a small store, to stand behind an edge."""
    async with store_running() as running:
        yield running


@pytest.fixture(scope="session")
def postgresql_folder() -> Iterator[Path]:
    """Start one PostgreSQL for the whole run."""
    with postgresql.server() as folder:
        yield folder


@pytest.fixture(params=["sqlite", "postgresql"])
async def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Give the address of an empty ledger, and leave it in the test's folder, where `tests.till.config` finds it.

    Every test of the till runs on both databases. Where its clock is a fake one, the clock of PostgreSQL stands still.
    """
    url = f"sqlite:///{tmp_path}/ledger.db"
    if request.param == "postgresql":
        folder = request.getfixturevalue("postgresql_folder")
        clock = request.getfixturevalue("clock") if "clock" in request.fixturenames else None
        url = await postgresql.new_database(folder, clock.now_ms() if clock else None)
    (tmp_path / LEDGER_URL).write_text(url)
    return url
