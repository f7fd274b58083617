"""The ticker: all rooms at once, and one that fails takes none with it."""

import pytest

from tests.edges import Store, front
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.store.keys import RoomKeys


async def test_a_room_whose_tick_failed_keeps_its_last_snapshot(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        before = shop.edge.board.get("drop")
        await redis.client.delete(RoomKeys("drop", "always").room)
        await redis.client.set(RoomKeys("drop", "always").room, "not a hash")

        with pytest.raises(StoreUnavailable):
            await shop.tick()
        assert shop.edge.board.get("drop") is before


async def test_many_rooms_are_one_round_trip(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        await shop.tick()
        assert shop.edge.board.get("drop") is not None
