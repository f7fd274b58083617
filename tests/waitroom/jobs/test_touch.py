"""The toucher: visits reach Redis in one batch, and none is lost while Redis is gone."""

import pytest

from tests.edges import Store, front
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.store.keys import RoomKeys

SESSIONS = RoomKeys("drop", "").sessions


async def test_visits_are_written_at_once(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        ends_ms = shop.edge.rooms.now_ms() + 60_000
        for number in range(50):
            shop.edge.sessions.visit("drop", f"s{number}", ends_ms)
        await shop.edge.toucher.step()

        assert await redis.client.zcard(SESSIONS) == 50
        assert await redis.client.zscore(SESSIONS, "s7") == ends_ms


async def test_visits_are_kept_while_redis_cannot_take_them(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        ends_ms = shop.edge.rooms.now_ms() + 60_000
        shop.edge.sessions.visit("drop", "s", ends_ms)
        await redis.client.set(SESSIONS, "not a sorted set")
        with pytest.raises(StoreUnavailable):
            await shop.edge.toucher.step()
        await redis.client.delete(SESSIONS)
        await shop.edge.toucher.step()

        assert await redis.client.zscore(SESSIONS, "s") == ends_ms
