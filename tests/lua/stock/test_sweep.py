"""stock/sweep on a real Valkey."""

from tests.stock_line import StockLine


async def test_a_soft_hold_comes_back_when_it_lapsed_and_not_before(line: StockLine) -> None:
    await line.hold("r1")

    assert await line.sweep(1_700_000_009_999) == ["swept", 0]
    assert await line.sweep(1_700_000_010_000) == ["swept", 1]
    assert await line.sweep(1_700_000_010_000) == ["swept", 0]
    assert await line.avail() == 10


async def test_a_round_gives_back_so_many_and_no_more(line: StockLine) -> None:
    for n in range(5):
        await line.hold(f"r{n}", shopper=f"s{n}")

    assert await line.sweep(1_800_000_000_000, most=3) == ["swept", 3]
    assert await line.avail() == 8


async def test_unknown_stock_and_foreign_epochs_are_refused(line: StockLine) -> None:
    assert await line.sweep(0, epoch=2) == ["fenced"]
    await line.redis.client.flushdb()
    assert await line.sweep(0) == ["unloaded"]
