"""A look at the stock in Redis."""

import pytest

from inventory_backend.stock.glance import Glance, glance
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Stock, StockKey
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected


async def test_free_units_and_soft_holds_are_seen_and_untouched(
    rebuild: Rebuild, stock: Stock, redis: ScriptRunner
) -> None:
    keys = [rebuild.key("drop", "laces"), rebuild.key("drop", "sneaker")]
    await stock.hold(keys[1], rid="r", shopper="eve", qty=2, limit=2)
    before = await stock.mutations(keys[1])

    assert await glance(redis, keys) == {("drop", "laces"): Glance(10, 0), ("drop", "sneaker"): Glance(8, 1)}
    assert await stock.mutations(keys[1]) == before


async def test_another_life_or_none_is_not_taken_for_this_one(rebuild: Rebuild, redis: ScriptRunner) -> None:
    key = rebuild.key("drop", "sneaker")
    later, never = StockKey("drop", "sneaker", key.epoch + 1), StockKey("drop", "socks", key.epoch)

    assert await glance(redis, [later, never]) == {}
    await redis.client.hset("inv:{drop:sneaker}:st", "state", "loading")
    assert await glance(redis, [key]) == {}


async def test_a_redis_that_is_away_or_talks_nonsense_is_no_answer(rebuild: Rebuild, redis: ScriptRunner) -> None:
    key = rebuild.key("drop", "sneaker")
    await redis.client.hset("inv:{drop:sneaker}:st", "avail", "?")
    with pytest.raises(StoreUnavailable):
        await glance(redis, [key])
    async with connected(RedisSettings("unix:///nowhere.sock", 1, 100)) as away:
        with pytest.raises(StoreUnavailable):
            await glance(away, [key])
