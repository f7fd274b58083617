"""What a room is at one instant, as every worker sees it after a tick."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from math import inf

from waitroom.rules.beacons import NO_BEACON, Beacon, SpinSource
from waitroom.rules.health import WELL, Health, HealthRules
from waitroom.rules.lanes import MAIN, USUAL_TERMS, LaneTerms
from waitroom.rules.proofs import Roster
from waitroom.rules.stock import USUAL_STOCK, Stock, StockRules

ALWAYS = "always"
"""The event of a room that has no schedule, or none that has begun."""


_LONGEST_CHALLENGE_MS = 24 * 3600 * 1000


class Phase(StrEnum):
    """Where a room stands; the words are those of the pulse."""

    IDLE = "idle"
    PREQUEUE = "prequeue"
    OPEN = "open"
    PAUSED = "paused"
    SOLD_OUT = "sold_out"
    ENDED = "ended"


class Queueing(StrEnum):
    """In which order a room serves those who wait (Cloudflare's `queueing_method`, with `hybrid` added)."""

    FIFO = "fifo"
    RANDOM = "random"
    HYBRID = "hybrid"
    PASSTHROUGH = "passthrough"
    REJECT = "reject"


class ChangeKind(StrEnum):
    """What ops may change while the sale runs."""

    RATE = "rate"
    CAP = "cap"
    PAUSE = "pause"
    RESUME = "resume"
    END = "end"
    MESSAGE = "message"
    SOLD_OUT = "sold-out"
    CLOSE = "close"
    OPEN_ALL = "open-all"
    REVOKE_ALL = "revoke-all"
    REVOKE = "revoke"
    SPIN = "spin"
    INVITE = "invite"


@dataclass(frozen=True, slots=True)
class Change:
    """One change by ops; `value` is a rate per minute, a cap, a message, ms to be open to all, a spin or a session."""

    kind: ChangeKind
    value: str = ""
    is_forced: bool = False


@dataclass(frozen=True, slots=True)
class Schedule:
    """The event that counts now: its name and its times, in ms since 1970 (None: not set)."""

    event: str
    prequeue_ms: int | None = None
    starts_ms: int | None = None
    ends_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Polling:
    """How often a waiting browser asks: expected wait / divisor, between floor and ceiling."""

    floor_ms: int = 1_000
    ceiling_ms: int = 20_000
    divisor: int = 10


@dataclass(frozen=True, slots=True)
class RoomRules:
    """What the configuration says of one room, as far as its queue is concerned; limits may be changed by ops."""

    name: str
    queueing: Queueing = Queueing.FIFO
    fifo_head: int = 0
    total_active_users: int = 500
    new_users_per_minute: float = 600.0
    rate_ceiling_per_minute: float = inf
    max_waiting: int = 0
    session_duration_ms: int = 300_000
    renews_sessions: bool = True
    claim_window_ms: int = 120_000
    ticket_lifetime_ms: int = 86_400_000
    slow_dwell_ms: int = 60_000
    polling: Polling = Polling()
    lanes: LaneTerms = USUAL_TERMS
    events: tuple[Schedule, ...] = ()
    health: HealthRules | None = None
    beacon: Beacon = NO_BEACON
    stock: StockRules = USUAL_STOCK

    @property
    def settle_ms(self) -> int:
        """How long a called visitor is counted on to come: the longest pause between two polls, and a little."""
        return min(self.polling.ceiling_ms + 5_000, self.claim_window_ms)

    @property
    def forget_ms(self) -> int:
        """How long a ticket whose call lapsed is remembered: until neither it nor its challenge can be shown."""
        return max(self.ticket_lifetime_ms, _LONGEST_CHALLENGE_MS)

    @property
    def draws(self) -> bool:
        """Whether who comes before an opening takes part in a draw."""
        return self.queueing in {Queueing.RANDOM, Queueing.HYBRID}

    @property
    def regather_ms(self) -> int:
        """How long those who wait need to hear of a loss and to present their tickets again."""
        return self.polling.ceiling_ms * 6 // 5 + 5_000


@dataclass(frozen=True, slots=True)
class LaneState:
    """One lane: the threshold in the order of service, how many were called so far, how many wait."""

    serving: float | None
    called: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One room after one tick. Times in ms since 1970 on Redis's clock.

    `outstanding` were called and have not come yet; `admitted` and `lapsed` count from the beginning of the event.
    `spin` is 0 until `spin_source` is known; the `roster` follows a little after the opening.
    `rate_per_minute` is what the configuration or ops allow; `health` may hold admission below that.
    `show_up_ratio` is the share of those called in lane main who come in, as measured: so many more are called. Each
    other lane has its own. `stock` is what the store behind says it has, where it says so.
    """

    room: str
    event: str
    generation: str
    phase: Phase
    now_ms: int
    prequeue_ms: int | None
    starts_ms: int | None
    ends_ms: int | None
    lanes: Mapping[str, LaneState]
    rate_per_minute: float
    total_active_users: int
    sessions: int
    outstanding: int
    admitted: int
    lapsed: int
    message: str
    revision: int
    commitment: str
    spin: float
    health: Health = WELL
    spin_source: SpinSource | None = None
    roster: Roster | None = None
    is_closed: bool = False
    open_until_ms: int = 0
    revoked_before_ms: int = 0
    show_up_ratio: float = 1.0
    stock: Stock | None = None

    def is_open_to_all(self, now_ms: int) -> bool:
        """Whether ops let everybody through at `now_ms`, whatever the limits say."""
        return now_ms < self.open_until_ms

    @property
    def effective_rate_per_minute(self) -> float:
        """How many a minute come in at most, as the upstream is now."""
        return min(self.rate_per_minute, self.health.limit_per_minute)

    @property
    def waiting(self) -> int:
        """How many wait in all lanes together."""
        return sum(lane.waiting for lane in self.lanes.values())

    @property
    def main(self) -> LaneState:
        """The lane that every room has."""
        return self.lanes[MAIN]

    @property
    def is_drawn(self) -> bool:
        """Whether the opening is past, so that the seed may be known."""
        return self.starts_ms is not None and self.now_ms >= self.starts_ms

    @property
    def is_spun(self) -> bool:
        """Whether the order of the draw is fixed: its spin has come, or it goes on without one."""
        return self.spin_source is not None


def schedule_at(events: Iterable[Schedule], now_ms: int) -> Schedule:
    """Return the event that counts at `now_ms`: the last one that has begun to gather people, else none.

    An event that ended still counts until the next one begins, so that its page can say that it is over.
    """
    begun = [event for event in events if event.prequeue_ms is not None and event.prequeue_ms <= now_ms]
    return max(begun, key=lambda event: event.prequeue_ms or 0, default=Schedule(ALWAYS))


def spell_of(events: Iterable[Schedule], now_ms: int) -> tuple[float, float]:
    """Return from when until when (exclusive) the same event counts as at `now_ms`."""
    begins = [event.prequeue_ms for event in events if event.prequeue_ms is not None]
    return (
        max((at_ms for at_ms in begins if at_ms <= now_ms), default=-inf),
        min((at_ms for at_ms in begins if at_ms > now_ms), default=inf),
    )
