"""The file that outlives every process."""

import stat
from pathlib import Path

import pytest

from tests.edges import Store, front
from waitroom.jobs.remember import Rememberer
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind
from waitroom.store.memories import memories_of
from waitroom.store.rooms import Rooms


async def test_when_redis_and_all_processes_are_new_the_file_brings_the_room_back(
    redis: ScriptRunner, keys: Keys, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "made" / "rooms.json"
    async with front(redis, keys, store, opens_in_s=-1) as shop:
        for kind, value in ((ChangeKind.RATE, "77"), (ChangeKind.CAP, "5"), (ChangeKind.MESSAGE, "Hello.")):
            await shop.edge.rooms.control("drop", Change(kind, value), who="ann")
        await shop.edge.rooms.control("drop", Change(ChangeKind.PAUSE), who="ann")
        before = await shop.edge.rooms.tick("drop")
        await Rememberer(shop.edge.rooms, path).step()
    await redis.client.flushdb()
    async with front(redis, keys, store, opens_in_s=-1) as shop:
        lost = await shop.edge.rooms.tick("drop")  # a worker that was restarted is there first, and knows nothing
        ops = Rooms(redis, [shop.edge.rooms.rules("drop")], keys, SystemClock())
        Rememberer(ops, path).recall()
        after = await ops.tick("drop")

    assert (after.phase, after.rate_per_minute, after.total_active_users, after.message, after.revision) == (
        before.phase, 77.0, 5, "Hello.", 4,
    )  # fmt: skip
    assert lost.rate_per_minute == 600
    assert after.generation not in {before.generation, lost.generation}


async def test_it_is_private_and_written_only_when_something_changed(
    redis: ScriptRunner, keys: Keys, store: Store, tmp_path: Path
) -> None:
    path = tmp_path / "rooms.json"
    async with front(redis, keys, store, opens_in_s=60) as shop:
        rememberer = Rememberer(shop.edge.rooms, path)
        await rememberer.step()
        first = path.stat()
        await rememberer.step()
        same = path.stat()
        await shop.tick()
        await rememberer.step()

    assert stat.S_IMODE(first.st_mode) == 0o600
    assert same.st_ino == first.st_ino
    assert path.stat().st_ino != first.st_ino
    assert set(memories_of(path.read_bytes())) == {"drop"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["rooms.json"]


async def test_a_disk_that_fails_is_told_once_and_harms_nobody(
    redis: ScriptRunner, keys: Keys, store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    async with front(redis, keys, store) as shop:
        rememberer = Rememberer(shop.edge.rooms, tmp_path / "file" / "rooms.json")
        rememberer.recall()
        await rememberer.step()
        await rememberer.step()

    assert caplog.messages.count("state file not written") == 1
