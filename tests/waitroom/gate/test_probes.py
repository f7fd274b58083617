"""Probes: alive is not ready."""

from tests.edges import Store, front
from tests.fakes import FakeClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys


async def test_a_worker_whose_rooms_tick_is_ready(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        assert (await shop.get("/.waitroom/healthz")).status == 200
        assert (await shop.get("/.waitroom/readyz")).status == 200


async def test_a_worker_whose_ticks_are_old_is_alive_but_not_ready(
    redis: ScriptRunner, keys: Keys, store: Store, clock: FakeClock
) -> None:
    async with front(redis, keys, store, clock=clock) as shop:
        await clock.advance(11)
        ready = await shop.get("/.waitroom/readyz")

        assert (await shop.get("/.waitroom/healthz")).status == 200
        assert ready.status == 503
        assert "Retry-After" in ready.headers
