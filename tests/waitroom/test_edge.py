"""The composition of a worker, as its visitors meet it."""

from tests.edges import HTML, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys


async def test_own_answers_name_no_software(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        for path in ("/drop/", "/.waitroom/drop/pulse", "/.waitroom/nothing", "/.waitroom/healthz"):
            assert "Server" not in (await shop.get(path, headers=HTML)).headers


async def test_under_our_own_prefix_nothing_reaches_the_store(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        for path in ("/.waitroom/", "/.waitroom/drop/", "/.waitroom/drop/queue/nothing"):
            assert (await shop.get(path)).status == 404
        assert store.seen == []


async def test_a_method_that_an_endpoint_has_not_is_a_problem(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        answer = await shop.get("/.waitroom/drop/queue/claim")

        assert answer.status in {404, 405}
        assert answer.content_type == "application/problem+json"
