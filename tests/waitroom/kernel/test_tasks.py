"""What runs beside the requests: it goes on through what we expect, and its bugs are heard."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest

from tests.fakes import FakeClock
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.tasks import Errands, Loop, give_way, running


class Steps:
    """A step that fails as it is told to, and counts."""

    def __init__(self, *faults: BaseException | None) -> None:
        """Raise each fault in turn, then nothing any more."""
        self.faults = list(faults)
        self.count = 0

    async def step(self) -> None:
        self.count += 1
        if self.faults and (fault := self.faults.pop(0)) is not None:
            raise fault


def loop_of(step: Callable[[], Awaitable[None]], limit_s: float = 5) -> Loop:
    return Loop("test", step, period_s=1, limit_s=limit_s)


async def test_a_step_is_taken_at_once_and_then_every_period(clock: FakeClock) -> None:
    steps = Steps()
    async with running(loop_of(steps.step), clock=clock):
        await clock.advance(0)
        first = steps.count
        await clock.advance(3)

    assert (first, steps.count) == (1, 4)


async def test_loops_end_with_the_block(clock: FakeClock) -> None:
    steps = Steps()
    async with running(loop_of(steps.step), loop_of(steps.step), clock=clock):
        await clock.advance(0)
    await clock.advance(10)

    assert steps.count == 2


@pytest.mark.parametrize("fault", [StoreUnavailable("down"), TimeoutError(), asyncio.CancelledError()])
async def test_an_expected_fault_is_told_once_an_outage(
    fault: BaseException, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    steps = Steps(None, fault, fault, fault, None, fault)
    async with running(loop_of(steps.step), clock=clock):
        await clock.advance(8)

    assert steps.count == 9
    assert [r.message for r in caplog.records] == ["loop step failed", "loop recovered"] * 2


async def test_a_step_past_its_limit_is_given_up(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    taken = []

    async def hangs_first() -> None:
        taken.append(1)
        if len(taken) == 1:
            await asyncio.Event().wait()

    async with running(loop_of(hangs_first, limit_s=0.01), clock=clock):
        await asyncio.sleep(0.05)
        await clock.advance(1)

    assert len(taken) == 2
    assert "loop step failed" in caplog.text


async def test_a_bug_ends_the_block_even_while_it_waits(clock: FakeClock) -> None:
    steps = Steps(None, ZeroDivisionError("a bug"))

    async def block() -> None:
        async with running(loop_of(steps.step), clock=clock):
            await clock.advance(1)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as told:
        await block()

    assert told.group_contains(ZeroDivisionError, match="a bug")


async def test_a_cancelled_block_ends_its_loops(clock: FakeClock) -> None:
    steps = Steps()

    async def block() -> None:
        async with running(loop_of(steps.step), clock=clock):
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(block())
        await clock.advance(1)
        task.cancel()
    await clock.advance(5)

    assert (task.cancelled(), steps.count) == (True, 2)


async def test_a_step_that_swallows_the_end_does_not_keep_the_loop_alive(clock: FakeClock) -> None:
    begun = asyncio.Event()

    async def swallows() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async with asyncio.timeout(60), running(loop_of(swallows), clock=clock):
        await begun.wait()


async def test_an_errand_outlives_its_caller() -> None:
    errands, may_end, ended = Errands(), asyncio.Event(), []

    async def work() -> int:
        await may_end.wait()
        ended.append(1)
        return 7

    async with asyncio.TaskGroup() as group:
        caller = group.create_task(errands.shielded(work(), name="save"))
        await asyncio.sleep(0)
        caller.cancel()
    may_end.set()
    await errands.close(limit_s=5)

    assert (caller.cancelled(), ended) == (True, [1])


async def test_an_errand_hands_back_what_it_found() -> None:
    errands = Errands()

    async def found() -> int:
        return 7

    async def refused() -> int:
        raise StoreUnavailable("down")

    assert await errands.shielded(found(), name="find") == 7
    with pytest.raises(StoreUnavailable):
        await errands.shielded(refused(), name="find")


async def test_a_bug_in_an_errand_is_logged_and_an_expected_fault_is_not(caplog: pytest.LogCaptureFixture) -> None:
    errands = Errands()
    for fault in (StoreUnavailable("down"), ZeroDivisionError("a bug")):
        steps = Steps(fault)
        _ = errands.begin(steps.step(), name="count")
    await errands.close(limit_s=5)

    [record] = caplog.records
    assert (record.message, vars(record)["errand"]) == ("errand failed", "count")
    assert "a bug" in caplog.text


async def test_an_errand_that_is_late_is_cancelled_at_the_end() -> None:
    errands = Errands()
    task = errands.begin(asyncio.Event().wait(), name="late")

    await errands.close(limit_s=0.01)

    assert task.cancelled()
    await errands.close(limit_s=0.01)


async def test_who_gives_way_lets_everybody_else_go_first() -> None:
    order: list[str] = []
    asyncio.get_running_loop().call_soon(order.append, "another")
    await give_way()
    order.append("oneself")

    assert order == ["another", "oneself"]
