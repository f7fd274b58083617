"""The probes tell the truth."""

from pathlib import Path

from tests.till import config, shop
from waitroom.kernel.redis import ScriptRunner


async def test_a_till_that_can_sell_is_ready(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        for path in ("/healthz", "/readyz"):
            async with drop.session.get(drop.url + path) as answer:
                assert answer.status == 200


async def test_a_till_without_redis_lives_but_is_not_ready(tmp_path: Path) -> None:
    async with shop(config(tmp_path, "unix:///no/such/socket"), with_jobs=False) as drop:
        async with drop.session.get(f"{drop.url}/healthz") as answer:
            assert answer.status == 200
        async with drop.session.get(f"{drop.url}/readyz") as answer:
            found = await answer.json()
            assert (answer.status, found["stock"], found["ledger"]) == (503, False, True)
            assert answer.headers["Retry-After"] == "1"
        refused = await drop.shopper().reserve()
        assert (refused.status, refused.headers["Retry-After"]) == (503, "1")


async def test_a_till_that_lost_its_stock_is_not_ready_until_it_is_put_back(
    tmp_path: Path, redis_url: str, redis: ScriptRunner
) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        await redis.client.flushdb()
        assert (await drop.shopper().reserve()).status == 503
        async with drop.session.get(f"{drop.url}/readyz") as answer:
            assert answer.status == 503

        await drop.till.jobs.rebuild.step()

        assert (await drop.shopper().reserve()).status == 201
