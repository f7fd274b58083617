"""Who is inside, as the gate asks for it, on a real Valkey."""

from typing import Any

import pytest

from tests.edges import Store, front
from tests.fakes import FakeClock
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tokens import Keys, Ticket
from waitroom.rules.rooms import ALWAYS, Change, ChangeKind, RoomRules, Schedule
from waitroom.store.keys import RoomKeys
from waitroom.store.rooms import Rooms
from waitroom.store.sessions import Admitted, NotYet, Over, Sessions, Unknown

RULES = RoomRules("drop", new_users_per_minute=0.001)
SESSIONS = RoomKeys("drop", "").sessions


def ticket(number: int, score: float | None = None) -> Ticket:
    return Ticket("drop", ALWAYS, "main", f"t{number}", 1000, score)


async def redis_ms(redis: ScriptRunner) -> int:
    seconds, micros = await redis.client.time()
    return int(seconds) * 1000 + int(micros) // 1000


@pytest.fixture
async def rooms(redis: ScriptRunner, keys: Keys) -> Rooms:
    """Give a room in which t1 is called and t2 waits."""
    rooms = Rooms(redis, [RULES], keys, FakeClock())
    for number in (1, 2):
        await rooms.join(ticket(number, float(number)), is_new=False, committed="")
    await rooms.tick("drop")
    return rooms


async def test_a_called_ticket_comes_in_once(redis: ScriptRunner, rooms: Rooms) -> None:
    sessions = Sessions(redis)
    first = await sessions.claim(ticket(1), RULES, rooms.schedule("drop"))
    again = await sessions.claim(ticket(1), RULES, rooms.schedule("drop"))

    assert isinstance(first, Admitted)
    assert first.session_id == "t1"
    assert again == first


async def test_others_hear_why_not(redis: ScriptRunner, rooms: Rooms) -> None:
    sessions, schedule = Sessions(redis), rooms.schedule("drop")
    over = Schedule(ALWAYS, 0, 0, 1)

    assert await sessions.claim(ticket(2), RULES, schedule) == NotYet(False, 0)
    assert await sessions.claim(ticket(3), RULES, schedule) == Unknown()
    assert await sessions.claim(ticket(1), RULES, over) == Over("ended")
    await rooms.control("drop", Change(ChangeKind.PAUSE), who="ann")
    assert await sessions.claim(ticket(1), RULES, schedule) == NotYet(True, 5000)
    await redis.client.flushdb()
    assert await sessions.claim(ticket(1), RULES, schedule) == Unknown()


async def test_a_released_session_is_over_for_good(redis: ScriptRunner, rooms: Rooms) -> None:
    sessions = Sessions(redis)
    outcome = await sessions.claim(ticket(1), RULES, rooms.schedule("drop"))
    assert isinstance(outcome, Admitted)
    released = await sessions.release("drop", "t1", until_ms=outcome.expires_ms)
    again = await sessions.release("drop", "t1", until_ms=outcome.expires_ms)

    assert (released, again) == (True, False)
    assert sessions.is_revoked("drop", "t1")
    assert not sessions.is_revoked("drop", "t2")
    assert await sessions.claim(ticket(1), RULES, rooms.schedule("drop")) == Over("lapsed")


async def test_visits_are_written_in_one_go_and_only_once(redis: ScriptRunner) -> None:
    sessions, now_ms = Sessions(redis), await redis_ms(redis)
    for number in range(1234):
        sessions.visit("drop", f"s{number}", now_ms + 100_000)
        sessions.visit("drop", f"s{number}", now_ms + 200_000)
    assert await redis.client.zcard(SESSIONS) == 0
    await sessions.flush(now_ms)
    written = await redis.client.zrange(SESSIONS, 0, -1, withscores=True)
    await redis.client.flushdb()
    await sessions.flush(now_ms)

    assert len(written) == 1234
    assert {entry[1] for entry in written} == {now_ms + 200_000}
    assert await redis.client.zcard(SESSIONS) == 0


