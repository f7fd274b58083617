"""How long somebody will wait, honestly, and when they should ask again."""

from dataclasses import dataclass
from math import ceil

from waitroom.rules.rooms import Phase, Polling, Snapshot

_SLOWEST_RATIO = 0.02
"""A measured rate below this share of the promised one says that nothing moves, not how long it takes."""
_DOUBT = 1.5
"""How far the cautious end of the range lies beyond the likely wait: half as long again."""


@dataclass(frozen=True, slots=True)
class WaitRange:
    """An expected wait in whole seconds: no faster than `low`, probably `likely`, seldom more than `high`."""

    low_s: int
    likely_s: int
    high_s: int


def wait_range(
    snapshot: Snapshot, ahead: int, *, session_ms: int, measured_per_minute: float | None, not_before_ms: int = 0
) -> WaitRange:
    """Return how long somebody with `ahead` people before them, in all lanes, will wait: to `not_before_ms` at least.

    The low end is the promised rate with nobody slow before them; the likely one what was measured over the last
    minute, what a full room lets through as sessions end, or what the upstream bears at the moment.
    """
    opening_s = 0.0
    if snapshot.starts_ms is not None and snapshot.phase is Phase.PREQUEUE:
        opening_s = max(0, snapshot.starts_ms - snapshot.now_ms) / 1000
    rate = snapshot.rate_per_minute
    low_s = opening_s + ahead * 60 / rate
    likely_rate = min(snapshot.effective_rate_per_minute, _turnover_per_minute(snapshot, ahead, session_ms))
    if measured_per_minute is not None and snapshot.phase is Phase.OPEN:
        likely_rate = min(likely_rate, max(measured_per_minute, rate * _SLOWEST_RATIO))
    likely_s = max(low_s, opening_s + ahead * 60 / likely_rate)
    high_s = opening_s + (likely_s - opening_s) * _DOUBT
    least_s = (not_before_ms - snapshot.now_ms) / 1000
    return WaitRange(*(ceil(max(wait_s, least_s)) for wait_s in (low_s, likely_s, high_s)))


def next_poll_ms(wait_s: float, polling: Polling) -> int:
    """Return when a browser should ask again: often near its turn, seldom far from it. It adds jitter of its own."""
    return round(min(max(wait_s * 1000 / polling.divisor, polling.floor_ms), polling.ceiling_ms))


def _turnover_per_minute(snapshot: Snapshot, ahead: int, session_ms: int) -> float:
    """Return what the cap lets through: no bound while those before fit in, else one session ends, one begins."""
    free = snapshot.total_active_users - snapshot.sessions - snapshot.outstanding
    if ahead < free:
        return snapshot.rate_per_minute
    return max(snapshot.total_active_users, 1) * 60_000 / session_ms
