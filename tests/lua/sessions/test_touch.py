"""touch: many sessions renewed at once, none that was revoked."""

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


async def test_a_session_lasts_as_long_as_its_pass(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.tick()
    await room.enter("a")

    assert await room.touch({"a": 400_000}, 100_000) == ["touched"]
    assert await redis.client.zscore(KEYS.sessions, "a") == T0 + 400_000


async def test_a_touch_never_shortens_and_the_same_again_changes_nothing(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.touch({"a": 400_000})
    await room.touch({"a": 200_000})
    await room.touch({"a": 400_000})

    assert await redis.client.zrange(KEYS.sessions, 0, -1, withscores=True) == [("a", T0 + 400_000)]


async def test_a_session_that_redis_has_lost_comes_back(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.touch({"a": 100_000, "b": 200_000}, 50_000)

    assert (await room.tick(50_000))["sessions"] == 2


async def test_what_is_over_does_not_come_back(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.touch({"a": 1000}, 1000)

    assert await redis.client.zcard(KEYS.sessions) == 0


async def test_the_revoked_are_told_and_not_renewed(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.touch({"a": 300_000, "b": 300_000})
    await room.release("a")

    assert await room.touch({"a": 400_000, "b": 400_000}) == ["touched", "a"]
    assert await redis.client.zrange(KEYS.sessions, 0, -1) == ["b"]


async def test_nothing_to_touch_is_no_fault_and_leaves_nothing(redis: ScriptRunner) -> None:
    assert await Room(redis).touch({}) == ["touched"]
    assert await redis.client.dbsize() == 0


async def test_what_it_puts_back_has_an_end(redis: ScriptRunner) -> None:
    await Room(redis).touch({"a": 300_000})

    assert 86_400_000 < await redis.client.pttl(KEYS.sessions) <= 2 * 86_400_000
