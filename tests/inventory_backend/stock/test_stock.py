"""The Python face of the stock scripts."""

import pytest

from inventory_backend.ledger.supply import Supply
from inventory_backend.stock.stock import Hold, Reconcile, Stock, StockKey, StockNotLoaded
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected

KEY = StockKey("drop", "sneaker", 1)
FIVE = Supply(total=5, allocated=0, version=1)


async def held(stock: Stock, rid: str, qty: int = 1, shopper: str = "alice") -> Hold:
    return await stock.hold(KEY, rid=rid, shopper=shopper, qty=qty, limit=2)


def test_the_keys_of_a_stock_lie_on_one_shard() -> None:
    assert KEY.names("st", "h") == ["inv:{drop:sneaker}:st", "inv:{drop:sneaker}:h"]


async def test_holds_pass_until_none_is_left(stock: Stock) -> None:
    await stock.load(KEY, Supply(3, 1, 1), [("r0", "zoe", 1)])

    assert await held(stock, "r1") is Hold.HELD
    assert await held(stock, "r1") is Hold.AGAIN
    assert await held(stock, "r2", qty=2) is Hold.LIMIT_REACHED
    assert await held(stock, "r3", shopper="bob") is Hold.HELD
    assert await held(stock, "r4", shopper="eve") is Hold.SOLD_OUT
    assert await stock.release(KEY, "r0") == 1
    assert await stock.release(KEY, "r0") == 0
    assert await held(stock, "r4", shopper="eve") is Hold.HELD


async def test_a_large_stock_is_loaded_in_chunks(stock: Stock) -> None:
    holds = [(f"r{n}", f"s{n}", 1) for n in range(2500)]

    await stock.load(KEY, Supply(2501, 2500, 1), holds)

    assert await stock.release(KEY, "r2499") == 1
    assert await held(stock, "r0", shopper="s0") is Hold.AGAIN


async def test_what_is_not_confirmed_lapses(redis: ScriptRunner) -> None:
    stock = Stock(redis, now_ms=1_000_000)
    await stock.load(KEY, Supply(2, 0, 1), [])
    await held(stock, "r1")
    await held(stock, "r2", shopper="bob")

    assert await stock.confirm(KEY, ["r1"]) == 1
    assert await Stock(redis, now_ms=1_010_000).sweep(KEY) == 1
    assert await stock.confirm(KEY, ["r1", "r2"]) == 1


async def test_a_drift_is_mended(stock: Stock) -> None:
    await stock.load(KEY, FIVE, [])
    seen = await stock.mutations(KEY)

    assert await stock.reconcile(KEY, Supply(5, 2, 2), seen=seen) == (Reconcile.MENDED, 2)
    assert (await stock.reconcile(KEY, Supply(5, 2, 2), seen=seen))[0] is Reconcile.MOVED


@pytest.mark.parametrize("epoch", [0, 2])
async def test_another_life_of_the_stock_is_not_touched(stock: Stock, epoch: int) -> None:
    await stock.load(KEY, FIVE, [])
    other = StockKey("drop", "sneaker", epoch)

    with pytest.raises(StockNotLoaded) as refused:
        await stock.hold(other, rid="r", shopper="alice", qty=1, limit=2)

    assert (refused.value.status, refused.value.retry_after_s) == (503, 1)


async def test_what_is_free_of_several_is_told_at_once(stock: Stock, redis: ScriptRunner) -> None:
    keys = [StockKey("drop", name, 1) for name in ("sneaker", "sneaker#1", "sneaker#2", "lost")]
    for key, free in zip(keys, (5, 0, 7), strict=False):
        await stock.load(key, Supply(free, 0, 1), [])
    await redis.client.hset("inv:{drop:sneaker#2}:st", "avail", "?")

    assert await stock.free(keys) == [5, 0, 0, 0]
    assert await stock.totals(keys) == [5, 0, 7, -1]


async def test_the_server_has_an_identity(stock: Stock) -> None:
    assert await stock.server_id() == await stock.server_id()
    assert "master" in await stock.server_id()


async def test_no_redis_is_a_503() -> None:
    async with connected(RedisSettings("unix:///no/such/socket", timeout_ms=100)) as runner:
        with pytest.raises(StoreUnavailable):
            await Stock(runner).server_id()
        with pytest.raises(StoreUnavailable):
            await held(Stock(runner), "r1")
        with pytest.raises(StoreUnavailable):
            await Stock(runner).free([KEY])
