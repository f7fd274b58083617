"""What an operator may set: one TOML file, every fault at once, secrets never in it."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, Strict, StringConstraints, model_validator

from waitroom.kernel.faults import Fault, Faults, entries, repeated
from waitroom.kernel.settings import (
    Bytes,
    DurationMs,
    Instant,
    Listen,
    Many,
    OptionalPath,
    Settings,
    between,
    load,
    parse,
)
from waitroom.kernel.shapes import Host, Name, Network, Origin, PathPrefix, RedisUrl, SiteUrl
from waitroom.kernel.units import Address, duration_ms, size_bytes


class QueueingMethod(StrEnum):
    """Who goes first."""

    FIFO = "fifo"
    RANDOM = "random"
    HYBRID = "hybrid"
    PASSTHROUGH = "passthrough"
    REJECT = "reject"


Method = Annotated[QueueingMethod, Strict(False)]


class Edge(Settings):
    """The front door that shoppers reach."""

    listen: Listen = Field(Address("127.0.0.1", 8080), description="Where shoppers are served.")
    workers: int = Field(0, ge=0, le=256, description="Worker processes; 0 starts one for each core.")
    public_origin: Origin = Field(
        "",
        description='Scheme and host that shoppers see: "https://shop.example". https makes cookies Secure, __Host-.',
    )
    trusted_proxies: Many[Network] = Field(
        (), description="Networks whose X-Forwarded-* headers are believed; nobody else's are."
    )
    drain_timeout_ms: Annotated[DurationMs, between("0s", "10m")] = Field(
        duration_ms("30s"), description="How long a worker that was asked to stop may finish what is in flight."
    )
    header_timeout_ms: Annotated[DurationMs, between("1s", "5m")] = Field(
        duration_ms("15s"), description="How long a client may take to send its request line and headers."
    )
    keepalive_timeout_ms: Annotated[DurationMs, between("0s", "1h")] = Field(
        duration_ms("75s"), description="How long an idle connection from a client stays open."
    )
    max_body_bytes: Annotated[Bytes, between("1KiB", "64GiB")] = Field(
        size_bytes("1MiB"), description="The largest request body that is carried to the shop; more is answered 413."
    )

    @property
    def is_https(self) -> bool:
        """Whether shoppers come by https, so that cookies are Secure and carry the __Host- prefix."""
        return self.public_origin.startswith("https://")


class Ops(Settings):
    """The listener for operators: console, API and metrics."""

    listen: Listen = Field(
        Address("127.0.0.1", 8081), description="Where operators are served; keep it off the internet."
    )


class Redis(Settings):
    """Where the state of the rooms lives."""

    url: RedisUrl = Field(
        "",
        description='"redis://…", "rediss://…" or "unix://…"; empty starts an embedded server. REDIS_URL overrides it.',
    )
    max_connections: int = Field(16, ge=1, le=1024, description="Connections that one worker opens at most.")
    timeout_ms: Annotated[DurationMs, between("10ms", "30s")] = Field(
        duration_ms("250ms"), description="How long one round trip may take before Redis counts as gone."
    )
    folder: OptionalPath = Field(
        None, description="Where the embedded server keeps its data; empty takes ./waitroom-data of the working folder."
    )


class Secrets(Settings):
    """Files that hold secrets, each readable by its owner only; the secrets themselves never stand in this file."""

    file: OptionalPath = Field(
        None,
        description="The signing secret, one or two, newest last; WAITROOM_SECRET in the environment overrides it.",
    )
    console_token_file: OptionalPath = Field(
        None, description="The token that opens the console; empty makes a new one at each start and prints it."
    )


class Upstream(Settings):
    """One site behind us."""

    name: Name = Field(description="What rooms call it.")
    url: SiteUrl = Field(description="Where it listens.")
    connect_timeout_ms: Annotated[DurationMs, between("10ms", "1m")] = Field(
        duration_ms("2s"), description="How long connecting may take, before 502."
    )
    first_byte_timeout_ms: Annotated[DurationMs, between("100ms", "1h")] = Field(
        duration_ms("30s"), description="How long the first byte of an answer may take, before 504."
    )
    idle_timeout_ms: Annotated[DurationMs, between("1s", "24h")] = Field(
        duration_ms("60s"), description="How long a body may pause in the middle before the connection is dropped."
    )
    keepalive_ms: Annotated[DurationMs, between("0s", "1h")] = Field(
        duration_ms("4s"), description="How long an idle connection is kept; stay below what the upstream itself keeps."
    )
    max_connections: int = Field(256, ge=1, le=65536, description="Connections that one worker opens to it at most.")


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
    hosts: Many[Host] = Field((), description="Host names it guards; none means any.")
    paths: Annotated[Many[PathPrefix], Field(min_length=1)] = Field(description="Path prefixes it guards.")
    exempt_paths: Many[PathPrefix] = Field((), description="Path prefixes below those that stay open: feeds, webhooks.")
    upstream: Annotated[str, StringConstraints(max_length=32)] = Field(
        "", description="The upstream that serves who is admitted; empty takes the first."
    )
    queueing_method: Method = Field(
        QueueingMethod.FIFO,
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
    events: Many[Event] = Field((), description="Scheduled openings; without any the room is always on.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = [*self._stray_exemptions(), *self._clashing_events()]
        if self.fifo_head and self.queueing_method is not QueueingMethod.HYBRID:
            faults.append(Fault(("fifo_head",), 'works only with queueing_method = "hybrid"; remove one of the two'))
        if faults:
            raise Faults(faults)
        return self

    def _stray_exemptions(self) -> Iterator[Fault]:
        for index, path in enumerate(self.exempt_paths):
            if not path.startswith(self.paths):
                yield Fault(("exempt_paths", index), "lies below none of paths, so it is open already; remove it")

    def _clashing_events(self) -> Iterator[Fault]:
        yield from repeated({"events": [{"name": event.name} for event in self.events]}, "events", "name")
        for earlier, later in pairwise(sorted(self.events, key=lambda event: event.prequeue_start_time_ms)):
            if later.prequeue_start_time_ms < earlier.event_end_time_ms:
                yield Fault(("events",), f'"{later.name}" begins before "{earlier.name}" ends; move one of them')


class Logs(Settings):
    """What is written down about the running of the thing; it goes to standard error."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR.")
    as_json: bool = Field(
        False, validation_alias="json", serialization_alias="json", description="A JSON object a line, for machines."
    )


