"""The audit: every change, newest first, and honest about what was before."""

import pytest

from tests.fakes import FakeClock
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind, RoomRules
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms


async def test_who_changed_what_and_why_is_read_newest_first(redis: ScriptRunner, keys: Keys) -> None:
    rooms, audit = Rooms(redis, [RoomRules("drop")], keys, FakeClock()), Audit(redis)
    await rooms.control("drop", Change(ChangeKind.RATE, "90"), who="ann", why="the store is slow")
    await rooms.control("drop", Change(ChangeKind.RATE, "60"), who="bob")
    await rooms.control("drop", Change(ChangeKind.PAUSE), who="ann")
    entries = await audit.read("drop")

    assert [(e.who, e.what, e.value, e.before, e.why) for e in entries] == [
        ("ann", "pause", "", "running", ""),
        ("bob", "rate", "60.0", "90.0", ""),
        ("ann", "rate", "90.0", "600.0", "the store is slow"),
    ]
    assert entries[0].at_ms >= entries[-1].at_ms > 1_700_000_000_000
    assert await audit.read("drop", 1) == entries[:1]
    assert await audit.read("shop") == []


async def test_a_refused_change_leaves_no_entry(redis: ScriptRunner, keys: Keys) -> None:
    rooms = Rooms(redis, [RoomRules("drop")], keys, FakeClock())
    with pytest.raises(Exception, match="bad-cap"):
        await rooms.control("drop", Change(ChangeKind.CAP, "-1"), who="ann")

    assert await Audit(redis).read("drop") == []


async def test_without_redis_it_says_so() -> None:
    async with connected(RedisSettings("unix:///nowhere/valkey.sock", timeout_ms=100)) as nowhere:
        with pytest.raises(StoreUnavailable):
            await Audit(nowhere).read("drop")
