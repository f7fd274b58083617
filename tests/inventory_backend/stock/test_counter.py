"""Every line of a request passes Redis, or none does."""

import asyncio

import pytest

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.stock.counter import Counter, Passed
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.shards import Shards
from inventory_backend.stock.stock import Hold, Stock, StockNotLoaded
from tests.till import sale
from waitroom.kernel.redis import ScriptRunner

LINES = sale().priced([("sneaker", 1), ("laces", 1)])


async def avail(redis: ScriptRunner) -> tuple[int, int]:
    found = [await redis.client.hget(f"inv:{{drop:{sku}}}:st", "avail") for sku in ("sneaker", "laces")]
    return int(found[0] or 0), int(found[1] or 0)


@pytest.fixture
def counter(ledger: Ledger, stock: Stock, rebuild: Rebuild) -> Counter:
    return Counter(stock, rebuild, Shards(ledger, stock, rebuild, [sale()]))


async def test_all_lines_are_held_and_confirmed(counter: Counter, redis: ScriptRunner) -> None:
    assert await counter.hold(sale(), LINES, "r1", "alice") == Passed(Hold.HELD, LINES, LINES)
    counter.confirm(sale(), LINES, "r1")
    await counter.close()

    assert await avail(redis) == (9, 9)
    assert await redis.client.zcard("inv:{drop:sneaker}:x") == 0


async def test_a_crowd_is_confirmed_and_each_of_it(
    counter: Counter, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    for n in range(5):
        await stock.hold(rebuild.key("drop", "sneaker"), rid=f"r{n}", shopper=f"s{n}", qty=1, limit=2)
    for n in range(4):
        counter.confirm(sale(), sale().priced([("sneaker", 1)]), f"r{n}")
    await counter.close()

    assert await redis.client.zrange("inv:{drop:sneaker}:x", 0, -1) == ["r4"]


async def test_a_line_that_does_not_pass_gives_the_others_back(
    counter: Counter, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    for n in range(10):
        await stock.hold(rebuild.key("drop", "sneaker"), rid=f"r{n}", shopper=f"s{n}", qty=1, limit=2)

    assert await counter.hold(sale(), LINES, "late", "alice") == Passed(Hold.SOLD_OUT)
    await counter.close()

    assert await avail(redis) == (0, 10)


async def test_the_same_request_again_passes(counter: Counter, redis: ScriptRunner) -> None:
    for passed in (Passed(Hold.HELD, LINES, LINES), Passed(Hold.AGAIN, LINES)):
        assert await counter.hold(sale(), LINES, "r1", "alice") == passed
    assert await avail(redis) == (9, 9)


async def test_a_line_that_was_held_before_is_not_given_back_with_the_fresh_ones(
    counter: Counter, redis: ScriptRunner
) -> None:
    """The same key with another body: what stands stands."""
    laces, more = sale().priced([("laces", 1)]), sale().priced([("laces", 1), ("sneaker", 11)])
    assert (await counter.hold(sale(limit=20), laces, "r1", "alice")).word is Hold.HELD

    assert await counter.hold(sale(limit=20), more, "r1", "alice") == Passed(Hold.SOLD_OUT)
    await counter.close()

    assert await avail(redis) == (10, 9)


async def test_what_the_ledger_refused_comes_back(counter: Counter, redis: ScriptRunner) -> None:
    await counter.hold(sale(), LINES, "r1", "alice")
    counter.release(sale(), LINES, "r1")
    await counter.close()

    assert await avail(redis) == (10, 10)


async def test_lost_stock_is_reported_and_nothing_more_is_held(
    counter: Counter, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    await redis.client.flushdb()

    with pytest.raises(StockNotLoaded):
        await counter.hold(sale(), LINES, "r1", "alice")

    assert not rebuild.is_loaded
    counter.confirm(sale(), LINES, "r1")  # neither of these may fail now
    counter.release(sale(), LINES, "r1")
    await counter.close()


async def test_a_confirmation_goes_out_by_itself(counter: Counter, redis: ScriptRunner) -> None:
    await counter.hold(sale(), LINES, "r1", "alice")
    counter.confirm(sale(), LINES, "r1")

    async with asyncio.timeout(20):
        while await redis.client.zcard("inv:{drop:sneaker}:x"):
            await asyncio.sleep(0.005)
    assert await avail(redis) == (9, 9)
    await counter.close()
