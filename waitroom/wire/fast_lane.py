"""Carry plain requests of admitted visitors without building request objects: the proxy's own rules, fewer steps.

What becomes of a header, what an answer's head looks like, what goes along about a pass: all of that is asked of the
parts that `proxy/` and `gate/` use themselves. Answers that are not plain are read by llhttp (`httptools`), as strictly
as by aiohttp's own.

Why that is safe:

- Only what `rules/heads.py` calls plain comes here: GET and HEAD without a body. So a request may be sent once more
  where a connection that had rested was closed under it.
- Nothing is begun where `proxy/` would wait or refuse: no free slot, a circuit that is not closed.
- As long as nothing of an answer has gone out, a failure is worded by the doors behind, who are told of it
  (`seated.foregone`). After that it can only be shown by breaking off.
"""

from collections.abc import Mapping, Sequence
from functools import partial

from waitroom.gate.inside import Inside
from waitroom.gate.prompt import Onward
from waitroom.kernel.clock import Clock
from waitroom.kernel.tasks import Errands
from waitroom.proxy.inlet import PIECE_BYTES
from waitroom.proxy.upstream import Upstream
from waitroom.rules.heads import Head
from waitroom.rules.visitors import Network
from waitroom.rules.watch import Watch
from waitroom.wire.carriage import Carriage, Journey, Track
from waitroom.wire.front_door import FrontDoor
from waitroom.wire.lane_connection import LaneConnection
from waitroom.wire.onward_heads import OnwardHeads


class FastLane:
    """Everything that is carried without aiohttp, by one worker."""

    def __init__(
        self,
        upstreams: Mapping[str, Upstream],
        watches: Mapping[str, Watch],
        inside: Inside,
        *,
        trusted: Sequence[Network],
        scheme: str,
        clock: Clock,
    ) -> None:
        """Carry to `upstreams`, some of which a room `watches`; `trusted` proxies are before us."""
        self._errands = errands = Errands()
        make = partial(LaneConnection, bytearray(PIECE_BYTES))
        self._tracks = {name: Track(one, one.pool(make), inside, errands, clock) for name, one in upstreams.items()}
        self._watches = watches
        self._inside = inside
        self._clock = clock
        self._heads = OnwardHeads(trusted, scheme)

    def carry(self, door: FrontDoor, head: Head, onward: Onward) -> Carriage | None:
        """Begin to carry a plain request; None where somebody else has to decide, or to wait."""
        track, seen = self._tracks[onward.upstream], None
        slot = track.upstream.slots.take_now()
        if slot is None:
            return None
        watch = self._watches.get(onward.upstream)
        if watch is not None:
            number = watch.begin(self._clock.tick_s(), is_plain=True)
            if number is None:
                slot.release()
                return None
            seen = partial(watch.end, number)
        shown = None if onward.pass_ is None else self._inside.shown(onward.pass_)
        request = self._heads.head(head, door.address, shown)
        carriage = Carriage(track, door, Journey(head, onward, request), slot, seen)
        carriage.start()
        return carriage

    async def close(self) -> None:
        """Close every connection that rests; nothing is under way any more."""
        await self._errands.close(0)
        for track in self._tracks.values():
            track.pool.close()
