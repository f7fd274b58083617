"""Count what one upstream is doing for us, and let no more begin than it may."""

import asyncio
from contextlib import suppress

from prometheus_client import Gauge

from waitroom.kernel.errors import Refused

BUSY_RETRY_S = 2


class Slots:
    """So many things at once; the next one waits a moment, first come first served, or is refused."""

    def __init__(self, most: int, *, patience_s: float, in_flight: Gauge) -> None:
        """Allow `most` at once, and let the next wait for `patience_s`."""
        self._free = asyncio.Semaphore(most)
        self._patience_s = patience_s
        self._in_flight = in_flight

    async def take(self) -> "Slot":
        """Return a slot, to be released.

        Raises:
            Refused: 503, none came free.
        """
        if self._free.locked():
            await self._wait()
        else:
            await self._free.acquire()  # at once
        self._in_flight.inc()
        return Slot(self)

    def take_now(self) -> "Slot | None":
        """Return a slot if one is free and nobody waits for it."""
        if self._free.locked():
            return None
        with suppress(StopIteration):
            self._free.acquire().send(None)  # which is over with its first step
        self._in_flight.inc()
        return Slot(self)

    def give_back(self) -> None:
        """Let the next one begin."""
        self._in_flight.dec()
        self._free.release()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await self._free.acquire()
        except TimeoutError:
            public = "The shop is very busy. Your place inside is kept: please try again in a moment."
            raise Refused(503, "upstream-busy", public, retry_after_s=BUSY_RETRY_S) from None


class Slot:
    """One of the slots, taken; released once, however often it is said."""

    def __init__(self, slots: Slots) -> None:
        """Hold one of `slots`."""
        self._slots: Slots | None = slots

    def release(self) -> None:
        """Give it back."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give_back()
