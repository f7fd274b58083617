"""release: a session ends, and its pass is worth nothing from here on."""

from tests.lua.room import T0, Room
from tests.lua.twin import KEYS
from waitroom.kernel.redis import ScriptRunner


async def test_a_seat_is_free_at_once(redis: ScriptRunner) -> None:
    room = Room(redis, cap=1)
    await room.tick()
    await room.enter("a")

    assert await room.release("a", 1000) == ["released"]
    assert (await room.enter("b", 1000))[0] == "admitted"


async def test_it_is_remembered_whether_or_not_the_session_was_there(redis: ScriptRunner) -> None:
    room = Room(redis)

    assert await room.release("a", 0, 300_000) == ["unknown"]
    assert await room.release("a", 0, 200_000) == ["unknown"]
    assert await redis.client.zrange(KEYS.revoked, 0, -1, withscores=True) == [("a", T0 + 300_000)]


async def test_it_is_forgotten_when_no_pass_can_verify_any_more(redis: ScriptRunner) -> None:
    room = Room(redis)
    await room.release("a", 0, 300_000)
    await room.release("b", 300_000, 600_000)

    assert await redis.client.zrange(KEYS.revoked, 0, -1) == ["b"]
    assert 0 < await redis.client.pttl(KEYS.revoked) <= 2 * 86_400_000
