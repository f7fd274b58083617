"""What the tests of the stock scripts share: one stock line, loaded with ten units."""

import pytest

from tests.stock_line import StockLine
from waitroom.kernel.redis import ScriptRunner


@pytest.fixture
def unloaded(redis: ScriptRunner) -> StockLine:
    return StockLine(redis)


@pytest.fixture
async def line(unloaded: StockLine) -> StockLine:
    """Give ten free units in the first life of the stock."""
    await unloaded.load("begin")
    await unloaded.load("open")
    return unloaded
