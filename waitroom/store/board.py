"""What this process knows of its rooms since their last tick: all that the hot paths look at."""

from collections import deque

from waitroom.kernel.clock import Clock
from waitroom.rules.rooms import Phase, Snapshot

_HISTORY_MS = 60_000
_ENOUGH_MS = 20_000
"""Less than this of an open room says how long browsers take to come, not how fast people get in."""


class Board:
    """The last snapshot of each room, and what was admitted in the last minute."""

    def __init__(self, clock: Clock) -> None:
        """Begin with an empty board."""
        self._clock = clock
        self._last: dict[str, tuple[Snapshot, float]] = {}
        self._history: dict[str, deque[tuple[int, int]]] = {}

    def put(self, snapshot: Snapshot) -> None:
        """Hang up the snapshot of a tick."""
        before = self.get(snapshot.room)
        self._last[snapshot.room] = (snapshot, self._clock.tick_s())
        history = self._history.setdefault(snapshot.room, deque())
        is_broken = before is not None and not _counts_on(before, snapshot)
        if is_broken or snapshot.phase is not Phase.OPEN:
            history.clear()
        if snapshot.phase is Phase.OPEN:
            history.append((snapshot.now_ms, snapshot.admitted))
        while history and history[0][0] < snapshot.now_ms - _HISTORY_MS:
            history.popleft()

    def get(self, room: str) -> Snapshot | None:
        """Return the last snapshot of `room`, however old; None before the first tick."""
        held = self._last.get(room)
        return held[0] if held else None

    def age_s(self, room: str) -> float:
        """Return how long ago the last tick of `room` was, in seconds; infinity before the first."""
        held = self._last.get(room)
        return self._clock.tick_s() - held[1] if held else float("inf")

    def admitted_per_minute(self, room: str) -> float | None:
        """Return how many came in over the last minute; None while the room has not been open for long enough."""
        history = self._history.get(room)
        if not history or history[-1][0] - history[0][0] < _ENOUGH_MS:
            return None
        span_ms = history[-1][0] - history[0][0]
        return (history[-1][1] - history[0][1]) * 60_000 / span_ms


def _counts_on(before: Snapshot, after: Snapshot) -> bool:
    """Whether `after` counts on from `before`: no other event begins its own count, and Redis has not lost it."""
    lives = [(seen.event, seen.generation) for seen in (before, after)]
    return lives[0] == lives[1] and before.admitted <= after.admitted
