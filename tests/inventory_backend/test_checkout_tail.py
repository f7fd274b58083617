"""Redis dies and loses the end of its append-only file: what it took back was promised by the ledger, and stays so."""

import os
import signal
from pathlib import Path

import pytest

from inventory_backend.payments.simulated_cards import Card
from tests.faulty_sale import TOTAL, World, open_world
from waitroom.kernel.embedded import EmbeddedServer

SNEAKER = [("sneaker", 1)]


async def sold_out(world: World) -> None:
    """Sell all sneakers: some were let go of in between, one is paid."""
    await world.reserve(0, "alice", [("sneaker", 2)])
    for rid in list(world.promised):
        await world.happens(world.cancel(0, rid))
    await world.work(0)
    for name in ("bob", "carol", "dave"):
        await world.happens(world.reserve(0, name, SNEAKER))
    await world.happens(world.commit(0, next(reversed(world.promised)), Card.OK))


async def die_and_lose(server: EmbeddedServer, folder: Path, lost_bytes: int) -> None:
    """Kill the server, cut the end off its file, and start it again."""
    os.kill(server.pid, signal.SIGKILL)
    await server.wait()
    (file,) = folder.glob("appendonlydir/*.incr.aof")
    os.truncate(file, max(0, file.stat().st_size - lost_bytes))
    await server.start()


@pytest.mark.parametrize("lost_bytes", [0, 1, 200, 700, 1500, 3000, 10**6])
async def test_a_lost_tail_oversells_nothing_and_breaks_no_promise(
    lost_bytes: int, tmp_path: Path, short_folder: Path
) -> None:
    server = EmbeddedServer(short_folder / "r")
    await server.start()
    try:
        async with open_world(f"sqlite:///{tmp_path}/ledger.db", server.url) as world:
            await sold_out(world)
            promised = set(world.promised)
            await die_and_lose(server, short_folder / "r", lost_bytes)

            for name in ("eve", "zoe", "alice"):  # before the till has looked who answers there now
                await world.happens(world.reserve(0, name, SNEAKER))
                await world.look()
            assert set(world.promised) == promised, "all three were sold"
            await world.work(0)
            await world.work(0)
            for name in ("eve", "zoe", "alice"):
                await world.happens(world.reserve(0, name, SNEAKER))

            assert set(world.promised) == promised
            assert len(promised) == TOTAL + 1
            await world.settle()
    finally:
        await server.stop()
