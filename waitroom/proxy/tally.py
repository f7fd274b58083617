"""Count what one upstream answers in plain numbers, and pour them out once a second.

A metric that several processes share is a write into a mapped file: five of them for each answer would cost as much as
carrying it.
"""

from bisect import bisect_left
from collections import Counter

from waitroom.proxy.counters import ANSWERS, IN_FLIGHT, UPSTREAM_SECONDS, status_class
from waitroom.proxy.slots import Slots

POUR_S = 1.0


class Tally:
    """What one upstream has answered since the last pouring."""

    def __init__(self, name: str, *slots: Slots) -> None:
        """Count for the upstream `name`; what is in flight takes one of `slots`."""
        self._name = name
        self._slots = slots
        self._in_flight = IN_FLIGHT.labels(name)
        self._seconds = UPSTREAM_SECONDS.labels(name)
        self._bounds = self._seconds._upper_bounds  # the histogram takes one observation at a time, we have many
        self._classes: Counter[str] = Counter()
        self._buckets: Counter[int] = Counter()
        self._sum_s = 0.0

    def answered(self, status: int, seconds: float) -> None:
        """Count an answer whose head took so many seconds; status 0 is none at all, and has no time."""
        self._classes[status_class(status)] += 1
        if status:
            self._buckets[bisect_left(self._bounds, seconds)] += 1
            self._sum_s += seconds

    def pour(self) -> None:
        """Add what was counted to the metrics."""
        self._in_flight.set(sum(slots.taken for slots in self._slots))
        for name, count in self._classes.items():
            ANSWERS.labels(self._name, name).inc(count)
        for place, count in self._buckets.items():
            self._seconds._buckets[place].inc(count)
        self._seconds._sum.inc(self._sum_s)
        self._classes.clear()
        self._buckets.clear()
        self._sum_s = 0.0
