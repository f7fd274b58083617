"""The rooms as the gate asks for them, on a real Valkey and its own clock."""

from dataclasses import replace

import pytest

from tests.fakes import FakeClock
from waitroom.kernel.errors import Refused
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Ticket
from waitroom.rules.lanes import LANES
from waitroom.rules.rooms import ALWAYS, Change, ChangeKind, Phase, Queueing, RoomRules, Schedule
from waitroom.rules.scores import commitment, derive_seed, draw_score
from waitroom.store.keys import RoomKeys
from waitroom.store.places import Place, Standing
from waitroom.store.rooms import Entered, Rooms, Wait
from waitroom.store.sessions import Admitted, Sessions

HOUR_MS = 3_600_000


async def redis_ms(redis: ScriptRunner) -> int:
    seconds, micros = await redis.client.time()
    return int(seconds) * 1000 + int(micros) // 1000


def ticket(number: int, issued_ms: int, event: str = ALWAYS, score: float | None = None) -> Ticket:
    return Ticket("drop", event, "main", f"ticket-{number}", issued_ms, score)


@pytest.fixture
async def now_ms(redis: ScriptRunner) -> int:
    return await redis_ms(redis)


@pytest.fixture
def clock(now_ms: int) -> FakeClock:
    return FakeClock(now_ms)


async def opening(
    redis: ScriptRunner, keys: Keys, clock: FakeClock, *, in_ms: int, queueing: Queueing, max_waiting: int = 0
) -> Rooms:
    """Give a room whose event opens `in_ms`, born."""
    starts = clock.now_ms() + in_ms
    event = Schedule("opening", starts - HOUR_MS, starts, starts + HOUR_MS)
    rules = RoomRules("drop", queueing=queueing, fifo_head=2, events=(event,), max_waiting=max_waiting)
    rooms = Rooms(redis, [rules], keys, clock)
    await rooms.tick("drop")
    return rooms


async def test_a_snapshot_tells_what_the_configuration_and_redis_say(
    redis: ScriptRunner, keys: Keys, clock: FakeClock
) -> None:
    rooms = Rooms(redis, [RoomRules("drop", new_users_per_minute=0.2, total_active_users=7)], keys, clock)
    snapshot = await rooms.tick("drop")
    again = await rooms.tick("drop")

    assert (snapshot.room, snapshot.event, snapshot.phase) == ("drop", ALWAYS, Phase.IDLE)
    assert (snapshot.rate_per_minute, snapshot.total_active_users, snapshot.spin) == (0.2, 7, 0.0)
    assert snapshot.main.serving is None
    assert len(snapshot.generation) == 16
    assert (again.generation, again.commitment) == (snapshot.generation, snapshot.commitment)


