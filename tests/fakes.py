"""Stand-ins that a test can steer: they stand at the edges, never inside."""

import asyncio
import heapq
import itertools


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now_ms: int = 1_700_000_000_000) -> None:
        self._now_ms = now_ms
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []
        self._serial = itertools.count()

    def now_ms(self) -> int:
        return self._now_ms

    def tick_s(self) -> float:
        return self._now_ms / 1000

    async def sleep(self, seconds: float) -> None:
        waker: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now_ms + round(seconds * 1000), next(self._serial), waker))
        await waker

    async def advance(self, seconds: float) -> None:
        """Move on by `seconds`, waking every sleeper in order, at its own time."""
        end = self._now_ms + round(seconds * 1000)
        await self._settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            self._now_ms, _, waker = heapq.heappop(self._sleepers)
            if not waker.done():
                waker.set_result(None)
            await self._settle()
        self._now_ms = end

    async def _settle(self) -> None:
        for _ in range(10):  # let everything that is ready run until it sleeps again
            await asyncio.sleep(0)
