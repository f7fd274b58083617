"""The moves of a room in plain Python: the oracle that the scripts are compared with.

It keeps who is in line, who was called and who came, and counts anew whatever the scripts keep as running numbers.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import ceil, floor, inf
from typing import Any, TypeAlias

from waitroom.rules.lanes import LANES, MAIN, PRIORITY, SLOW

Reply: TypeAlias = list[Any]

LINGER_MS = 2_000
HOLD_MS = 10_000
MOMENT_MS = 5_000
PATIENCE_MS = 30_000
_ALMOST = 1 - (1 - 1e-9)


@dataclass
class Batch:
    """Who was called within one second: everybody up to a turn; `due` of those who have not come are counted on to."""

    upto: float
    called_ms: int
    deadline_ms: int
    size: int = 0
    due: int = 0


@dataclass(frozen=True)
class Supply:
    """What the store behind reported: units free and set aside, when by its own clock, and when it was heard."""

    left: int
    held: int
    said_ms: int
    heard_ms: int


@dataclass(frozen=True)
class Memory:
    """What a worker carries from one tick to the next."""

    generation: str
    beats: int
    revision: int
    waiting: int
    sessions: int
    sessions_until_ms: int
    by_ops: dict[str, str]
    is_paused: bool
    is_ended: bool
    message: str
    lanes: dict[str, dict[str, Any]]
    supply: "Supply | None" = None


@dataclass
class Times:
    """What the configuration says."""

    prequeue: int | None = None
    starts: int | None = None
    ends: int | None = None
    rate: float = 600.0
    cap: int = 10
    window_ms: int = 120_000
    settle_ms: int = 25_000
    regather_ms: int = 25_000
    trim_ms: int = 600_000
    duration_ms: int = 300_000
    heads: int = 0
    spin: float = 0.0
    priority_weight: float = 3.0
    slow_share: float = 0.1
    lasts_ms: int = 15_000
    deciding_ms: int = 20_000


GROWS = ("serving", "lapsed_upto", "called", "admitted", "lapsed", "heads")


def lane_of(ticket: str) -> str:
    """Return the lane of a ticket in these tests: what its name begins with, else main."""
    return next((lane for lane in LANES if ticket.startswith(lane)), MAIN)


@dataclass
class Lane:
    """One lane: who stands in it, who was called and who came."""

    name: str
    times: Times
    queue: dict[str, float] = field(default_factory=dict)
    serving: float = -inf
    lapsed_upto: float = -inf
    settled_upto: float = -inf
    batches: list[Batch] = field(default_factory=list)
    claimed: dict[str, float] = field(default_factory=dict)
    knocks: set[str] = field(default_factory=set)
    returned: dict[str, float] = field(default_factory=dict)
    no_return_upto: float = -inf
    mark: tuple[float, int] | None = None
    called: int = 0
    admitted: int = 0
    lapsed: int = 0
    heads: int = 0
    show_up: float | None = None
    credit: float = 0.0
    late_upto: float = -inf

    def turn(self, ticket: str) -> float:
        score = self.queue[ticket]
        return (score - self.times.spin) % 1 if 0 <= score < 1 and self.name == MAIN else score

    def heads_in_line(self) -> int:
        return sum(score < 0 for score in self.queue.values())

    def waiting(self) -> list[str]:
        return sorted((t for t in self.queue if self.turn(t) > self.serving), key=self.turn)

    def ready(self, now: int) -> list[str]:
        """Return who waits and may be called: in lane slow, whose time has come."""
        due = 2 + max(0, now - (self.times.starts or 0)) if self.name == SLOW else inf
        return [ticket for ticket in self.waiting() if self.turn(ticket) < due]

    def awaited(self, above: float = -inf) -> list[str]:
        """Return who was called, has not come, and whose call is alive."""
        called = [t for t in self.queue if max(above, self.lapsed_upto) < self.turn(t) <= self.serving]
        return [ticket for ticket in called if ticket not in self.claimed] + list(self.returned)

    def expected(self) -> int:
        """Return how many of the called are counted on to come."""
        return sum(self._counted_on(batch) for batch in self.batches)

    def _counted_on(self, batch: Batch) -> int:
        _, knocked = self._left(batch)
        return knocked if batch.upto <= self.settled_upto else max(knocked, batch.due)

    def _left(self, batch: Batch) -> tuple[int, int]:
        """Return how many of `batch` have not come in, and how many of these came and were told to come back."""
        left = {ticket for ticket in self.awaited() if self.batch(ticket) is batch}
        return len(left), len(left & self.knocks)

    def batch(self, ticket: str) -> Batch | None:
        """Return the batch with which `ticket` was called; for who lapsed and is back, the one since then."""
        if ticket in self.returned:
            return next((batch for batch in self.batches if batch.upto >= self.returned[ticket]), None)
        turn = self.turn(ticket)
        return next((batch for batch in self.batches if batch.upto >= turn > self.lapsed_upto), None)

    def count_on(self, ticket: str, by: int) -> None:
        """Count on one more or less of those who were called together with `ticket`, if it was called."""
        if self.turn(ticket) <= self.serving and (batch := self.batch(ticket)):
            batch.due = max(0, batch.due + by)

    def due(self, called: int) -> int:
        return ceil(called * self.show_up_ratio() - 1e-9)

    def show_up_ratio(self) -> float:
        """Return the share of those called who come in, as far as it is known."""
        return 1.0 if self.show_up is None else self.show_up

    def is_used(self) -> bool:
        return self.name == MAIN or bool(self.queue) or self.called > 0

    def forget_knocks(self) -> None:
        called_at = {
            ticket: self.returned[ticket] if ticket in self.returned else self.turn(ticket) for ticket in self.knocks
        }
        self.knocks = {ticket for ticket, turn in called_at.items() if turn > self.lapsed_upto}
        self.returned = {ticket: turn for ticket, turn in self.returned.items() if turn > self.lapsed_upto}

    def recall(self, now: int, kept: dict[str, Any]) -> None:
        for name in GROWS:
            setattr(self, name, max(getattr(self, name), kept.get(name, -inf)))
        self.show_up = self.show_up if kept.get("show_up") is None else kept["show_up"]
        self.batches = [batch for batch in self.batches if batch.upto > self.lapsed_upto]
        if self.serving > max([self.lapsed_upto, *(batch.upto for batch in self.batches)]):
            self.batches.append(Batch(self.serving, now, now))
        self.no_return_upto = self.serving
        self.forget_knocks()

    def call_again(self, now: int) -> None:
        for batch in self.batches:
            batch.called_ms, batch.deadline_ms = now, max(batch.deadline_ms, now + self.times.window_ms)
            batch.due = self.due(self._left(batch)[0])
        self.settled_upto = self.lapsed_upto if self.batches else self.settled_upto

    def settle_calls(self, now: int, is_admitting: bool) -> None:
        for batch in self.batches if is_admitting else []:
            if now - batch.called_ms >= self.times.settle_ms and batch.size:
                self._learn(batch)
        while is_admitting and self.batches and self.batches[0].deadline_ms <= now:
            self.lapsed += self._left(self.batches[0])[0]
            upto = self.batches.pop(0).upto
            self.lapsed_upto = upto
            self.forget_knocks()
        settled = [batch.upto for batch in self.batches if now - batch.called_ms >= self.times.settle_ms]
        self.settled_upto = max([self.lapsed_upto, *settled])
        self._trim(now)

    def _trim(self, now: int) -> None:
        if self.lapsed_upto < 1:
            return
        if self.mark and now - self.mark[1] >= self.times.trim_ms:
            upto = self.mark[0]
            self.no_return_upto = max(self.no_return_upto, upto)
            self.queue = {ticket: score for ticket, score in self.queue.items() if not 1 <= score <= upto}
            self.claimed = {ticket: turn for ticket, turn in self.claimed.items() if not 1 <= turn <= upto}
        if not self.mark or now - self.mark[1] >= self.times.trim_ms:
            self.mark = self.lapsed_upto, now

    def _learn(self, batch: Batch) -> None:
        left, knocked = self._left(batch)
        came = (batch.size - min(left - knocked, batch.size)) / batch.size
        ratio = self.show_up_ratio()
        self.show_up = max(0.25, ratio + batch.size / (batch.size + 50) * (came - ratio))
        batch.size = 0

    def call(self, now: int, due: int) -> None:
        """Call so many that `due` come in."""
        waiting, ready = self.waiting(), len(self.ready(now))
        count = min(floor(due / self.show_up_ratio() + 1e-9), ready)
        upto = self.turn(waiting[count - 1])
        called = sum(self.turn(ticket) <= upto for ticket in waiting)
        self.called += called
        if not self.batches or now - self.batches[-1].called_ms >= 1000:
            self.batches.append(Batch(upto, now, 0))
        self.batches[-1].upto = self.serving = upto
        self.batches[-1].deadline_ms = now + self.times.window_ms
        self.batches[-1].size += called
        self.batches[-1].due += self.due(called)


@dataclass
class Part:
    """What one lane gets of the calls of one tick."""

    lane: Lane
    ready: int
    most: int
    share: float = 0.0
    due: int = 0


def give_shares(parts: list[Part], times: Times) -> None:
    """Set the share of each: main and slow weigh 1 together, and slow is capped while anybody else is ready."""
    crowd = sum(part.ready for part in parts if part.lane.name != PRIORITY)
    for part in parts:
        part.share = times.priority_weight if part.lane.name == PRIORITY else part.ready / crowd
    total = sum(part.share for part in parts)
    for part in parts:
        part.share /= total
    rest = sum(part.share for part in parts if part.lane.name != SLOW)
    if rest > 0 and 1 - rest > times.slow_share:
        for part in parts:
            is_slow = part.lane.name == SLOW
            part.share = times.slow_share if is_slow else part.share * (1 - times.slow_share) / rest


def fill_small(parts: list[Part], due: int, times: Times) -> tuple[list[Part], int]:
    """Give all they need to those that need less than their part; return the others, and what is left for them."""
    owed = sum(part.lane.credit for part in parts if not part.ready)
    for part in (part for part in parts if not part.ready):
        part.lane.credit = 0.0
    still = [part for part in parts if part.ready]
    for _ in parts:
        give_shares(still, times)
        for part in still:
            part.lane.credit += owed * part.share
        owed, before = 0.0, due
        for part in list(still):
            if part.most <= due and part.lane.credit + before * part.share >= part.most:
                part.due, due = part.most, due - part.most
                owed, part.lane.credit = owed + part.lane.credit, 0.0
                still.remove(part)
    return still, due


def share_out(lanes: list[Lane], now: int, due: int, times: Times) -> list[tuple[Lane, int]]:
    """Return how many each lane may call; what a lane is owed in fractions stays in its credit."""
    parts = [Part(lane, ready := len(lane.ready(now)), lane.due(ready)) for lane in lanes]
    still, due = fill_small(parts, min(due, sum(part.most for part in parts)), times)
    for part in still:
        part.lane.credit = due if len(still) == 1 else part.lane.credit + due * part.share
        part.due = min(part.most, max(0, floor(part.lane.credit)))
    while (missing := due - sum(part.due for part in still)) != 0:
        step = 1 if missing > 0 else -1
        able = [part for part in still if (part.due < part.most if step > 0 else part.due > 0)]
        max(able, key=lambda part: step * (part.lane.credit - part.due)).due += step
    for part in still:
        part.lane.credit -= part.due
    return [(part.lane, part.due) for part in parts if part.due]


@dataclass
class Model:
    """One room, one event; `lose` is what FLUSHALL does."""

    times: Times
    is_loaded: bool = False
    tokens: float = 1.0
    refilled_ms: int = 0
    rate: float = 0.0
    cap: int = 0
    by_ops: dict[str, str] = field(default_factory=dict)
    is_paused: bool = False
    is_ended: bool = False
    message: str = ""
    revision: int = 0
    lanes: dict[str, Lane] = field(default_factory=dict)
    sessions: dict[str, int] = field(default_factory=dict)
    revoked: dict[str, int] = field(default_factory=dict)
    ticked_ms: int | None = None
    silence: tuple[int, int] = (0, 0)
    generation: str = ""
    beats: int = 0
    lives: set[str] = field(default_factory=set)
    healed_beats: int = 0
    healed_sessions: int = 0
    healed_called: int | None = None
    unseen: int = 0
    unseen_until_ms: int = 0
    gather_for: int = 0
    gather_until_ms: int = 0
    supply: Supply | None = None
    counting: Supply | None = None
    may_buy: int = 0
    came: list[list[int]] = field(default_factory=list)
    is_gone: bool = False
    last_seen: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.lanes = {name: Lane(name, self.times) for name in LANES}

    # what is, counted anew each time

    def lane(self, ticket: str) -> Lane:
        return self.lanes[lane_of(ticket)]

    def has(self, ticket: str) -> bool:
        return ticket in self.lane(ticket).queue

    def called(self) -> int:
        return sum(lane.called for lane in self.lanes.values())

    def line(self) -> list[str]:
        """Return everybody in line, lane by lane, in the order of service."""
        return [ticket for lane in self.lanes.values() for ticket in sorted(lane.queue, key=lane.turn)]

    def used(self) -> list[Lane]:
        return [lane for lane in self.lanes.values() if lane.is_used()]

    def waiting(self) -> int:
        return sum(len(lane.waiting()) for lane in self.lanes.values())

    def ready(self, now: int) -> int:
        return sum(len(lane.ready(now)) for lane in self.lanes.values())

    def awaited(self) -> list[str]:
        return [ticket for lane in self.lanes.values() for ticket in lane.awaited()]

    def expected(self) -> int:
        return sum(lane.expected() for lane in self.lanes.values())

    def phase(self, now: int) -> str:
        t = self.times
        if self.is_ended or (t.ends is not None and now >= t.ends):
            return "ended"
        if t.starts is not None and t.prequeue is not None and t.prequeue <= now < t.starts:
            return "prequeue"
        if self.is_paused:
            return "paused"
        if self.is_gone:
            return "sold_out"
        has_begun = t.starts is not None and now >= t.starts
        return "open" if has_begun or self.ready(now) or self.missing(now) else "idle"

    def refilled(self, now: int) -> float:
        earned = max(0, now - self.refilled_ms) * self.rate / 60000
        return min(self.tokens + earned, self.burst() + self.expected())

    def burst(self) -> float:
        return 1 + self.rate / 60

    def keep(self, tokens: float, now: int) -> None:
        self.tokens, self.refilled_ms = tokens, now

    def inside(self, now: int) -> int:
        if self.ticked_ms is not None and now - self.ticked_ms > LINGER_MS:
            self.silence = self.ticked_ms, now + HOLD_MS
        over = self.silence[0] if now < self.silence[1] else now
        self.sessions = {name: end for name, end in self.sessions.items() if end > over - LINGER_MS}
        return len(self.sessions) + self.held_for_unseen(now)

    def held_for_unseen(self, now: int) -> int:
        return self.unseen if now <= self.unseen_until_ms + LINGER_MS else 0

    def missing(self, now: int) -> int:
        """Return how many of those who waited before a loss are not back yet, while they may be."""
        return max(0, self.gather_for - self.waiting()) if now < self.gather_until_ms else 0

    def memory(self, now: int) -> Memory:
        last = max([*self.sessions.values(), self.unseen_until_ms, 0])
        return Memory(
            self.generation, self.beats, self.revision, self.waiting() + self.missing(now), self.inside(now), last,
            dict(self.by_ops), self.is_paused, self.is_ended, self.message,
            {lane.name: {name: getattr(lane, name) for name in (*GROWS, "show_up")} for lane in self.used()},
            self.supply,
        )  # fmt: skip

    # the moves

    def lose(self) -> None:
        """Forget everything but what the configuration says."""
        self.__init__(self.times)  # type: ignore[misc]  # a new life is a new object in all but name

    def tick(self, now: int, memory: Memory | None = None, newborn: str = "newborn") -> Reply:
        if not self.is_loaded:
            self.is_loaded, self.generation = True, newborn
            self.keep(1.0, now)
        if memory:
            self._heal(now, memory, newborn)
        self.rate = float(self.by_ops.get("rate", self.times.rate))
        self.cap = int(self.by_ops.get("cap", self.times.cap))
        self._heed_supply(now)
        main = self.lanes[MAIN]
        main.heads = max(main.heads, main.heads_in_line())
        if not self.missing(now):
            self.gather_for = 0
        phase = self.phase(now)
        is_admitting = phase in {"open", "idle"}
        for lane in self.lanes.values():
            lane.settle_calls(now, is_admitting)
        tokens = self.refilled(now)
        if not is_admitting:
            tokens = min(tokens, 1.0)
        inside, expected = self.inside(now), self.expected()
        due = min(floor(min(tokens + _ALMOST, self.cap - inside) - expected), self._limited(now))
        is_calling = phase == "open" and self.ready(now) and due >= 1 and not self.missing(now)
        for lane, count in share_out(list(self.lanes.values()), now, due, self.times) if is_calling else []:
            lane.call(now, count)
        self.may_buy = max(0, self.may_buy - (self.expected() - expected))
        is_full = tokens >= self.burst() and tokens == self.tokens
        if not (is_admitting and is_full and not self.waiting() and not self.awaited() and not inside):
            self.keep(tokens, now)
            self.beats += 1
        self.ticked_ms = now if inside else None
        return self._told(now, inside)

    def _told(self, now: int, inside: int) -> Reply:
        used = self.used()
        lanes = [(lane.name, lane.serving, lane.called, len(lane.waiting())) for lane in used]
        counts = [inside, len(self.awaited()), sum(lane.admitted for lane in used), sum(lane.lapsed for lane in used)]
        return [
            "ticked", self.phase(now), lanes, *counts, self.rate, self.cap, self.message, self.revision,
            [self.counting.left, self.counting.held, self.may_buy] if self.counting else [],
        ]  # fmt: skip

    def report(self, left: int, held: int, said: int, now: int) -> Reply:
        if not self.is_loaded:
            return ["unloaded"]
        if self.supply and said <= self.supply.said_ms:
            return ["known"]
        self.supply = Supply(left, held, said, now)
        return ["taken"]

    def _heed_supply(self, now: int) -> None:
        counts = self.supply is not None and now - self.supply.heard_ms < self.times.lasts_ms
        self.counting = self.supply if counts else None
        was_gone, self.is_gone = (
            self.is_gone,
            self.counting is not None and self.counting.left + self.counting.held == 0,
        )
        if was_gone and not self.is_gone:
            self.keep(min(1.0, self.tokens), now)
            for lane in self.lanes.values():
                lane.call_again(now)
        if not self.counting:
            self.came, self.may_buy, self.last_seen = [], 0, None

    def _undecided(self, now: int, left: int) -> int:
        """Return how many came in a moment ago and may still buy; units are taken by who came first of them."""
        had, admitted = self.last_seen or (left, self.admitted())
        self.last_seen = left, self.admitted()
        if (arrived := self.admitted() - admitted) > 0:
            if not self.came or now - self.came[-1][0] >= self.times.deciding_ms / 4:
                self.came.append([now, 0])
            self.came[-1][1] += arrived
        everybody = [ms for ms, people in self.came for _ in range(people)][max(0, had - left) :]
        self.came = [[ms, count] for ms, count in Counter(everybody).items() if now - ms < self.times.deciding_ms]
        return sum(people for _, people in self.came)

    def _limited(self, now: int) -> int:
        """Return how many may be called for what the store has; any number where it does not say."""
        if not self.counting:
            return 2**53
        self.may_buy = max(0, self.counting.left - self.expected() - self._undecided(now, self.counting.left))
        return self.may_buy

    def admitted(self) -> int:
        return sum(lane.admitted for lane in self.used())

    def _heal(self, now: int, memory: Memory, newborn: str) -> None:
        is_followed = memory.generation in self.lives
        is_behind = memory.beats > (self.healed_beats if is_followed else self.beats)
        is_overruled = memory.revision > self.revision
        if not is_behind and not is_overruled:
            return
        if is_overruled:
            self.by_ops, self.message, self.revision = dict(memory.by_ops), memory.message, memory.revision
            self.is_paused, self.is_ended = memory.is_paused, memory.is_ended
        if not is_followed:
            self.lives |= {memory.generation, self.generation} - {newborn}
            self.generation, self.healed_beats, self.healed_sessions = newborn, self.beats, 0
            self.keep(min(1.0, self.tokens), now)
        if is_behind:
            self._recall_sessions(now, memory, is_more=is_followed)
            if memory.supply and (not self.supply or memory.supply.said_ms > self.supply.said_ms):
                self.supply = memory.supply
            healed_called = self.called() if self.healed_called is None else self.healed_called
            called_since = self.called() - healed_called if is_followed else 0
            for lane in self.lanes.values():
                lane.recall(now, memory.lanes.get(lane.name, {}))
                lane.call_again(now)
            self.healed_called = self.called()
            if (missing := memory.waiting - called_since) > 0:
                self.gather_for = missing
                self.gather_until_ms = int(now + self.times.regather_ms + min(30_000, missing / 5))

    def _recall_sessions(self, now: int, memory: Memory, *, is_more: bool) -> None:
        known = self.healed_sessions if is_more else self.inside(now)
        if (lost := max(0, memory.sessions - known)) > 0:
            self.unseen = self.held_for_unseen(now) + lost
            self.unseen_until_ms = max(self.unseen_until_ms, memory.sessions_until_ms)
        self.healed_sessions = max(memory.sessions, known if is_more else 0)
        self.healed_beats, self.beats = memory.beats, max(self.beats, memory.beats)

    def enter(self, session: str, now: int) -> Reply:  # noqa: PLR0911 - one return for each REPLY of the script
        if not self.is_loaded:
            return ["unloaded"]
        if self.sessions.get(session, 0) > now:
            return ["admitted", self.sessions[session]]
        if (phase := self.phase(now)) not in {"idle", "open"}:
            return ["wait", phase]
        if self.ready(now) or self.missing(now):
            return ["wait", "line"]
        tokens = self.refilled(now)
        if tokens - self.expected() < 1 - _ALMOST:
            return ["wait", "rate"]
        if self.inside(now) + self.expected() >= self.cap:
            return ["wait", "cap"]
        if self.counting and self.may_buy < 1:
            return ["wait", "stock"]
        self.may_buy -= 1
        return self._admit(session, tokens, now, self.lanes[MAIN])

    def _admit(self, session: str, tokens: float, now: int, lane: Lane) -> Reply:
        self.keep(tokens - 1, now)
        self.sessions[session] = now + self.times.duration_ms
        lane.admitted += 1
        return ["admitted", now + self.times.duration_ms]

    def join(self, ticket: str, now: int, scores: tuple[float | None, float, float, float]) -> Reply:  # noqa: C901 - one branch for each REPLY of the script
        if not self.is_loaded:
            return ["unloaded"]
        lane = self.lane(ticket)
        was_known = ticket in lane.queue
        if not was_known:
            if self.is_ended or (self.times.ends is not None and now >= self.times.ends):
                return ["ended"]
            lane.queue[ticket] = self._score(lane, now, *scores)
            if ticket not in lane.claimed and ticket not in lane.returned:
                with self._counting(now):
                    lane.count_on(ticket, 1)
        turn = lane.turn(ticket)
        state = "called"
        ahead: int | None = 0
        if self.sessions.get(ticket, 0) > now:
            state = "admitted"
        elif turn > lane.serving:
            state, ahead = "waiting", self._ahead(lane, ticket, now)
        elif turn <= lane.lapsed_upto:
            state = "called" if self._call_back(lane, ticket, now) else "lapsed"
        elif ticket in lane.claimed:
            state = "lapsed"
        return [state, lane.queue[ticket], ahead, int(was_known)]

    def _call_back(self, lane: Lane, ticket: str, now: int) -> bool:
        """Call `ticket` a second time, once, together with those who were called last."""
        if self.phase(now) == "ended":
            return False
        if ticket in lane.returned:
            return True
        if ticket in lane.claimed or lane.turn(ticket) <= lane.no_return_upto:
            return False
        if not lane.batches:
            lane.batches.append(Batch(lane.serving, now, now))
        last = lane.batches[-1]
        with self._counting(now):
            lane.claimed[ticket] = lane.turn(ticket)
            lane.returned[ticket] = lane.serving
            last.due += 1
        last.deadline_ms = max(last.deadline_ms, now + self.times.window_ms)
        return True

    def _ahead(self, lane: Lane, ticket: str, now: int) -> int | None:
        if self.times.starts is not None and now < self.times.starts and lane.queue[ticket] >= 0:
            return None
        return sum(lane.turn(other) <= lane.turn(ticket) for other in lane.waiting()) - 1

    def _score(self, lane: Lane, now: int, kept: float | None, head: float, draw: float, tail: float) -> float:
        if kept is not None:
            return kept
        if self.times.starts is None or now >= self.times.starts:
            if tail > lane.serving:
                return tail
            lane.late_upto = max(lane.late_upto, lane.serving) + 2**-11
            return lane.late_upto
        return head if max(lane.heads, lane.heads_in_line()) < self.times.heads else draw

    def leave(self, ticket: str, now: int) -> Reply:
        lane = self.lane(ticket)
        if ticket not in lane.queue:
            return ["unknown"]
        if ticket not in lane.claimed or ticket in lane.returned:
            was_called = lane.lapsed_upto < lane.turn(ticket) <= lane.serving or ticket in lane.returned
            lane.count_on(ticket, -1)
            lane.knocks.discard(ticket)
            lane.returned.pop(ticket, None)
            del lane.queue[ticket]
            if was_called and self.is_loaded:
                self.keep(self.refilled(now), now)
        return ["left"]

    def claim(self, ticket: str, now: int) -> Reply:  # noqa: C901, PLR0911 - one return for each REPLY of the script
        if not self.is_loaded:
            return ["unloaded"]
        if self.sessions.get(ticket, 0) > now:
            return ["admitted", self.sessions[ticket]]
        lane = self.lane(ticket)
        if ticket in self.revoked or (ticket in lane.claimed and ticket not in lane.returned):
            return ["lapsed"]
        if self.phase(now) == "ended":
            return ["ended"]
        if ticket not in lane.queue:
            return ["unknown"]
        turn = lane.turn(ticket)
        if turn > lane.serving:
            return ["waiting"]
        if turn <= lane.lapsed_upto and ticket not in lane.returned:
            return ["lapsed"]
        if self.is_paused or self.is_gone:
            return ["later", MOMENT_MS]
        tokens = self.refilled(now)
        if tokens < 1 - _ALMOST:
            return self._knock(ticket, now, max(1, min(ceil((1 - tokens) * 60000 / self.rate), 3_600_000)))
        if self.inside(now) >= self.cap:
            return self._knock(ticket, now, MOMENT_MS)
        reply = self._admit(ticket, tokens, now, lane)
        lane.count_on(ticket, -1)
        lane.knocks.discard(ticket)
        lane.returned.pop(ticket, None)
        lane.claimed[ticket] = turn
        return reply

    def _knock(self, ticket: str, now: int, wait_ms: int) -> Reply:
        lane = self.lane(ticket)
        if batch := lane.batch(ticket):
            batch.deadline_ms = max(batch.deadline_ms, now + wait_ms + PATIENCE_MS)
        with self._counting(now):
            lane.knocks.add(ticket)
        return ["later", wait_ms]

    @contextmanager
    def _counting(self, now: int) -> Iterator[None]:
        """Whoever is counted on from now on brings no tokens along for which the bucket had no room before."""
        expected, tokens = self.expected(), self.refilled(now)
        yield
        if self.expected() > expected:
            self.keep(tokens, now)

    def touch(self, now: int, visits: list[tuple[str, int]]) -> Reply:
        for session, end in visits:
            if session not in self.revoked and end > now:
                self.unseen = self.held_for_unseen(now) - (
                    session not in self.sessions and self.held_for_unseen(now) > 0
                )
                self.sessions[session] = max(end, self.sessions.get(session, 0))
        return ["touched", *(session for session, _ in visits if session in self.revoked)]

    def release(self, session: str, now: int, until: int) -> Reply:
        self.revoked = {name: end for name, end in self.revoked.items() if end > now}
        self.revoked[session] = max(until, self.revoked.get(session, 0))
        return ["released" if self.sessions.pop(session, None) else "unknown"]

    def control(self, now: int, kind: str, value: str = "") -> Reply:
        if not self.is_loaded:
            return ["unloaded"]
        before = "ended" if self.is_ended else "paused" if self.is_paused else "running"
        match kind:
            case "rate":
                before = repr(self.rate)
                self.keep(self.refilled(now), now)
                self.rate = float(value)
            case "cap":
                before, self.cap = str(self.cap), int(value)
            case "message":
                before, self.message = self.message, value
            case "resume":
                self._resume(now, before)
            case _:
                self.is_paused, self.is_ended = self.is_paused or kind == "pause", self.is_ended or kind == "end"
        if kind in {"rate", "cap"}:
            self.by_ops[kind] = value
        self.revision += 1
        return ["changed", before]

    def _resume(self, now: int, before: str) -> None:
        if before != "running":
            self.keep(min(1.0, self.tokens), now)
            for lane in self.lanes.values():
                lane.call_again(now)
        self.is_paused = self.is_ended = False
