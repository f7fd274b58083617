"""Let what arrives together be done together: one transaction, one round trip, one wait for the disk.

The more arrives while a group is under way, the larger the next one is: a lone caller waits for nobody, a crowd shares.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Connection

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.tasks import Errands

Item = TypeVar("Item")
Result = TypeVar("Result")
Bulk = Callable[[Connection, Sequence[Item]], Sequence[Result | Exception]]
"""Many pieces of the same work, done together; an exception in the answer is for its own caller only."""

_CROWD = 2
"""From so many in a group on, the next group waits a moment to grow: fewer, larger groups cost less CPU.

Two are a crowd already: a group of one takes a third of a millisecond of CPU, and each one more a fifteenth of that.
"""


@dataclass(slots=True)
class Waiting:
    """One caller's share of a group."""

    work: Bulk[Any, Any]
    item: Any
    answer: asyncio.Future[Any]


Carry = Callable[[Sequence[Waiting]], Awaitable[Sequence[Any]]]
"""What does a group: an answer for each, in the same order."""


class Groups:
    """Callers, gathered into groups, one group after the other."""

    def __init__(self, carry: Carry, *, most: int, delay_ms: int, clock: Clock) -> None:
        """Hand groups of at most `most` to `carry`; a crowd waits `delay_ms` for the group to grow."""
        self._carry = carry
        self._most = most
        self._delay_s = delay_ms / 1000
        self._clock = clock
        self._waiting: list[Waiting] = []
        self._errands = Errands()
        self._is_busy = False
        self._last = 0

    async def join(self, work: Bulk[Item, Result], item: Item) -> Result:
        """Return the answer of `work` for `item`, worked on together with others that arrive now."""
        answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(work, item, answer))
        if not self._is_busy:
            self._begin()
        return await answer

    async def close(self, limit_s: float) -> None:
        """Finish what waits, within `limit_s`."""
        await self._errands.close(limit_s)

    def _begin(self) -> None:
        self._is_busy = True
        _ = self._errands.begin(self._work(), name="groups")

    async def _work(self) -> None:
        try:
            while self._waiting:
                if self._last >= _CROWD and self._delay_s:
                    await self._clock.sleep(self._delay_s)
                group = self._waiting[: self._most]
                del self._waiting[: len(group)]
                self._last = len(group)
                await self._settle(group)
        finally:
            self._is_busy = False
            if self._waiting:  # a bug ended this errand: the others must not wait for ever
                self._begin()

    async def _settle(self, group: Sequence[Waiting]) -> None:
        outcomes: Sequence[Any] = [StoreUnavailable("the group was not carried")] * len(group)
        try:
            outcomes = await self._carry(group)
        except StoreUnavailable as fault:
            outcomes = [fault] * len(group)
        finally:  # also when a bug breaks the group: nobody was promised anything
            for waiting, outcome in zip(group, outcomes, strict=True):
                if waiting.answer.done():  # the caller was cancelled meanwhile
                    continue
                if isinstance(outcome, Exception):
                    waiting.answer.set_exception(outcome)
                else:
                    waiting.answer.set_result(outcome)


def in_pieces(group: Sequence[Waiting], alone: Bulk[Any, Any] | None = None) -> list[list[int]]:
    """Return the places of `group` piece by piece: the same work together, but each of the work `alone` by itself.

    Pieces come in the order of their first arrival.
    """
    pieces: dict[object, list[int]] = {}
    for place, waiting in enumerate(group):
        pieces.setdefault(place if waiting.work is alone else waiting.work, []).append(place)
    return list(pieces.values())


def in_order(pieces: Sequence[Sequence[int]], answers: Sequence[Sequence[Any]]) -> list[Any]:
    """Return the `answers` to each of `pieces`, one for each of its places, in the order of the places."""
    found: dict[int, Any] = {}
    for places, outcomes in zip(pieces, answers, strict=True):
        found.update(zip(places, outcomes, strict=True))
    return [found[place] for place in range(len(found))]


def carried_out(connection: Connection, group: Sequence[Waiting]) -> list[Any]:
    """Return an answer for each of `group`: the same work is called once, in the order of its first arrival."""
    pieces = in_pieces(group)
    answers = [group[places[0]].work(connection, [group[place].item for place in places]) for places in pieces]
    return in_order(pieces, answers)