async def test_an_unknown_room_is_refused(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = Rooms(redis, [RoomRules("drop")], keys, clock)
    with pytest.raises(Refused) as refused:
        await rooms.tick("dorp")

    assert (refused.value.status, rooms.names()) == (404, ["drop"])


async def test_the_clock_of_redis_decides_and_not_this_machine(redis: ScriptRunner, keys: Keys, now_ms: int) -> None:
    event = Schedule("opening", now_ms - HOUR_MS, now_ms - 1000, None)
    slow_clock = FakeClock(now_ms - 24 * HOUR_MS)
    rooms = Rooms(redis, [RoomRules("drop", events=(event,))], keys, slow_clock)
    await rooms.tick("drop")
    snapshot = await rooms.tick("drop")

    assert 0 <= rooms.now_ms() - now_ms < 60_000
    assert (snapshot.event, snapshot.phase) == ("opening", Phase.OPEN)


async def test_somebody_goes_straight_in_and_the_next_has_to_wait(
    redis: ScriptRunner, keys: Keys, clock: FakeClock
) -> None:
    rooms = Rooms(redis, [RoomRules("drop", new_users_per_minute=0.001)], keys, clock)
    first, second = await rooms.enter("drop"), await rooms.enter("drop")

    assert isinstance(first, Entered)
    assert first.expires_ms - clock.now_ms() == pytest.approx(300_000, abs=30_000)
    assert second == Wait("rate")


async def test_where_redis_was_emptied_the_room_is_born_again(
    redis: ScriptRunner, keys: Keys, clock: FakeClock
) -> None:
    rooms = Rooms(redis, [RoomRules("drop")], keys, clock)
    before = await rooms.tick("drop")
    await rooms.join(ticket(1, clock.now_ms()), is_new=True, committed=before.commitment)
    await redis.client.flushdb()
    place = await rooms.join(ticket(1, 0, score=17.5), is_new=False, committed=before.commitment)
    after = await rooms.tick("drop")

    assert place == Place(Standing.WAITING, 17.5, 0, False)
    assert (before.generation != after.generation, before.commitment == after.commitment) == (True, True)


async def test_in_a_drawn_room_a_place_follows_from_the_seed_alone(
    redis: ScriptRunner, keys: Keys, clock: FakeClock
) -> None:
    rooms = await opening(redis, keys, clock, in_ms=60_000, queueing=Queueing.RANDOM)
    snapshot = await rooms.tick("drop")
    seed = rooms.seed("drop", "opening", snapshot.commitment)
    drawn = ticket(1, clock.now_ms(), "opening")
    place = await rooms.join(drawn, is_new=True, committed=snapshot.commitment)
    await redis.client.flushdb()
    restored = await rooms.join(drawn, is_new=False, committed=snapshot.commitment)

    assert snapshot.phase is Phase.PREQUEUE
    assert commitment(seed) == snapshot.commitment
    assert place.score == draw_score(seed, "ticket-1") == restored.score


async def test_a_new_secret_does_not_move_a_draw_that_was_committed_to(
    redis: ScriptRunner, keys: Keys, clock: FakeClock
) -> None:
    old = await opening(redis, keys, clock, in_ms=60_000, queueing=Queueing.RANDOM)
    before = await old.tick("drop")
    rotated = Keys([b"a-test-secret-that-is-32-bytes-long!", b"n" * 32])
    new = await opening(redis, rotated, clock, in_ms=60_000, queueing=Queueing.RANDOM)
    after = await new.tick("drop")
    place = await new.join(ticket(1, clock.now_ms(), "opening"), is_new=True, committed=after.commitment)

    seed = derive_seed(keys.derive("draw")[-1], "drop", "opening")
    assert after.commitment == before.commitment == commitment(seed)
    assert place.score == draw_score(seed, "ticket-1")
    assert new.seed("drop", "other", "unknown") == derive_seed(rotated.derive("draw")[-1], "drop", "other")


async def test_the_first_of_a_hybrid_room_keep_their_order(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = await opening(redis, keys, clock, in_ms=60_000, queueing=Queueing.HYBRID)
    scores = [
        (await rooms.join(ticket(n, clock.now_ms() + n, "opening"), is_new=True, committed="")).score for n in range(4)
    ]

    assert scores[0] < scores[1] < 0
    assert all(0 <= score < 1 for score in scores[2:])


async def test_a_fifo_room_serves_by_the_moment_each_asked(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = await opening(redis, keys, clock, in_ms=60_000, queueing=Queueing.FIFO)
    order = [3, 1, 4, 0, 2]
    for number in order:  # the order in which they solve
        issued_ms = clock.now_ms() - 1000 + number * 10
        await rooms.join(ticket(number, issued_ms, "opening"), is_new=True, committed="")
    places = [await rooms.join(ticket(n, 0, "opening", score=-1.0), is_new=False, committed="") for n in range(5)]

    assert [place.ahead for place in places] == [0, 1, 2, 3, 4]
    assert all(place.was_known and place.score < 0 for place in places)


async def test_whoever_cannot_compute_pays_in_time_and_joins_no_draw(
    redis: ScriptRunner, keys: Keys, clock: FakeClock
) -> None:
    rooms = await opening(redis, keys, clock, in_ms=60_000, queueing=Queueing.RANDOM)
    slow = replace(ticket(1, clock.now_ms(), "opening"), lane="slow", is_slow=True)
    place = await rooms.join(slow, is_new=True, committed="")
    again = await rooms.join(replace(slow, score=place.score), is_new=False, committed="")

    assert place.score >= 1
    assert again.score == place.score


async def test_who_was_invited_is_in_no_draw_and_keeps_the_order_of_asking(
    redis: ScriptRunner, keys: Keys, clock: FakeClock
) -> None:
    rooms = await opening(redis, keys, clock, in_ms=60_000, queueing=Queueing.RANDOM)
    guests = [replace(ticket(n, clock.now_ms() - 10 * n, "opening"), lane="priority") for n in range(3)]
    scores = [(await rooms.join(guest, is_new=True, committed="")).score for guest in guests]
    snapshot = await rooms.tick("drop")

    assert 0 > scores[0] > scores[1] > scores[2]
    assert (snapshot.lanes["priority"].waiting, snapshot.main.waiting, snapshot.waiting) == (3, 0, 3)


async def test_a_full_room_counts_all_its_lanes(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = await opening(redis, keys, clock, in_ms=60_000, queueing=Queueing.FIFO, max_waiting=2)
    slow = replace(ticket(1, clock.now_ms(), "opening"), lane="slow", is_slow=True)
    await rooms.join(slow, is_new=True, committed="")
    await rooms.join(ticket(2, clock.now_ms(), "opening"), is_new=True, committed="")
    await rooms.tick("drop")

    for lane in ("main", "slow", "priority"):
        with pytest.raises(Refused):
            await rooms.join(replace(ticket(3, clock.now_ms(), "opening"), lane=lane), is_new=True, committed="")
    assert (await rooms.join(ticket(2, clock.now_ms(), "opening"), is_new=True, committed="")).was_known


async def test_an_event_that_is_over_takes_nobody(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = await opening(redis, keys, clock, in_ms=-2 * HOUR_MS, queueing=Queueing.FIFO)
    with pytest.raises(Refused) as refused:
        await rooms.join(ticket(1, clock.now_ms(), "opening"), is_new=True, committed="")

    assert (refused.value.status, (await rooms.tick("drop")).phase) == (410, Phase.ENDED)
    assert await rooms.enter("drop") == Wait("ended")


async def test_a_place_that_is_left_is_free(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = Rooms(redis, [RoomRules("drop")], keys, clock)
    await rooms.join(ticket(1, clock.now_ms()), is_new=True, committed="")

    assert await rooms.leave(ticket(1, 0)) is True
    assert await rooms.leave(ticket(1, 0)) is False
    assert (await rooms.tick("drop")).main.waiting == 0


async def test_what_ops_change_shows_at_once(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = Rooms(redis, [RoomRules("drop")], keys, clock)
    changes = [(ChangeKind.RATE, "90"), (ChangeKind.CAP, "3"), (ChangeKind.MESSAGE, "Hi."), (ChangeKind.PAUSE, "")]
    snapshots = [await rooms.control("drop", Change(kind, value), who="ann", why="because") for kind, value in changes]
    snapshot = snapshots[-1]

    assert (snapshot.rate_per_minute, snapshot.total_active_users, snapshot.message) == (90.0, 3, "Hi.")
    assert (snapshot.phase, snapshot.revision) == (Phase.PAUSED, 4)


async def test_a_change_that_does_not_fit_changes_nothing(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = Rooms(redis, [RoomRules("drop")], keys, clock)
    with pytest.raises(Refused) as refused:
        await rooms.control("drop", Change(ChangeKind.RATE, "fast"), who="ann")

    assert refused.value.status == 422
    assert await redis.client.dbsize() == 0


async def test_a_whole_line_comes_in_by_turn_and_once(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rules = RoomRules("drop", new_users_per_minute=60_000_000, total_active_users=1000)
    rooms, sessions = Rooms(redis, [rules], keys, clock), Sessions(redis)
    tickets = [ticket(number, clock.now_ms() + number) for number in range(50)]
    for each in tickets:
        await rooms.join(each, is_new=True, committed="")
    outcomes = []
    for _ in range(100):
        if (await rooms.tick("drop")).main.waiting == 0:
            break
    for each in tickets:
        outcomes.append(await sessions.claim(each, rules, rooms.schedule("drop")))
    snapshot = await rooms.tick("drop")

    assert [outcome.session_id for outcome in outcomes if isinstance(outcome, Admitted)] == [
        t.ticket_id for t in tickets
    ]
    assert (snapshot.admitted, snapshot.sessions, snapshot.main.called) == (50, 50, 50)
    assert snapshot.main.serving is not None


async def test_every_key_that_a_room_makes_is_named_in_keys(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> None:
    rooms = await opening(redis, keys, clock, in_ms=-1000, queueing=Queueing.FIFO)
    await rooms.join(ticket(1, clock.now_ms(), "opening"), is_new=True, committed="")
    await rooms.tick("drop")
    await rooms.control("drop", Change(ChangeKind.PAUSE), who="ann")
    lanes = [RoomKeys("drop", "opening").of(lane) for lane in LANES]
    known = {getattr(named, name) for named in lanes for name in dir(named) if not name.startswith("_")}

    assert {key async for key in redis.client.scan_iter()} <= known
