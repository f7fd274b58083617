"""Nothing reaches a server of Redis that is not the one which was loaded."""

import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.stock.fence import Fence
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.stock import Hold, Stock
from tests.till import sale
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import RedisSettings, connected


@pytest.fixture
async def server(short_folder: Path) -> AsyncIterator[EmbeddedServer]:
    """Give a server of our own to kill, with its append-only file."""
    found = EmbeddedServer(short_folder / "r")
    await found.start()
    yield found
    await found.stop()


def test_whoever_is_there_first_is_let_through_until_one_is_chosen() -> None:
    fence = Fence()
    assert fence.admits("one")
    assert fence.admits("two")

    fence.keep_to("one")
    assert fence.admits("one")
    assert not fence.has_refused
    assert not fence.admits("two")
    assert fence.has_refused

    fence.open()
    assert fence.admits("two")
    assert not fence.has_refused


async def test_a_restarted_server_hears_nothing_until_it_is_loaded_anew(ledger: Ledger, server: EmbeddedServer) -> None:
    """Its file brings back the old life, open and perhaps older than we know; the epoch alone would not tell."""
    fence = Fence()
    async with connected(RedisSettings(server.url, timeout_ms=5000), fence.admits) as scripts:
        stock = Stock(scripts, fence=fence)
        rebuild = Rebuild(ledger, stock, [sale()])
        await rebuild.step()
        key = rebuild.key("drop", "sneaker")
        assert await stock.hold(key, rid="r1", shopper="alice", qty=1, limit=2) is Hold.HELD
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()
        await server.start()

        with pytest.raises(StoreUnavailable, match="another server"):
            await stock.hold(key, rid="r2", shopper="bob", qty=1, limit=2)
        await rebuild.step()

        fresh = rebuild.key("drop", "sneaker")
        assert fresh.epoch == key.epoch + 1
        assert await stock.hold(fresh, rid="r1", shopper="alice", qty=1, limit=2) is Hold.HELD, "soft holds are dropped"
