"""revoke: ops end one session; it is written down once, and its pass is worth nothing from here on."""

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner
from waitroom.store.audit import Audit


async def test_a_seat_is_free_at_once_and_it_is_written_down_once(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1)
    await room.tick()
    await room.enter("a")

    assert await room.revoke("a", 1000) == ["revoked"]
    assert await room.revoke("a", 1000) == ["revoked"], "sent again"
    assert (await room.enter("b", 1000))[0] == "admitted"
    told = {"who": "ann", "what": "revoke", "value": "a", "before": "inside", "why": "because"}
    assert [entry for _, entry in await redis.client.xrange(KEYS.audit) or []] == [{"at_ms": str(T0 + 1000), **told}]
    assert (await room.tick(1000))["revision"] == 1


async def test_a_pass_that_nobody_counts_is_worth_nothing_either(redis: ScriptRunner) -> None:
    room = Room(redis)

    assert await room.revoke("a", 0, 300_000) == ["revoked"]
    assert await redis.client.zrange(KEYS.revoked, 0, -1, withscores=True) == [("a", T0 + 300_000)]
    assert [entry.before for entry in await Audit(redis).read("drop")] == ["not inside"]
    assert not await redis.client.exists(KEYS.room), "half a room is none"


async def test_it_is_forgotten_when_no_pass_can_verify_any_more(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.revoke("a", 0, 300_000)
    await room.revoke("b", 300_000, 600_000)

    assert await redis.client.zrange(KEYS.revoked, 0, -1) == ["b"]
    assert 0 < await redis.client.pttl(KEYS.revoked) <= 2 * 86_400_000
