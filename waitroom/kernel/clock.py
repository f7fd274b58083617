"""The one place that reads time."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Where every part takes its time from, so that a test can turn the hands."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 (UTC): for what is stored or shown."""
        ...

    def tick_s(self) -> float:
        """Return seconds on a clock that never jumps: for durations only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class SystemClock:
    """The clock of this machine."""

    def now_ms(self) -> int:
        """Return milliseconds since 1970 (UTC)."""
        return time.time_ns() // 1_000_000

    def tick_s(self) -> float:
        """Return seconds on the monotonic clock."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of real time."""
        await asyncio.sleep(seconds)
