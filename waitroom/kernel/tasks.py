"""Own what runs beside the requests: named, timed, and never silently dead."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import WaitroomError

log = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loop:
    """One thing done again and again: `step`, every `period_s` seconds, each within `limit_s` seconds."""

    name: str
    step: Callable[[], Awaitable[None]]
    period_s: float
    limit_s: float


@asynccontextmanager
async def running(*loops: Loop, clock: Clock) -> AsyncIterator[None]:
    """Run `loops` while the block lasts.

    An expected fault (a WaitroomError, a step past its limit) is logged and the loop goes on;
    anything else is a bug: it ends the block with an ExceptionGroup, and with it the process.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_forever(loop, clock), name=loop.name) for loop in loops]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()


async def give_way() -> None:
    """Let all that is ready go first: what takes long is done in pieces, so that no request waits for the whole."""
    await asyncio.sleep(0)


async def _forever(loop: Loop, clock: Clock) -> None:
    failing = False
    while True:
        try:
            async with asyncio.timeout(loop.limit_s):
                await loop.step()
            if failing:
                log.info("loop recovered", extra={"loop": loop.name})
            failing = False
        except (WaitroomError, TimeoutError, asyncio.CancelledError) as fault:
            if isinstance(fault, asyncio.CancelledError) and _is_over():
                raise  # else something that the step awaited was cancelled, and must not end the loop silently
            if not failing:  # once an outage, not once a period
                log.warning("loop step failed", extra={"loop": loop.name, "reason": repr(fault)})
            failing = True
        if _is_over():  # a library swallowed the cancellation (asyncio.wait_for before Python 3.12 does)
            return
        await clock.sleep(loop.period_s)


def _is_over() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


class Errands:
    """Short pieces of work that outlive the request that began them, owned until they end.

    `shielded` lets a visitor who hangs up cancel their request without cancelling what was begun for them.
    """

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._tasks: set[asyncio.Task[Any]] = set()

    def begin(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start `work` and keep hold of it; an unexpected failure is logged when it ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def shielded(self, work: Coroutine[Any, Any, T], *, name: str) -> T:
        """Return what `work` returns; if the caller is cancelled, `work` still runs to its end."""
        return await asyncio.shield(self.begin(work, name=name))

    async def close(self, limit_s: float) -> None:
        """Give what is under way `limit_s` seconds to end, then cancel it."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=limit_s)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late, timeout=1)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (fault := task.exception()) is not None and not isinstance(fault, WaitroomError):
            log.error("errand failed", extra={"errand": task.get_name()}, exc_info=fault)
