"""The roster of a draw is published once, by one worker, and outlives Redis in the others' memory."""

import asyncio

import pytest

from tests.fakes import FakeClock
from waitroom.jobs.roster import RosterKeeper
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tasks import Errands
from waitroom.kernel.tokens import Keys, Ticket
from waitroom.rules.proofs import Wheel
from waitroom.rules.rooms import Queueing, RoomRules, Schedule, Snapshot
from waitroom.rules.scores import draw_score
from waitroom.store.board import Board
from waitroom.store.draws import Draws
from waitroom.store.keys import RoomKeys
from waitroom.store.rooms import Rooms
from waitroom.store.wheels import Wheels


class Worker:
    """One worker of a room; `rules` may say that it opened already."""

    def __init__(self, redis: ScriptRunner, keys: Keys, now_ms: int, rules: RoomRules) -> None:
        clock = FakeClock(now_ms)
        self.rooms, self.board, self.draws = (
            Rooms(redis, [rules], keys, clock),
            Board(clock),
            Draws(redis, str(id(self))),
        )
        self.wheels = Wheels(self.draws, Errands(), clock)
        self.keeper = RosterKeeper(self.rooms, self.board, self.draws, self.wheels)

    async def tick(self) -> Snapshot:
        snapshot = await self.rooms.tick("drop")
        self.board.put(snapshot)
        return snapshot


def rules(now_ms: int, opens_in_ms: int, queueing: Queueing = Queueing.RANDOM) -> RoomRules:
    starts = now_ms + opens_in_ms
    event = Schedule("opening", starts - 60_000, starts, starts + 3_600_000)
    return RoomRules("drop", queueing=queueing, events=(event,))


@pytest.fixture
async def now_ms(redis: ScriptRunner) -> int:
    seconds, _ = await redis.client.time()
    return int(seconds) * 1000


async def gathered(redis: ScriptRunner, keys: Keys, now_ms: int, count: int) -> list[str]:
    """Let so many join a room that opens in ten seconds."""
    early = Worker(redis, keys, now_ms, rules(now_ms, 10_000))
    snapshot = await early.tick()
    ids = [f"ticket-{number}" for number in range(count)]
    for ticket_id in ids:
        ticket = Ticket("drop", "opening", "main", ticket_id, now_ms, None)
        await early.rooms.join(ticket, is_new=True, committed=snapshot.commitment)
    await early.keeper.step()
    assert (await early.tick()).roster is None, "nothing is frozen before the opening"
    # the opening comes by another configuration: the line must have been born before it
    await redis.client.hset(RoomKeys("drop", "opening").line, "born_ms", str(now_ms - 60_000))
    return ids


async def test_many_workers_publish_one_roster(redis: ScriptRunner, keys: Keys, now_ms: int) -> None:
    ids = await gathered(redis, keys, now_ms, 30)
    workers = [Worker(redis, keys, now_ms, rules(now_ms, -10)) for _ in range(3)]
    snapshot = await workers[0].tick()
    for worker in workers[1:]:
        await worker.tick()
    await asyncio.gather(*(worker.keeper.step() for worker in workers))

    seed = workers[0].rooms.seed("drop", "opening", snapshot.commitment)
    expected = Wheel({ticket_id: draw_score(seed, ticket_id) for ticket_id in ids}).roster
    assert [(await worker.tick()).roster for worker in workers] == [expected] * 3
    assert sum(worker.wheels.held("drop", "opening") is not None for worker in workers) == 1, "one worked it out"


async def test_a_root_that_redis_lost_is_put_back(redis: ScriptRunner, keys: Keys, now_ms: int) -> None:
    await gathered(redis, keys, now_ms, 5)
    worker, witness = (Worker(redis, keys, now_ms, rules(now_ms, -10)) for _ in range(2))
    await worker.tick()
    await worker.keeper.step()
    published = (await witness.tick()).roster
    await witness.keeper.step()
    await redis.client.flushdb()
    stranger = Worker(redis, keys, now_ms, rules(now_ms, -10))
    lost = await stranger.tick()
    await stranger.keeper.step()
    unknown = (await stranger.tick()).roster
    await witness.tick()
    await witness.keeper.step()

    assert published is not None
    assert lost.roster is None
    assert unknown is None, "who knows nothing makes no new roster of who is left"
    assert (await stranger.tick()).roster == published


async def test_where_nothing_is_drawn_there_is_no_roster(redis: ScriptRunner, keys: Keys, now_ms: int) -> None:
    worker = Worker(redis, keys, now_ms, rules(now_ms, -10, Queueing.FIFO))
    await worker.keeper.step()
    await worker.tick()
    await worker.keeper.step()

    assert (await worker.tick()).roster is None
