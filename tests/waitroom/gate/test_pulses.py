"""The pulse over HTTP: one document for everybody, and no Redis behind it."""

from tests.edges import Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.scores import commitment


async def test_a_cache_may_keep_it_for_a_second(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        first = await shop.get("/.waitroom/drop/pulse")
        etag = first.headers["ETag"]
        again = await shop.get("/.waitroom/drop/pulse", headers={"If-None-Match": etag})

        assert first.headers["Cache-Control"] == "public, max-age=1"
        assert "Set-Cookie" not in first.headers
        assert again.status == 304


async def test_it_has_the_shape_that_clients_are_written_against(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        pulse = await (await shop.get("/.waitroom/drop/pulse")).json()

    assert set(pulse) == {
        *("room", "event", "generation", "phase", "server_ms", "starts_ms", "ends_ms", "lanes", "rate_per_minute"),
        *("poll", "commitment", "seed", "spin", "message", "stock"),
    }
    assert (pulse["phase"], pulse["stock"]) == ("prequeue", None)
    assert pulse["lanes"] == {"main": {"serving": None, "called": 0, "waiting": 0}}
    assert pulse["poll"] == {"floor_ms": 1000, "ceiling_ms": 20000, "divisor": 10}


async def test_the_seed_is_a_secret_until_the_opening_and_was_committed_to(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as before:
        early = await (await before.get("/.waitroom/drop/pulse")).json()
    async with front(redis, keys, store, opens_in_s=-1) as after:
        late = await (await after.get("/.waitroom/drop/pulse")).json()

    assert early["seed"] is None
    assert commitment(bytes.fromhex(late["seed"])) == early["commitment"] == late["commitment"]


async def test_asking_costs_redis_nothing(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        before = (await redis.client.info("stats"))["total_commands_processed"]
        for _ in range(20):
            await (await shop.get("/.waitroom/drop/pulse")).read()
        after = (await redis.client.info("stats"))["total_commands_processed"]

    assert after - before <= 2
