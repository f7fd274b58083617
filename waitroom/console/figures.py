"""Work out what ops read: the flow of the last minutes, what holds the line back, and when it will be through."""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from waitroom.rules.health import Circuit, told
from waitroom.rules.rooms import Phase, Snapshot
from waitroom.rules.stock import told as stock_told

SPAN_MS = 600_000
"""How much of the past the charts show."""
MINUTE_MS = 60_000
_NEARLY = 0.9
"""From this share of the rate on, the rate counts as reached."""
Document = dict[str, object]
"""What is sent as JSON."""


class Limit(StrEnum):
    """What decides, right now, how fast people come in."""

    RATE = "rate"
    CAP = "cap"
    HEALTH = "health"
    STOCK = "stock"
    NOBODY = "nobody"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True)
class Sample:
    """One room at one second; `rate_per_minute` is the one in force then."""

    at_ms: int
    generation: str
    waiting: int
    sessions: int
    admitted: int
    rate_per_minute: float
    total_active_users: int


class History:
    """The last ten minutes of one room, a sample a second."""

    def __init__(self) -> None:
        """Begin with nothing seen."""
        self._samples: deque[Sample] = deque()

    def note(self, snapshot: Snapshot) -> None:
        """Add a sample, and forget those out of the span; a step back in time begins anew."""
        sample = Sample(
            snapshot.now_ms,
            snapshot.generation,
            waiting(snapshot),
            snapshot.sessions,
            snapshot.admitted,
            snapshot.effective_rate_per_minute,
            snapshot.total_active_users,
        )
        if self._samples and sample.at_ms <= self._samples[-1].at_ms:
            self._samples.clear()
        self._samples.append(sample)
        while self._samples[0].at_ms < sample.at_ms - SPAN_MS:
            self._samples.popleft()

    def admitted_last_minute(self) -> int:
        """Return how many were admitted in the last minute, or since this process looked, where that is shorter."""
        if not self._samples:
            return 0
        since_ms = self._samples[-1].at_ms - MINUTE_MS
        recent = [sample for sample in self._samples if sample.at_ms >= since_ms]
        return sum(_admitted(earlier, later) for earlier, later in pairwise(recent))

    def seen_ms(self) -> int:
        """Return how far back the samples reach."""
        return self._samples[-1].at_ms - self._samples[0].at_ms if self._samples else 0

    def series(self) -> Document:
        """Return the curves, oldest first, all of one length."""
        samples = list(self._samples)
        per_s = [
            round(_admitted(earlier, later) * 1000 / (later.at_ms - earlier.at_ms), 2)
            for earlier, later in pairwise(samples)
        ]
        return {
            "at_ms": [sample.at_ms for sample in samples],
            "waiting": [sample.waiting for sample in samples],
            "sessions": [sample.sessions for sample in samples],
            "admitted_per_s": ([0.0] if samples else []) + per_s,
            "rate_per_minute": [sample.rate_per_minute for sample in samples],
            "total_active_users": [sample.total_active_users for sample in samples],
        }


def waiting(snapshot: Snapshot) -> int:
    """Return how many wait in all lanes together."""
    return snapshot.waiting


def limit_of(snapshot: Snapshot, admitted_last_minute: int) -> Limit:
    """Return what holds the line back; open calls fill the cap only while people come slower than the rate."""
    if snapshot.phase not in {Phase.OPEN, Phase.IDLE}:
        return Limit.CLOSED
    if not waiting(snapshot):
        return Limit.NOBODY
    if snapshot.health.circuit is Circuit.OPEN:
        return Limit.HEALTH
    if snapshot.stock is not None and snapshot.stock.may_buy == 0:
        return Limit.STOCK
    is_slow = admitted_last_minute < snapshot.effective_rate_per_minute * _NEARLY
    is_full = snapshot.sessions + snapshot.outstanding >= snapshot.total_active_users
    if snapshot.sessions >= snapshot.total_active_users or (is_full and is_slow):
        return Limit.CAP
    return Limit.HEALTH if snapshot.effective_rate_per_minute < snapshot.rate_per_minute else Limit.RATE


def through_s(people: int, per_minute: float) -> int | None:
    """Return in how many seconds `people` are through at that pace; None where nothing moves."""
    return round(people * 60 / per_minute) if per_minute > 0 else None


def room_document(snapshot: Snapshot, history: History) -> Document:
    """Return one room with its figures, as the API and the page have it."""
    people, last_minute = waiting(snapshot), history.admitted_last_minute()
    limit, rate = limit_of(snapshot, last_minute), snapshot.effective_rate_per_minute
    is_shut = snapshot.health.circuit is Circuit.OPEN or limit is Limit.STOCK
    return {
        "room": snapshot.room,
        "event": snapshot.event,
        "generation": snapshot.generation,
        "phase": snapshot.phase.value,
        "now_ms": snapshot.now_ms,
        "prequeue_ms": snapshot.prequeue_ms,
        "starts_ms": snapshot.starts_ms,
        "ends_ms": snapshot.ends_ms,
        "rate_per_minute": snapshot.rate_per_minute,
        "effective_rate_per_minute": snapshot.effective_rate_per_minute,
        "health": told(snapshot.health),
        "stock": stock_told(snapshot.stock),
        "total_active_users": snapshot.total_active_users,
        "waiting": people,
        "outstanding": snapshot.outstanding,
        "sessions": snapshot.sessions,
        "admitted": snapshot.admitted,
        "lapsed": snapshot.lapsed,
        "show_up_ratio": snapshot.show_up_ratio,
        "message": snapshot.message,
        "revision": snapshot.revision,
        "spin": snapshot.spin if snapshot.is_spun else None,
        "awaits_spin": snapshot.is_drawn and not snapshot.is_spun,
        "is_closed": snapshot.is_closed,
        "open_until_ms": snapshot.open_until_ms if snapshot.is_open_to_all(snapshot.now_ms) else None,
        "lanes": {
            name: {"serving": lane.serving, "called": lane.called, "waiting": lane.waiting}
            for name, lane in snapshot.lanes.items()
        },
        "figures": {
            "admitted_last_minute": last_minute,
            "seen_ms": history.seen_ms(),
            "limit": limit.value,
            "through_at_rate_s": through_s(people, 0 if is_shut else rate),
            "through_at_pace_s": through_s(people, last_minute) if history.seen_ms() >= MINUTE_MS * _NEARLY else None,
        },
    }


def _admitted(earlier: Sample, later: Sample) -> int:
    """Return who came in between two samples; 0 where the count began anew: Redis lost it, or the next event."""
    is_same = earlier.generation == later.generation and later.admitted >= earlier.admitted
    return later.admitted - earlier.admitted if is_same else 0
