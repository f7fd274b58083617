"""Count what one upstream is doing for us, and let no more begin than it may."""

import asyncio
from collections import deque

from waitroom.kernel.errors import Refused

BUSY_RETRY_S = 2


class Slots:
    """So many things at once; the next one waits a moment, first come first served, or is refused."""

    def __init__(self, most: int, *, patience_s: float) -> None:
        """Allow `most` at once, and let the next wait for `patience_s`."""
        self._most = most
        self._patience_s = patience_s
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.taken = 0

    async def take(self) -> "Slot":
        """Return a slot, to be released.

        Raises:
            Refused: 503, none came free.
        """
        slot = self.take_now()
        if slot is not None:
            return slot
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._patience_s):
                await turn
        except BaseException as fault:
            self._give_up(turn)
            if isinstance(fault, TimeoutError):
                raise busy() from None
            raise
        return Slot(self)

    def take_now(self) -> "Slot | None":
        """Return a slot if one is free; whoever waits has been promised the next."""
        if self.taken >= self._most:
            return None
        self.taken += 1
        return Slot(self)

    def give_back(self) -> None:
        """Let the next one begin: the slot goes from hand to hand."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1

    def _give_up(self, turn: "asyncio.Future[None]") -> None:
        """Wait no more; a slot that was given at that very moment goes on to the next."""
        if turn.done() and not turn.cancelled():
            self.give_back()
        turn.cancel()


class Slot:
    """One of the slots, taken; released once, however often it is said."""

    __slots__ = ("_slots",)

    def __init__(self, slots: Slots) -> None:
        """Hold one of `slots`."""
        self._slots: Slots | None = slots

    def release(self) -> None:
        """Give it back."""
        slots, self._slots = self._slots, None
        if slots is not None:
            slots.give_back()


def busy() -> Refused:
    """Return the answer where the upstream has as much to do as it may."""
    public = "The shop is very busy. Your place inside is kept: please try again in a moment."
    return Refused(503, "upstream-busy", public, retry_after_s=BUSY_RETRY_S)
