"""What the shop's operator may set: one TOML file, every fault at once, secrets never in it."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from inventory_backend import sales
from inventory_backend.paying import Payments
from inventory_backend.receivers import Confirmations, Kafka, Mail, Webhook
from inventory_backend.secret_files import Secrets
from waitroom.kernel.faults import Fault, Faults, repeated
from waitroom.kernel.logs import Logs
from waitroom.kernel.settings import (
    DurationMs,
    Instant,
    Listen,
    Many,
    OptionalPath,
    Settings,
    between,
    load,
    parse,
    read_secrets,
)
from waitroom.kernel.shapes import Name, OptionalSiteUrl, RedisUrl
from waitroom.kernel.tokens import UpstreamPassSigner
from waitroom.kernel.units import Address, duration_ms, spell_instant
from waitroom.verify.passes import UPSTREAM_SECRET_VARIABLE
from waitroom.verify.passes import upstream_signer as signer_of

GATEWAY_VARIABLE = "WAITROOM_SIMULATED_GATEWAY_URL"
ROOM_VARIABLE = "WAITROOM_ROOM_URL"

_LARGEST_AMOUNT = 99_999_999


def _ledger_url(found: str) -> str:
    if found:
        try:
            kind = make_url(found).get_backend_name()
        except ArgumentError:
            kind = ""
        if kind not in {"sqlite", "postgresql"}:
            raise ValueError('must begin with "postgresql://" or "sqlite:///"; "" is SQLite in the file below')
    return found


LedgerUrl = Annotated[str, AfterValidator(_ledger_url)]


class Server(Settings):
    """Where the room's proxy reaches the shop."""

    listen: Listen = Field(Address("127.0.0.1", 9000), description="Where the shop is served; only the proxy needs it.")
    drain_timeout_ms: Annotated[DurationMs, between("0s", "10m")] = Field(
        duration_ms("30s"), description="How long requests in flight may take when it is asked to stop."
    )
    hot_path: bool = Field(
        True,
        description="Answer plain reserves and looks at a sale before aiohttp; false takes the longer way to the same.",
    )
    max_streams: int = Field(
        1000, ge=0, le=100_000, description="Browsers that may watch the stock as it changes; more get 503."
    )


class Redis(Settings):
    """Where the stock is counted while the sale runs."""

    url: RedisUrl = Field(
        "",
        description='"redis://…", "rediss://…" or "unix://…"; empty starts an embedded server. REDIS_URL overrides it.',
    )
    max_connections: int = Field(16, ge=1, le=1024, description="Connections that are opened at most.")
    timeout_ms: Annotated[DurationMs, between("10ms", "30s")] = Field(
        duration_ms("1s"), description="How long one round trip may take before Redis counts as gone."
    )
    folder: OptionalPath = Field(
        None,
        description="Where the embedded server keeps its data; empty takes ./inventory-data of the working folder.",
    )


class Ledger(Settings):
    """The truth about holds, orders and money."""

    url: LedgerUrl = Field("", description='"postgresql://…", "sqlite:///…"; empty is SQLite in `file`.')
    file: OptionalPath = Field(None, description="SQLite's file; empty takes ./inventory.db of the working folder.")
    group_rows: int = Field(200, ge=1, le=5000, description="Writes that share one commit, at most.")
    group_delay_ms: Annotated[DurationMs, between("0s", "5ms")] = Field(
        duration_ms("2ms"), description="How long a crowd waits for the group to grow; a lone write never waits."
    )
    timeout_ms: Annotated[DurationMs, between("100ms", "1m")] = Field(
        duration_ms("5s"), description="How long one transaction may take before the ledger counts as gone."
    )
    readers: int = Field(4, ge=1, le=64, description="Connections that read beside the one that writes.")
    keep_ms: Annotated[DurationMs, between("7d", "3650d")] = Field(
        duration_ms("30d"),
        description="How long what was told, by the gateway and to others, is kept once it is done; orders stay.",
    )


