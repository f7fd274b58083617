"""How the upstream of a room does, and what that means for who may come in."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from math import inf

FAILURES = (500, 502, 503, 504)
"""Statuses by which a store says that it cannot, rather than that the visitor may not."""
NO_ANSWER = frozenset({502, 504})
"""Our own words for no connection and no answer in time: always failures."""


class Circuit(StrEnum):
    """Whether requests go to the upstream; the words are those of the pulse and of the scripts."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Probe(StrEnum):
    """What came of the one request that may be sent while the circuit is open."""

    PASSED = "passed"
    FAILED = "failed"
    UNUSED = "unused"


@dataclass(frozen=True, slots=True)
class HealthRules:
    """What the configuration says of the health of one room's upstream.

    Admission slows when more than `distress_ratio` of the requests are over `target_ttfb_ms` or failed: with 0.05,
    when the 95th percentile is over the target.
    """

    target_ttfb_ms: int
    failure_status_codes: Collection[int] = FAILURES
    rate_floor_per_minute: float = 6.0
    window_ms: int = 10_000
    min_requests: int = 20
    distress_ratio: float = 0.05
    circuit_failure_ratio: float = 0.5
    recovery_ms: int = 300_000
    probe_interval_ms: int = 5_000
    health_path: str = ""


@dataclass(frozen=True, slots=True)
class Health:
    """What all workers together found, as it stands in Redis: 1 is the full rate, 0 the floor.

    `limit_per_minute` is what that leaves of the rate; `since_ms` is when the circuit changed, 0 if it never did.
    """

    ratio: float = 1.0
    circuit: Circuit = Circuit.CLOSED
    since_ms: int = 0
    limit_per_minute: float = inf

    @property
    def is_well(self) -> bool:
        """Whether there is nothing to tell."""
        return self.ratio >= 1 and self.circuit is Circuit.CLOSED


WELL = Health()
"""What is known where nobody has found otherwise."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one worker saw of an upstream since its last report; `slow` ones have not failed."""

    requests: int = 0
    slow: int = 0
    failed: int = 0


def told(health: Health) -> dict[str, object] | None:
    """Return what the public may know of it; None while all is well."""
    return None if health.is_well else {"ratio": round(health.ratio, 3), "circuit": health.circuit.value}
