"""One waiting room: what it guards, how fast it lets people in, when it opens."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, StringConstraints, model_validator

from waitroom.config.draws import Beacon
from waitroom.kernel.faults import Fault, Faults, repeated
from waitroom.kernel.settings import DurationMs, Instant, Many, Settings, between
from waitroom.kernel.shapes import Host, Name, OptionalPathOfSite, PathPrefix
from waitroom.kernel.units import duration_ms
from waitroom.rules.beacons import BeaconKind
from waitroom.rules.rooms import ALWAYS, Queueing

_SHORTEST_REPORT_MS = duration_ms("10s")


class Challenge(Settings):
    """The proof of work that a browser solves to join."""

    difficulty: int = Field(17, ge=8, le=24, description="Leading zero bits of each step; one more doubles the work.")
    steps: int = Field(16, ge=1, le=64, description="Puzzles in a row; more of them make the time more even.")
    lifetime_ms: Annotated[DurationMs, between("10s", "18h")] = Field(
        duration_ms("180s"), description="How long a challenge may be answered."
    )
    slow_dwell_ms: Annotated[DurationMs, between("0s", "1h")] = Field(
        duration_ms("60s"), description="What a visitor who cannot compute pays in waiting instead."
    )


class Poll(Settings):
    """How often a waiting browser asks: expected wait / divisor, between floor and ceiling."""

    floor_ms: Annotated[DurationMs, between("200ms", "10m")] = Field(
        duration_ms("1s"), description="The shortest time between two questions."
    )
    ceiling_ms: Annotated[DurationMs, between("200ms", "10m")] = Field(
        duration_ms("20s"), description="The longest time between two questions."
    )
    divisor: int = Field(10, ge=1, le=1000, description="How many questions fall into the expected wait.")

    @model_validator(mode="after")
    def _floor_below_ceiling(self) -> Self:
        if self.floor_ms > self.ceiling_ms:
            raise Faults([Fault(("floor",), "must not be longer than ceiling")])
        return self


class Lanes(Settings):
    """How those who were invited and those who cannot compute share the admissions with everybody else."""

    priority_weight: float = Field(
        3.0,
        gt=0,
        le=1000,
        allow_inf_nan=False,
        description="Admissions of invited visitors for each one of the others, while both wait.",
    )
    slow_share: float = Field(
        0.1,
        gt=0,
        le=1,
        description="Share of admissions that visitors who cannot compute get at most, while anybody else waits.",
    )


class Health(Settings):
    """Whether admission heeds how the upstream does: slower when that suffers, none when it is down."""

    target_ttfb_ms: Annotated[DurationMs, between("0s", "5m")] = Field(
        0, description='How long an answer may take to begin, 95 times in 100; "0s" takes no heed of it.'
    )
    distress_ratio: float = Field(
        0.05, gt=0, lt=1, description="Share of requests over the target or failed above which admission slows."
    )
    rate_floor_per_minute: float = Field(
        6.0, gt=0, le=100_000_000, allow_inf_nan=False, description="Admissions a minute however slow it is."
    )
    recovery_ms: Annotated[DurationMs, between("10s", "24h")] = Field(
        duration_ms("5m"), description="How long it takes at least from nothing back to the full rate."
    )
    window_ms: Annotated[DurationMs, between("2s", "5m")] = Field(
        duration_ms("10s"), description="How far back requests count."
    )
    min_requests: int = Field(20, ge=1, le=1_000_000, description="Fewer of them in that time prove nothing.")
    failure_status_codes: Many[Annotated[int, Field(ge=500, le=599)]] = Field(
        (500, 502, 503, 504), description="Answers that count as failed; no answer at all (502, 504) always does."
    )
    circuit_failure_ratio: float = Field(
        0.5, gt=0, le=1, description="Share of failed requests from which the upstream counts as down."
    )
    probe_interval_ms: Annotated[DurationMs, between("1s", "10m")] = Field(
        duration_ms("5s"), description="How often one request is tried while it is down, by all workers together."
    )
    health_path: OptionalPathOfSite = Field(
        "", description="Path that is tried then; empty: the request of a visitor who is inside."
    )


class Stock(Settings):
    """How admission follows what the store reports of its stock (docs/stock.md)."""

    report_lifetime_ms: Annotated[DurationMs, between("0s", "10m")] = Field(
        duration_ms("15s"),
        description='How long a report counts; without a later one the room goes on as without any. "0s" heeds none.',
    )
    decision_time_ms: Annotated[DurationMs, between("0s", "10m")] = Field(
        duration_ms("20s"),
        description="How long somebody who came in is counted on to buy: so many fewer are called for the last units.",
    )

    @model_validator(mode="after")
    def _outlives_a_silence(self) -> Self:
        if 0 < self.report_lifetime_ms < _SHORTEST_REPORT_MS:
            raise Faults([Fault(("report_lifetime",), 'must be "0s", or at least 10s: the till reports every 5s')])
        return self


class Event(Settings):
    """One scheduled opening of a room."""

    name: Name = Field(description="What tickets, metrics and the audit call it.")
    event_start_time_ms: Instant = Field(description="The opening.")
    prequeue_start_time_ms: Instant = Field(
        default_factory=lambda found: found["event_start_time_ms"],
        description="From when people may gather; without it, nobody waits before the opening.",
    )
    event_end_time_ms: Instant = Field(description="When the room stops admitting for this event.")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        faults = []
        if self.prequeue_start_time_ms > self.event_start_time_ms:
            faults.append(Fault(("prequeue_start_time",), "must not be after event_start_time"))
        if self.event_start_time_ms >= self.event_end_time_ms:
            faults.append(Fault(("event_end_time",), "must be after event_start_time"))
        if faults:
            raise Faults(faults)
        return self


class Room(Settings):
    """One queue before one set of routes; names as in Cloudflare's waiting room, where it has them."""

    name: Name = Field(description="Stands in addresses, cookies and metrics.")
    title: Annotated[str, StringConstraints(max_length=80)] = Field(
        "", description="What visitors read on the waiting page; empty takes the name."
    )
    accent: Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")] = Field(
        "#2848c8", description="Your colour on the waiting page; shades that can be read are worked out from it."
    )
    hosts: Many[Host] = Field((), description="Host names it guards; none means any.")
    paths: Annotated[Many[PathPrefix], Field(min_length=1)] = Field(description="Path prefixes it guards.")
    exempt_paths: Many[PathPrefix] = Field((), description="Path prefixes below those that stay open: feeds, webhooks.")
    upstream: Annotated[str, StringConstraints(max_length=32)] = Field(
        "", description="The upstream that serves who is admitted; empty takes the first."
    )
    queueing_method: Annotated[Queueing, Strict(False)] = Field(
        Queueing.FIFO,
        description="fifo, random (a draw among who came before the opening), hybrid, passthrough or reject.",
    )
    fifo_head: int = Field(
        0, ge=0, description="With hybrid: how many first arrivals keep their order before the draw."
    )
    total_active_users: int = Field(500, ge=1, le=100_000_000, description="Sessions inside at the same time, at most.")
    new_users_per_minute: float = Field(
        600.0,
        gt=0,
        le=100_000_000,
        allow_inf_nan=False,
        description="Admissions a minute, at most; 0.2 is one in five minutes.",
    )
    new_users_per_minute_ceiling: float = Field(
        0.0,
        ge=0,
        le=100_000_000,
        allow_inf_nan=False,
        description="A rate above this takes --force while the room runs; 0 is none.",
    )
    direct_entries_per_minute: int = Field(
        20,
        ge=0,
        le=100_000_000,
        description="How many from one address may come straight in while nobody waits; others join the line. 0: any.",
    )
    max_waiting: int = Field(
        0,
        ge=0,
        le=100_000_000,
        description="Places in line, at most; who comes then is told that it is full. 0 is no limit.",
    )
    session_duration_ms: Annotated[DurationMs, between("1s", "24h")] = Field(
        duration_ms("5m"), description="How long somebody admitted stays inside without doing anything."
    )
    disable_session_renewal: bool = Field(False, description="true: the session ends after that time, used or not.")
    claim_window_ms: Annotated[DurationMs, between("1s", "1h")] = Field(
        duration_ms("2m"), description="How long somebody called has to come in."
    )
    ticket_lifetime_ms: Annotated[DurationMs, between("1m", "30d")] = Field(
        duration_ms("24h"), description="How long the browser keeps its ticket."
    )
    queueing_status_code: Literal[200, 202, 429, 503] = Field(200, description="Status of the waiting page.")
    challenge: Challenge = Field(Challenge(), description="The proof of work to join.")
    poll: Poll = Field(Poll(), description="How often a waiting browser asks.")
    lanes: Lanes = Field(Lanes(), description="How its lanes share the admissions.")
    health: Health = Field(Health(), description="Whether admission heeds how the upstream does.")
    stock: Stock = Field(Stock(), description="How admission follows what the store has left.")
    beacon: Beacon = Field(Beacon(), description="Where the spin of its draws comes from.")
    events: Many[Event] = Field((), description="Scheduled openings; without any the room is always on.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = [*self._stray_exemptions(), *self._clashing_events()]
        if self.fifo_head and self.queueing_method is not Queueing.HYBRID:
            faults.append(Fault(("fifo_head",), 'works only with queueing_method = "hybrid"; remove one of the two'))
        if self.beacon.kind is not BeaconKind.NONE and self.queueing_method not in {Queueing.RANDOM, Queueing.HYBRID}:
            faults.append(
                Fault(("beacon", "kind"), 'turns a draw: works only with queueing_method "random" or "hybrid"')
            )
        if 0 < self.new_users_per_minute_ceiling < self.new_users_per_minute:
            faults.append(Fault(("new_users_per_minute_ceiling",), "must not be below new_users_per_minute"))
        if faults:
            raise Faults(faults)
        return self

    def _stray_exemptions(self) -> Iterator[Fault]:
        for index, path in enumerate(self.exempt_paths):
            if not path.startswith(self.paths):
                yield Fault(("exempt_paths", index), "lies below none of paths, so it is open already; remove it")

    def _clashing_events(self) -> Iterator[Fault]:
        yield from repeated({"events": [{"name": event.name} for event in self.events]}, "events", "name")
        for index, event in enumerate(self.events):
            if event.name == ALWAYS:
                yield Fault(("events", index, "name"), f'"{ALWAYS}" stands for the time between events; take another')
        for earlier, later in pairwise(sorted(self.events, key=lambda event: event.prequeue_start_time_ms)):
            if later.prequeue_start_time_ms < earlier.event_end_time_ms:
                yield Fault(("events",), f'"{later.name}" begins before "{earlier.name}" ends; move one of them')
