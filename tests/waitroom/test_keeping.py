"""One program is kept running; when it serves it says so, and how long it rests between lives grows."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.conftest import eventually
from waitroom.keeping import Keeper, Program, Tier, pause_s
from waitroom.kernel.clock import SystemClock

SAYS_SO = "import os, time; os.write(int(os.environ['WAITROOM_READY_FD']), b'.'); time.sleep(600)"
ENDS = "pass"


@asynccontextmanager
async def kept(source: str) -> AsyncIterator[Keeper]:
    program = Program("edge", (sys.executable, "-c", source), dict(os.environ), Tier.EDGE)
    keeper = Keeper(program, SystemClock(), lambda _: None)
    async with asyncio.TaskGroup() as group:
        group.create_task(keeper.keep())
        yield keeper
        await keeper.stop()


async def test_a_program_that_says_so_is_up() -> None:
    async with kept(SAYS_SO) as keeper:
        assert await keeper.came_up()
        assert keeper.is_up


async def test_one_that_ends_before_it_says_so_is_not() -> None:
    async with kept(ENDS) as keeper:
        assert not await keeper.came_up()


async def test_one_that_died_is_up_no_more_and_then_again() -> None:
    async with kept(SAYS_SO) as keeper:
        await keeper.came_up()
        assert keeper._process is not None
        first = keeper._process.pid
        os.kill(first, 9)

        await eventually(
            lambda: keeper.is_up and keeper._process is not None and keeper._process.pid != first, within_s=30
        )


@pytest.mark.parametrize(
    ("before_s", "lived_s", "waits_s"),
    [(0, 0, 0.2), (0.2, 0, 0.4), (0.4, 59, 0.8), (4.0, 0, 5.0), (5.0, 0, 5.0), (5.0, 60, 0.2)],
)
def test_pauses_double_and_begin_anew_after_a_healthy_minute(before_s: float, lived_s: float, waits_s: float) -> None:
    assert pause_s(before_s, lived_s) == pytest.approx(waits_s)
