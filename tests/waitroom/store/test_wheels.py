"""The wheel a worker proves tickets with: built once for all who ask, and never another one than was published."""

import asyncio
from dataclasses import replace

import pytest

from tests.fakes import FakeClock
from tests.lua.room import Room
from tests.snapshots import snapshot
from waitroom.kernel.errors import Refused
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tasks import Errands
from waitroom.rules.proofs import Roster, Wheel
from waitroom.rules.rooms import Snapshot
from waitroom.rules.scores import draw_score
from waitroom.store.draws import Draws
from waitroom.store.wheels import Wheels

SEED = bytes(32)
SCORES = {f"t{number}": draw_score(SEED, f"t{number}") for number in range(30)}


@pytest.fixture
async def room(redis: ScriptRunner) -> Room:
    room = Room(redis, prequeue=-10_000, starts=0)
    await room.tick(-1)
    for ticket, score in SCORES.items():
        await room.join(ticket, -1, score=score)
    await room.tick(0)
    return room


@pytest.fixture
def wheels(redis: ScriptRunner, clock: FakeClock) -> Wheels:
    return Wheels(Draws(redis, "w"), Errands(), clock)


def published(roster: Roster | None) -> Snapshot:
    return replace(snapshot(), roster=roster)


async def test_it_is_built_when_it_is_first_asked_for_and_once(room: Room, wheels: Wheels) -> None:
    told = published(Wheel(SCORES).roster)
    found = await asyncio.gather(*(wheels.of(told, SEED) for _ in range(20)))

    assert len({id(wheel) for wheel in found}) == 1
    assert wheels.held("drop", "opening") is found[0]
    assert wheels.held("drop", "next") is None


async def test_before_the_root_is_out_nothing_is_proven(room: Room, wheels: Wheels) -> None:
    with pytest.raises(Refused) as refused:
        await wheels.of(published(None), SEED)

    assert (refused.value.status, refused.value.kind) == (503, "no-roster")


async def test_after_a_loss_it_is_built_of_those_who_came_back(room: Room, wheels: Wheels) -> None:
    told = published(Wheel(SCORES).roster)
    await room.redis.client.flushdb()
    await room.tick(1)
    for ticket, score in SCORES.items():
        await room.join(ticket, 1, kept=score)

    assert (await wheels.of(told, SEED)).roster == told.roster


async def test_a_wheel_that_does_not_lead_to_the_root_proves_nothing(
    room: Room, wheels: Wheels, clock: FakeClock
) -> None:
    told = published(Wheel(SCORES | {"somebody": 0.5}).roster)
    for _ in range(2):
        with pytest.raises(Refused) as refused:
            await wheels.of(told, SEED)
        assert (refused.value.status, refused.value.kind) == (503, "roster-incomplete")
    await room.join("somebody", 1, kept=0.5)
    await clock.advance(31)

    with pytest.raises(Refused):
        await wheels.of(told, SEED)  # its score is not the one of the seed
    assert wheels.held("drop", "opening") is None
