"""The till, put together: it starts without Redis, refuses what would forget, and drains when asked to stop."""

import asyncio
import os
import signal
from pathlib import Path

import aiohttp
import pytest

from inventory_backend.app import built, run
from inventory_backend.receivers import Webhook
from tests.till import SIGNER, config, shop
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.settings import parse
from waitroom.kernel.units import Address


async def test_redis_may_come_later(tmp_path: Path) -> None:
    async with shop(config(tmp_path, "unix:///no/such/socket")) as drop:
        assert (await drop.shopper().reserve()).status == 503
        assert await drop.available() == 10


async def test_a_redis_that_throws_keys_away_is_refused(tmp_path: Path, redis_url: str, redis: ScriptRunner) -> None:
    await redis.client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        with pytest.raises(ConfigFault, match="noeviction"):
            async with built(config(tmp_path, redis_url), SIGNER, SystemClock()):
                pass
    finally:
        await redis.client.config_set("maxmemory-policy", "noeviction")


async def test_a_total_below_what_is_sold_is_refused(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        await drop.shopper().reserve(2)

    with pytest.raises(ConfigFault, match="sales"):
        async with built(config(tmp_path, redis_url, total=1), SIGNER, SystemClock()):
            pass


async def test_without_an_address_it_runs_a_redis_of_its_own(
    tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(short_folder)

    async with shop(config(tmp_path, ""), with_jobs=False) as drop:
        assert (await drop.shopper().reserve()).status == 201


async def test_it_serves_until_it_is_asked_to_stop(tmp_path: Path, redis_url: str, unused_tcp_port: int) -> None:
    chosen = config(tmp_path, redis_url)
    server = chosen.server.model_copy(update={"listen": Address("127.0.0.1", unused_tcp_port)})
    running = asyncio.gather(run(chosen.model_copy(update={"server": server}), SIGNER, SystemClock()))
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"http://127.0.0.1:{unused_tcp_port}/readyz") as answer:
                    assert answer.status == 200
                    break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.02)

        os.kill(os.getpid(), signal.SIGTERM)
        await running


async def test_every_receiver_without_a_sound_secret_is_told_at_once(tmp_path: Path, redis_url: str) -> None:
    hooks = [{"name": name, "url": "https://erp.example/", "secret_file": str(tmp_path / name)} for name in ("a", "b")]
    chosen = config(tmp_path, redis_url)
    written = chosen.model_copy(update={"webhooks": tuple(parse(hook, Webhook) for hook in hooks)})

    with pytest.raises(ConfigFault) as refused:
        async with built(written, SIGNER, SystemClock()):
            pass
    assert len(refused.value.faults) == 2
