"""Read what the workers have counted, as figures a person can follow: how many serve, how busy, how healthy."""

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from waitroom.kernel.clock import Clock

WINDOW_S = 10.0
"""Rates are means over this: long enough to read, short enough to see a change."""
_WORKERS = "waitroom_worker_started_timestamp_seconds"
_SECONDS = "waitroom_upstream_seconds_bucket"
_ANSWERS = "waitroom_upstream_answers_total"
_DEAD_LETTERS = "waitroom_till_dead_letters"
"""What a till counts that was started beside us: confirmations it has given up."""
_TOTALS = {
    "requests_per_s": "waitroom_requests_total",
    "joins_per_s": "waitroom_joins_total",
    "claims_per_s": "waitroom_claims_total",
    "challenges_refused_per_s": "waitroom_challenges_refused_total",
    "redis_failures_per_s": "waitroom_redis_failures_total",
    "upstream_answers_per_s": _ANSWERS,
}


@dataclass(frozen=True, slots=True)
class Counts:
    """What all workers together had counted at one instant."""

    at_s: float
    workers: int
    totals: Mapping[str, float]
    upstream_failures: float
    seconds: Mapping[float, float]
    """Answers by the upper bound of their bucket in seconds, cumulative."""


class Workers:
    """The workers, by their own counts."""

    def __init__(self, registry: Callable[[], CollectorRegistry], clock: Clock) -> None:
        """Read from a fresh `registry` each time: workers come and go."""
        self._registry = registry
        self._clock = clock
        self._seen: deque[Counts] = deque()
        self._most = 0

    def look(self) -> None:
        """Read the counts once; call it at a steady beat."""
        counts = read(self._registry(), self._clock.tick_s())
        self._seen.append(counts)
        self._most = max(self._most, counts.workers)
        while len(self._seen) > 2 and self._seen[1].at_s <= counts.at_s - WINDOW_S:
            self._seen.popleft()

    def figures(self) -> dict[str, float | int | None]:
        """Return rates over the last seconds; None where nothing was counted yet, such as workers of other machines."""
        if not self._seen:
            return {"workers": None}
        first, last = self._seen[0], self._seen[-1]
        workers = last.workers if self._most else None
        span_s = last.at_s - first.at_s
        if span_s <= 0:
            return {"workers": workers}
        rates = {
            figure: _per_s(first.totals.get(name, 0), last.totals.get(name, 0), span_s)
            for figure, name in _TOTALS.items()
        }
        dead_letters = int(last.totals.get(_DEAD_LETTERS, 0))
        return {
            "workers": workers,
            **({"dead_letters": dead_letters} if dead_letters else {}),
            **rates,
            "upstream_failures_per_s": _per_s(first.upstream_failures, last.upstream_failures, span_s),
            "upstream_p95_ms": _quantile_ms(first.seconds, last.seconds, 0.95),
        }


def read(registry: CollectorRegistry, at_s: float) -> Counts:
    """Return the sums over all workers and labels."""
    totals: defaultdict[str, float] = defaultdict(float)
    seconds: defaultdict[float, float] = defaultdict(float)
    workers, failures = 0, 0.0
    for name, labels, value in _samples(registry):
        totals[name] += value
        if name == _WORKERS and value > 0:
            workers += 1
        elif name == _SECONDS:
            seconds[float(labels["le"])] += value
        elif name == _ANSWERS and labels["status_class"] in {"5xx", "error"}:
            failures += value
    return Counts(at_s, workers, totals, failures, seconds)


def _samples(registry: CollectorRegistry) -> Iterable[tuple[str, Mapping[str, str], float]]:
    for family in registry.collect():
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def _per_s(first: float, last: float, span_s: float) -> float:
    return round(max(0.0, last - first) / span_s, 2)


def _quantile_ms(first: Mapping[float, float], last: Mapping[float, float], share_ratio: float) -> float | None:
    """Return the time within which that share was answered, drawn straight inside its bucket; None for no answers."""
    counted = [(bound, last[bound] - first.get(bound, 0.0)) for bound in sorted(last)]
    if not counted or counted[-1][1] <= 0:
        return None
    aim = counted[-1][1] * share_ratio
    low_s, below = 0.0, 0.0
    for bound_s, upto in counted:
        if upto >= aim:
            high_s = bound_s if bound_s != float("inf") else low_s
            within = (aim - below) / (upto - below) if upto > below else 1.0
            return round((low_s + (high_s - low_s) * within) * 1000, 1)
        low_s, below = bound_s, upto
    return None