async def test_another_worker_hears_of_a_revoked_session_at_its_next_flush(redis: ScriptRunner) -> None:
    here, there, now_ms = Sessions(redis), Sessions(redis), await redis_ms(redis)
    await here.release("drop", "s1", until_ms=now_ms + 100_000)
    there.visit("drop", "s1", now_ms + 200_000)
    there.visit("drop", "s2", now_ms + 200_000)
    await there.flush(now_ms)

    assert (there.is_revoked("drop", "s1"), there.is_revoked("drop", "s2")) == (True, False)
    assert await redis.client.zrange(SESSIONS, 0, -1) == ["s2"]


async def test_a_release_forgets_the_visit_that_was_not_written_yet(redis: ScriptRunner) -> None:
    sessions, now_ms = Sessions(redis), await redis_ms(redis)
    sessions.visit("drop", "s1", now_ms + 200_000)
    await sessions.release("drop", "s1", until_ms=now_ms + 100_000)
    await sessions.flush(now_ms)

    assert await redis.client.zcard(SESSIONS) == 0


async def test_a_revocation_is_forgotten_when_no_pass_can_verify_any_more(redis: ScriptRunner) -> None:
    sessions, now_ms = Sessions(redis), await redis_ms(redis)
    await sessions.release("drop", "s1", until_ms=now_ms + 1000)
    await sessions.flush(now_ms + 999)
    assert sessions.is_revoked("drop", "s1")

    await sessions.flush(now_ms + 1000)
    assert not sessions.is_revoked("drop", "s1")


async def test_visits_that_could_not_be_written_are_written_the_next_time(
    redis: ScriptRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_ms = await redis_ms(redis)
    async with connected(RedisSettings("unix:///nowhere/valkey.sock", timeout_ms=100)) as nowhere:
        sessions = Sessions(nowhere)
        sessions.visit("drop", "s1", now_ms + 100_000)
        sessions.visit("shop", "s2", now_ms + 100_000)
        with pytest.raises(StoreUnavailable):
            await sessions.flush(now_ms)
        sessions.visit("drop", "s1", now_ms + 200_000)
        monkeypatch.setattr(nowhere, "client", redis.client)  # the server is back
        await sessions.flush(now_ms)

    assert await redis.client.zrange(SESSIONS, 0, -1, withscores=True) == [("s1", now_ms + 200_000)]
    assert await redis.client.zrange(RoomKeys("shop", "").sessions, 0, -1) == ["s2"]


async def test_two_hundred_thousand_live_sessions_cost_no_slow_command(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    client: Any = redis.client
    async with front(redis, keys, store, total_active_users=300_000, new_users_per_minute=6_000_000) as shop:
        rooms, sessions = shop.edge.rooms, shop.edge.sessions
        ends, key = rooms.now_ms() + 300_000, RoomKeys("drop", "").sessions
        for start in range(0, 200_000, 10_000):
            await client.zadd(key, {f"s{number}": ends for number in range(start, start + 10_000)})
        limit = (await client.config_get("slowlog-log-slower-than"))["slowlog-log-slower-than"]
        await client.config_set("slowlog-log-slower-than", 20_000)  # µs
        slow: list[set[bytes]] = []
        for turn in range(3):
            await client.slowlog_reset()
            for _ in range(7):
                await shop.tick()
                await rooms.enter("drop")
            for number in range(5_000):
                sessions.visit("drop", f"s{number}", ends + 1000 + turn)
            await sessions.flush(rooms.now_ms())
            slow.append({b" ".join(entry["command"].split()[:2]) for entry in await client.slowlog_get()})
        await client.config_set("slowlog-log-slower-than", limit)
        seen = await rooms.tick("drop")

    assert set.intersection(*slow) == set(), "what costs much costs it each time; a machine that stops does not"
    assert seen.sessions == 200_021
