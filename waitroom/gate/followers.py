"""Who follows the pulse of a room: each is told when it changes, a few in each turn of the event loop.

Nothing is kept for anybody. Who has not taken the last pulse yet misses those between, and is told the newest then.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol, assert_never

from waitroom.gate.counters import STREAMS
from waitroom.gate.pulses import Pulses, Told
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused
from waitroom.kernel.tasks import give_way
from waitroom.rules.pulse import Difference, difference

STEP_S = 0.1
"""How often it is looked whether a tick has brought something new."""
BEAT_S = 15.0
"""At the latest then everybody hears something, so that no proxy between takes the connection for dead."""
_TOLD_PER_S = 40_000
"""How many a worker tells a second while the line only moves: of more followers each is told less often."""
_AT_ONCE = 64
"""How many are told before requests get their turn: about half a millisecond of work."""
_FULL_RETRY_S = 30


class Follower(Protocol):
    """Somebody who follows."""

    def tell(self, news: Told) -> None:
        """Pass the newest pulse on, or note that there is one."""
        ...

    def beat(self) -> None:
        """Show that we are still here: there is nothing new."""
        ...

    def farewell(self) -> None:
        """Say when to come back, and end: this worker leaves."""
        ...


@dataclass(slots=True)
class _Crowd:
    """Those who follow one room, and what they were told last."""

    last: Told
    told_s: float
    everybody: dict[Follower, None] = field(default_factory=dict)


class Followers:
    """All who follow a room on this worker."""

    def __init__(self, pulses: Pulses, most: int, clock: Clock) -> None:
        """Tell them what `pulses` say, `most` followers and no more."""
        self.pulses = pulses
        self._most = most
        self._clock = clock
        self._crowds: dict[str, _Crowd] = {}
        self.is_leaving = False

    def __len__(self) -> int:
        """Return how many there are."""
        return sum(len(crowd.everybody) for crowd in self._crowds.values())

    def follow(self, room: str, follower: Follower) -> Told:
        """Tell `follower` from now on what happens in `room`; return the pulse as it is.

        Raises:
            Refused: 404, there is no such room; 503, there are as many as may be.
            StoreUnavailable: nothing is known yet.
        """
        told = self.pulses.told(room)
        if len(self) >= self._most:
            raise _too_many(room)
        crowd = self._crowds.get(room)
        if crowd is None or not crowd.everybody:
            crowd = self._crowds[room] = _Crowd(told, self._clock.tick_s())
        crowd.everybody[follower] = None
        if self.is_leaving:
            follower.farewell()
        return told

    def leave(self, room: str, follower: Follower) -> None:
        """Tell `follower` nothing more; leaving twice is leaving once."""
        crowd = self._crowds.get(room)
        if crowd is not None:
            crowd.everybody.pop(follower, None)

    async def step(self) -> None:
        """Tell everybody what is new, where it is time to."""
        for room, crowd in list(self._crowds.items()):
            if crowd.everybody:
                await self._step(room, crowd)

    async def close(self) -> None:
        """Say goodbye to everybody who is there."""
        self.is_leaving = True
        for crowd in self._crowds.values():
            async for follower in _in_turn(crowd):
                follower.farewell()

    def pour(self) -> None:
        """Say in the metrics how many there are."""
        for room, crowd in self._crowds.items():
            STREAMS.labels(room).set(len(crowd.everybody))

    async def _step(self, room: str, crowd: _Crowd) -> None:
        now_s, news = self._clock.tick_s(), self.pulses.told(room)
        found = difference(crowd.last.members, news.members)
        if now_s - crowd.told_s < _rest_s(found, len(crowd.everybody)):
            return
        crowd.last, crowd.told_s = news, now_s
        async for follower in _in_turn(crowd):
            if found is Difference.NONE:
                follower.beat()
            else:
                follower.tell(news)


async def _in_turn(crowd: _Crowd) -> AsyncIterator[Follower]:
    """Give all who are there now and have not left meanwhile, a few in each turn of the event loop."""
    for number, follower in enumerate(list(crowd.everybody)):
        if number % _AT_ONCE == 0:
            await give_way()
        if follower in crowd.everybody:
            yield follower


def _rest_s(found: Difference, count: int) -> float:
    """Return how long ago `count` followers must have been told before they are told again."""
    match found:
        case Difference.NONE | Difference.CLOCK:
            return BEAT_S
        case Difference.LINE:
            return count / _TOLD_PER_S
        case Difference.ROOM:
            return 0
        case _:
            assert_never(found)


def _too_many(room: str) -> Refused:
    told = "As many follow this room live as can be told. Ask for the pulse instead; it says the same."
    instead = {"pulse": f"/.waitroom/{room}/pulse"}
    return Refused(503, "too-many-streams", told, retry_after_s=_FULL_RETRY_S, extra=instead)
