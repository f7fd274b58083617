"""The wheel of each draw as this worker has built it: what inclusion proofs are made from."""

import asyncio

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused
from waitroom.kernel.tasks import Errands
from waitroom.rules.proofs import Roster, Wheel
from waitroom.rules.rooms import Snapshot
from waitroom.store.draws import Draws

_AGAIN_S = 30.0
"""How long a worker that could not build a wheel waits before it reads everything again."""


class Wheels:
    """One wheel a room, of its present event: built when it is first asked for, kept until another event opens."""

    def __init__(self, draws: Draws, errands: Errands, clock: Clock) -> None:
        """Read from `draws`."""
        self._draws = draws
        self._errands = errands
        self._clock = clock
        self._built: dict[str, tuple[str, Wheel]] = {}
        self._building: dict[str, asyncio.Task[Wheel]] = {}
        self._failed_s: dict[str, float] = {}

    def held(self, room: str, event: str) -> Wheel | None:
        """Return the wheel of an event, where this worker has built it."""
        built = self._built.get(room)
        return built[1] if built and built[0] == event else None

    def keep(self, room: str, event: str, wheel: Wheel) -> None:
        """Keep the wheel that this worker has built to work out the roster."""
        self._built[room] = event, wheel

    async def at_the_opening(self, room: str, event: str, seed: bytes) -> Wheel:
        """Return the wheel of who was in the draw at the opening, as Redis has it; in a thread, for it takes long."""
        tickets = await self._draws.tickets(room, event, seed)
        return await asyncio.to_thread(Wheel, tickets)

    async def of(self, snapshot: Snapshot, seed: bytes) -> Wheel:
        """Return the wheel that has the published root; many who ask at once wait for one reading.

        Raises:
            Refused: 503, there is no root yet, or nothing that Redis holds any more leads to it.
            StoreUnavailable: Redis does not answer.
        """
        room, event, roster = snapshot.room, snapshot.event, snapshot.roster
        if roster is None:
            raise Refused(503, "no-roster", "The roster of this draw is not published yet.", retry_after_s=2)
        wheel = self.held(room, event)
        if wheel is not None and wheel.roster == roster:
            return wheel
        if self._clock.tick_s() - self._failed_s.get(room, -_AGAIN_S) < _AGAIN_S:
            raise _lost()
        task = self._building.get(room)
        if task is None or task.done():
            task = self._errands.begin(self._build(room, event, roster, seed), name="wheel")
            self._building[room] = task
        return await asyncio.shield(task)

    async def _build(self, room: str, event: str, roster: Roster, seed: bytes) -> Wheel:
        wheel = await self.at_the_opening(room, event, seed)
        if wheel.roster != roster:  # Redis was lost, and who has come back since counts as late
            wheel = await asyncio.to_thread(Wheel, await self._draws.everybody(room, event, seed))
        if wheel.roster != roster:
            self._failed_s[room] = self._clock.tick_s()
            raise _lost()
        self.keep(room, event, wheel)
        return wheel


def _lost() -> Refused:
    told = "This worker cannot prove single tickets: not everybody who was in the draw has come back since a loss."
    return Refused(503, "roster-incomplete", told, retry_after_s=30)