class Backend(Settings):
    """The store backend, for who wants `waitroom serve` to start it too."""

    config: OptionalPath = Field(None, description="The inventory.toml it reads; empty starts none.")
    simulated_gateway: bool = Field(
        False, description="true: start the simulated payment gateway too; never for real money."
    )


class Config(Settings):
    """Everything, whole."""

    edge: Edge = Field(Edge(), description="The front door that shoppers reach.")
    ops: Ops = Field(Ops(), description="The listener for operators.")
    redis: Redis = Field(Redis(), description="Where the state of the rooms lives.")
    secrets: Secrets = Field(Secrets(), description="Files that hold secrets.")
    upstreams: Many[Upstream] = Field(
        (), description="The sites behind; may be none where forward auth is all that is used."
    )
    rooms: Annotated[Many[Room], Field(min_length=1)] = Field(description="The waiting rooms.")
    logs: Logs = Field(Logs(), description="What is written down.")
    backend: Backend = Field(Backend(), description="The store backend.")

    @classmethod
    def cross_faults(cls, written: Mapping[str, Any]) -> Iterator[Fault]:
        """Yield names taken twice, upstreams that do not exist, and two listeners on one port."""
        yield from repeated(written, "rooms", "name")
        yield from repeated(written, "upstreams", "name")
        known = dict.fromkeys(name for _, name in entries(written, "upstreams", "name"))
        for index, name in entries(written, "rooms", "upstream"):
            if name and name not in known:
                there_are = f"there are: {', '.join(known)}" if known else "there is none; add [[upstreams]]"
                yield Fault(("rooms", index, "upstream"), f'no upstream is called "{name}"; {there_are}')
        yield from _same_routes(written)
        listens = [table.get("listen") for key in ("edge", "ops") if isinstance(table := written.get(key), Mapping)]
        if len(listens) == 2 and listens[0] == listens[1] is not None and not str(listens[0]).endswith(":0"):
            yield Fault(("ops", "listen"), "must differ from edge.listen")

    def upstream_of(self, room: Room | None) -> Upstream | None:
        """Return who serves `room`, or what lies outside every room; None where forward auth is all that is used."""
        named = room.upstream if room else ""
        return next((upstream for upstream in self.upstreams if named in {"", upstream.name}), None)


def _same_routes(written: Mapping[str, Any]) -> Iterator[Fault]:
    first: dict[tuple[str, str], int] = {}
    rooms = written.get("rooms")
    for index, room in enumerate(rooms if isinstance(rooms, list | tuple) else ()):
        hosts = (room.get("hosts") or [""]) if isinstance(room, Mapping) else []
        paths = room.get("paths") if isinstance(room, Mapping) else None
        for host in hosts if isinstance(hosts, list) else ():
            for number, path in enumerate(paths if isinstance(paths, list) else ()):
                taken = first.setdefault((str(host), str(path)), index)
                if taken != index:
                    yield Fault(("rooms", index, "paths", number), f'rooms[{taken}] guards "{path}" already')


def read(path: Path, environment: Mapping[str, str]) -> Config:
    """Return the configuration in `path`; REDIS_URL in the environment overrides redis.url.

    Raises:
        ConfigFault: it names every fault.
    """
    return overridden(load(path, Config), environment)


def build(written: Mapping[str, Any], environment: Mapping[str, str]) -> Config:
    """Return the configuration in a mapping that looks like the file, for who has no file.

    Raises:
        ConfigFault: it names every fault.
    """
    return overridden(parse(written, Config), environment)


def overridden(config: Config, environment: Mapping[str, str]) -> Config:
    """Return `config` with what the environment says instead."""
    url = environment.get("REDIS_URL", "")
    if not url:
        return config
    redis = parse({"url": url}, Redis)
    return config.model_copy(update={"redis": config.redis.model_copy(update={"url": redis.url})})
