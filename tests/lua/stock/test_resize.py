"""stock/resize on a real Valkey."""

import pytest

from tests.stock_line import StockLine


@pytest.mark.parametrize(("total", "free"), [(15, 13), (4, 2), (2, 0), (0, -2)])
async def test_free_units_come_and_go_by_the_difference(line: StockLine, total: int, free: int) -> None:
    await line.hold("r1", qty=2)

    assert await line.resize(total, version=2) == ["resized", total - 10]
    assert await line.avail() == free


async def test_the_same_change_told_by_two_tills_counts_once(line: StockLine) -> None:
    assert await line.resize(15, version=2) == ["resized", 5]
    assert await line.resize(15, version=2) == ["known"]
    assert await line.resize(12, version=1) == ["known"], "who read the ledger before that is late"
    assert await line.avail() == 15


async def test_nobody_gets_a_unit_that_was_taken_away(line: StockLine) -> None:
    await line.hold("r1", qty=2)
    await line.resize(1, version=2)

    assert (await line.hold("r2", shopper="bob"))[0] == "sold-out"
    await line.release("r1")
    assert (await line.hold("r2", shopper="bob"))[0] == "held"


async def test_another_life_of_the_stock_is_not_touched(line: StockLine, unloaded: StockLine) -> None:
    before = await line.everything()

    assert await line.resize(15, version=2, epoch=2) == ["fenced"]
    assert await line.everything() == before
    await line.redis.client.flushdb()
    assert await unloaded.resize(15, version=2) == ["unloaded"]
