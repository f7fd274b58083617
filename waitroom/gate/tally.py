"""Count what a crowd does in plain numbers, and pour them into the metrics once a second.

A metric that several processes share is a write into a mapped file.
"""

from collections import Counter as Counts

from prometheus_client import Counter


class Tally:
    """What this worker has counted since the last pouring."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._counts: Counts[tuple[Counter, tuple[str, ...]]] = Counts()

    def count(self, counter: Counter, *labels: str) -> None:
        """Count one more."""
        self._counts[counter, labels] += 1

    def pour(self) -> None:
        """Add what was counted to the metrics."""
        counts, self._counts = self._counts, Counts()
        for (counter, labels), times in counts.items():
            counter.labels(*labels).inc(times)
