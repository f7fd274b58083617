"""Coming straight in is metered for each address; who is over it joins the line like anybody else."""

from typing import Any

from tests.edges import HTML, Front, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys

TRUSTING: dict[str, Any] = {
    "edge": {"trusted_proxies": ["127.0.0.0/8"]},
    "queueing_method": "fifo",
    "new_users_per_minute": 100_000,
}


async def came_in(shop: Front, addresses: list[str]) -> int:
    """Return how many who ask for the page from `addresses` get a pass at once."""
    answers = [await shop.get("/drop/", headers={**HTML, "X-Forwarded-For": address}) for address in addresses]
    assert {answer.status for answer in answers} == {200}, "nobody is refused"
    return sum("_pass=" in answer.headers.get("Set-Cookie", "") for answer in answers)


async def test_one_address_does_not_take_every_seat_of_an_idle_room(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, direct_entries_per_minute=3, **TRUSTING) as shop:
        assert await came_in(shop, ["203.0.113.7"] * 6) == 3
        assert await came_in(shop, [f"2001:db8::{n}" for n in range(6)]) == 3
        assert await came_in(shop, ["203.0.113.8", "198.51.100.1"]) == 2


async def test_nor_does_a_whole_network(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, direct_entries_per_minute=1, **TRUSTING) as shop:
        assert await came_in(shop, [f"203.0.113.{n}" for n in range(12)]) == 8


async def test_who_is_over_it_joins_and_is_called_at_once(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, direct_entries_per_minute=1, **TRUSTING) as shop:
        assert await came_in(shop, ["127.0.0.1"] * 2) == 1
        ticket = (await shop.join())["ticket"]
        await shop.tick()
        claimed = await shop.post("/.waitroom/drop/queue/claim", headers={"Authorization": f"Waitroom {ticket}"})

        assert claimed.status == 200


async def test_nought_is_no_limit(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, direct_entries_per_minute=0, **TRUSTING) as shop:
        assert await came_in(shop, ["203.0.113.7"] * 30) == 30
