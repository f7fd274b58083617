"""What the tests of the till share: a ledger in an empty file, a stock in an empty Valkey."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from inventory_backend.catalogue import Catalogue
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Stock
from tests import postgresql
from tests.fakes import FakeClock
from tests.till import LEDGER_URL, sale
from waitroom.kernel.redis import ScriptRunner


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


@pytest.fixture
async def redis_url(valkey_url: str, redis: ScriptRunner, ledger_url: str) -> str:
    """Give the address of a database that the `redis` fixture has emptied, beside that of an empty ledger."""
    assert ledger_url
    assert await redis.client.dbsize() == 0
    return f"{valkey_url}?db=1"


@pytest.fixture
async def ledger(ledger_url: str, clock: FakeClock) -> AsyncIterator[Ledger]:
    """Give a ledger that knows the sale of `tests.till.sale`."""
    async with opened(LedgerSettings(ledger_url, group_delay_ms=0), clock) as found:
        await Catalogue(found, [sale()]).seed()
        yield found


@pytest.fixture
def stock(redis: ScriptRunner) -> Stock:
    return Stock(redis)


@pytest.fixture
async def rebuild(ledger: Ledger, stock: Stock) -> Rebuild:
    """Give the sale, loaded into Redis."""
    found = Rebuild(ledger, stock, [sale()])
    await found.step()
    return found


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Give a folder whose path is short enough for a Unix socket in it."""
    with TemporaryDirectory(prefix="till-") as found:
        yield Path(found)