class Room(Settings):
    """The waiting room, which is told what is left (docs/stock.md)."""

    url: OptionalSiteUrl = Field(
        "", description="Where it is reached; empty takes what `waitroom serve` says, and without that tells nobody."
    )
    timeout_ms: Annotated[DurationMs, between("100ms", "10s")] = Field(
        duration_ms("2s"), description="How long it may take to answer."
    )
    ca_file: OptionalPath = Field(
        None, description="With https: who vouches for it, as a PEM file; empty takes those the system trusts."
    )


class Wave(Settings):
    """Units of a stock line that come later."""

    at: Instant = Field(description="When they come; a wave is known by it: under another time it is another wave.")
    add: int = Field(ge=1, le=sales.MOST_UNITS, description="How many come.")


class Sku(Settings):
    """A stock line."""

    sku: Name = Field(description="What requests call it.")
    name: Annotated[str, StringConstraints(min_length=1, max_length=120)] = Field(description="What shoppers read.")
    description: Annotated[str, StringConstraints(max_length=2000)] = Field(
        "", description="A sentence or two for shoppers."
    )
    price: int = Field(ge=1, le=_LARGEST_AMOUNT, description="In minor units of the sale's currency: 12900 is 129.00.")
    total: int = Field(
        ge=0,
        le=sales.MOST_UNITS,
        description="Units there are to begin with; where the number is changed, the difference is applied.",
    )
    waves: Many[Wave] = Field((), description="Units that come later.")
    shards: int = Field(
        1,
        ge=1,
        le=sales.MOST_SHARDS,
        description="Parts it is counted in: as many as tills that sell it at full speed. It can only be raised.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = list(repeated({"waves": [{"at": spell_instant(one.at)} for one in self.waves]}, "waves", "at"))
        if self.total + sum(one.add for one in self.waves) > sales.MOST_UNITS:
            faults.append(Fault(("waves",), f"with total, these are more than {sales.MOST_UNITS} units"))
        if faults:
            raise Faults(faults)
        return self

    def as_rules(self) -> sales.Sku:
        """Return the stock line as the rules know it."""
        waves = tuple(sales.Wave(one.at, one.add) for one in self.waves)
        return sales.Sku(self.sku, self.name, self.price, self.total, self.description, waves, self.shards)


class Sale(Settings):
    """One sale."""

    name: Name = Field(description="Stands in addresses and in the ledger.")
    title: Annotated[str, StringConstraints(max_length=120)] = Field(
        "", description="What shoppers read; empty takes the name."
    )
    room: Name = Field(
        default_factory=lambda found: found["name"],
        description="The waiting room whose pass opens this sale; without it, the one of the same name.",
    )
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")] = Field("EUR", description="ISO 4217.")
    starts_at: Instant | None = Field(None, description="From when holds are taken; without it, at once.")
    ends_at: Instant | None = Field(None, description="Until when; without it, as long as there is stock.")
    hold_ms: Annotated[DurationMs, between("1s", "24h")] = Field(
        duration_ms("10m"), description="How long units stay set aside for a shopper."
    )
    limit_per_shopper: int = Field(1, ge=1, le=10_000, description="Units of this sale that one shopper may have.")
    limit_per_identity: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="Units that one account of the store may have, whatever its passes; else none is asked."
    )
    max_waitlist: int = Field(1000, ge=0, le=10_000, description="Shoppers who may wait for units; 0: no waitlist.")
    waitlist_offer_ms: Annotated[DurationMs, between("1s", "24h")] = Field(
        duration_ms("5m"), description="How long such units stay set aside for who is next."
    )
    skus: Annotated[Many[Sku], Field(min_length=1)] = Field(description="What is sold.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = list(repeated({"skus": [{"sku": one.sku} for one in self.skus]}, "skus", "sku"))
        if self.starts_at is not None and self.ends_at is not None and self.starts_at >= self.ends_at:
            faults.append(Fault(("ends_at",), "must be after starts_at"))
        faults += self._late_waves()
        if faults:
            raise Faults(faults)
        return self

    def _late_waves(self) -> Iterator[Fault]:
        for place, one in enumerate(self.skus):
            for at, wave in enumerate(one.waves):
                if self.ends_at is not None and wave.at >= self.ends_at:
                    yield Fault(("skus", place, "waves", at, "at"), "must be before ends_at of the sale")

    def as_rules(self) -> sales.Sale:
        """Return the sale as the rules know it."""
        return sales.Sale(
            name=self.name,
            title=self.title or self.name,
            room=self.room,
            currency=self.currency,
            starts_ms=self.starts_at,
            ends_ms=self.ends_at,
            hold_ms=self.hold_ms,
            limit_per_shopper=self.limit_per_shopper,
            limit_per_identity=self.limit_per_identity,
            skus={one.sku: one.as_rules() for one in self.skus},
            max_waitlist=self.max_waitlist,
            offer_ms=self.waitlist_offer_ms,
        )


class Config(Settings):
    """Everything, whole."""

    server: Server = Field(Server(), description="Where the room's proxy reaches the shop.")
    redis: Redis = Field(Redis(), description="Where the stock is counted while the sale runs.")
    ledger: Ledger = Field(Ledger(), description="The truth about holds, orders and money.")
    room: Room = Field(Room(), description="The waiting room, which is told what is left.")
    payments: Payments = Field(Payments(), description="The payment gateway.")
    confirmations: Confirmations = Field(Confirmations(), description="How often a confirmation is tried.")
    mail: Mail = Field(Mail(), description="The server that takes mails to shoppers.")
    kafka: Kafka = Field(Kafka(), description="A topic of Kafka that is told of orders.")
    secrets: Secrets = Field(Secrets(), description="Files that hold secrets.")
    logs: Logs = Field(Logs(), description="What is written down.")
    sales: Annotated[Many[Sale], Field(min_length=1)] = Field(description="What is sold, when, and how.")
    webhooks: Many[Webhook] = Field((), description="Who is told of orders by signed webhooks.")

    @classmethod
    def cross_faults(cls, written: Mapping[str, Any]) -> Iterator[Fault]:
        """Yield sales and receivers of the same name."""
        yield from repeated(written, "sales", "name")
        yield from repeated(written, "webhooks", "name")

    @property
    def ledger_url(self) -> str:
        """Where the ledger is, with the default filled in."""
        return self.ledger.url or f"sqlite:///{self.ledger.file or Path('inventory.db')}"


def read(path: Path, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration in `path`, with what the environment says instead.

    Raises:
        ConfigFault: it names every fault.
    """
    config = load(path, Config)
    if url := environment.get("REDIS_URL", ""):
        redis = parse({"url": url}, Redis)
        config = config.model_copy(update={"redis": config.redis.model_copy(update={"url": redis.url})})
    if (url := environment.get(ROOM_VARIABLE, "")) and not config.room.url:
        room = parse({"url": url}, Room)
        config = config.model_copy(update={"room": config.room.model_copy(update={"url": room.url})})
    if (url := environment.get(GATEWAY_VARIABLE, "")) and config.payments.provider == "simulated":
        payments = parse({"url": url}, Payments)
        config = config.model_copy(update={"payments": config.payments.model_copy(update={"url": payments.url})})
    return config


def upstream_signer(config: Config, environment: Mapping[str, str] = os.environ) -> UpstreamPassSigner:
    """Return who verifies `Waitroom-Pass`: by the derived secret where we have that, else by the room's own.

    Raises:
        ConfigFault: there is no usable secret.
    """
    given = environment.get(UPSTREAM_SECRET_VARIABLE, "")
    if not given:
        return UpstreamPassSigner(read_secrets(environment, config.secrets.file))
    return signer_of(given)
