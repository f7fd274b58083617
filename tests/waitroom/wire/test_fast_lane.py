"""What may begin on the fast lane, and that nothing stays taken where it may not."""

from collections.abc import AsyncIterator

import pytest

from tests.hot import Held, Site, get, site
from waitroom.gate.prompt import Onward
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.heads import plain_head
from waitroom.rules.health import Circuit
from waitroom.wire.carriage import Carriage
from waitroom.wire.front_door import FrontDoor

HEALTH = {"target_ttfb": "1s", "min_requests": 1}


@pytest.fixture
async def shop(redis: ScriptRunner, keys: Keys) -> AsyncIterator[Site]:
    room = {"name": "drop", "paths": ["/drop/"], "health": HEALTH}
    async with site(redis, keys, rooms=[room], upstream={"max_connections": 2}) as made:
        yield made


async def begun(shop: Site, upstream: str = "store") -> Carriage | None:
    """Let a request begin, if it may."""
    await shop.hot.open(get(b"/"))
    await shop.hot.until(lambda: any(seat.guest is not None for seat in shop.hot.connections._seats))
    door = next(seat.guest for seat in shop.hot.connections._seats)
    head = plain_head(get(b"/x"))
    assert isinstance(door, FrontDoor)
    assert head is not None
    found = shop.edge.lane.carry(door, head, Onward(upstream))
    assert found is None or isinstance(found, Carriage)
    return found


async def test_no_more_begin_than_there_are_slots(shop: Site) -> None:
    shop.store.scripts[b"/"] = shop.store.scripts[b"/x"] = Held()
    slots = shop.edge._upstreams["store"].slots
    first = await begun(shop)
    await shop.hot.until(lambda: slots.taken == 2)
    assert first is not None
    assert await begun(shop) is None
    assert slots.taken == 2
    first.cancel()

    assert slots.taken == 1


async def test_behind_a_room_that_is_watched_nothing_begins_while_the_circuit_is_open(shop: Site) -> None:
    assert set(shop.edge._upstreams) == {"behind drop", "store", "other"}
    shop.edge._watches["drop"].heed(Circuit.OPEN)
    slots = shop.edge._upstreams["behind drop"].slots
    taken = slots.taken

    assert await begun(shop, "behind drop") is None
    assert slots.taken == taken or slots is shop.edge._upstreams["store"].slots
    outside = await begun(shop)
    assert outside is not None, "nobody watches what no room guards"
    outside.cancel()


async def test_closing_closes_what_rests(shop: Site) -> None:
    client = await shop.hot.open(get(b"/x"))
    await client.answer()
    assert len(shop.lane()) == 1
    await shop.edge.lane.close()

    assert len(shop.lane()) == 0
    await shop.hot.until(lambda: bool(shop.store.closed))
