"""What the tests of the till share: a ledger in an empty file, a stock in an empty Valkey."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from inventory_backend.catalogue import Catalogue
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Stock
from tests.fakes import FakeClock
from tests.till import sale
from waitroom.kernel.redis import ScriptRunner


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
