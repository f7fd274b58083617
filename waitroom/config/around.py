"""What stands around the rooms: listeners, Redis, secrets, the sites behind, logs, the store backend."""

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from waitroom.kernel.faults import Fault, Faults
from waitroom.kernel.settings import Bytes, DurationMs, Listen, Many, OptionalPath, Settings, between
from waitroom.kernel.shapes import Host, HostPattern, Name, Network, Origin, PathPrefix, RedisUrl, UpstreamUrl
from waitroom.kernel.units import Address, duration_ms, size_bytes
from waitroom.rules.hosts import AllowedHosts


class Edge(Settings):
    """The front door that shoppers reach."""

    listen: Listen = Field(Address("127.0.0.1", 8080), description="Where shoppers are served.")
    workers: int = Field(0, ge=0, le=256, description="Worker processes; 0 starts one for each core.")
    public_origin: Origin = Field(
        "",
        description='Scheme and host that shoppers see: "https://shop.example". https makes cookies Secure, __Host-.',
    )
    allowed_hosts: Many[HostPattern] = Field(
        (),
        description='Hosts served here: "shop.example", "*.shop.example"; others are answered 421. Empty serves any.',
    )
    trusted_proxies: Many[Network] = Field(
        (), description="Networks whose X-Forwarded-* headers are believed; nobody else's are."
    )
    drain_timeout_ms: Annotated[DurationMs, between("0s", "10m")] = Field(
        duration_ms("30s"), description="How long a worker that was asked to stop may finish what is in flight."
    )
    keepalive_timeout_ms: Annotated[DurationMs, between("1s", "1h")] = Field(
        duration_ms("75s"), description="How long a client's connection may be idle."
    )
    header_timeout_ms: Annotated[DurationMs, between("1s", "5m")] = Field(
        duration_ms("10s"),
        description="How long a request's header may take from its first byte, and a TLS handshake; then 408.",
    )
    write_timeout_ms: Annotated[DurationMs, between("1s", "1h")] = Field(
        duration_ms("30s"), description="How long an answer may wait for a client that takes it too slowly."
    )
    max_header_bytes: Annotated[Bytes, between("4KiB", "1MiB")] = Field(
        size_bytes("64KiB"), description="The largest header of a request; more is answered 431."
    )
    max_body_bytes: Annotated[Bytes, between("1KiB", "64GiB")] = Field(
        size_bytes("1MiB"), description="The largest request body that is carried to the shop; more is answered 413."
    )

    min_transfer_per_s_bytes: Annotated[Bytes, between("0B", "1MiB")] = Field(
        size_bytes("240B"),
        description="The slowest that a request body may come, after 20 seconds, and a waiting answer be taken.",
    )
    max_connections: int = Field(
        10_000, ge=16, le=1_000_000, description="Connections that one worker has open at most; more are answered 503."
    )
    max_connections_per_address: int = Field(
        1_000,
        ge=1,
        le=1_000_000,
        description="Of these, for one address (IPv6: one /64); trusted_proxies are not counted.",
    )
    max_streams: int = Field(
        5_000,
        ge=0,
        le=1_000_000,
        description="Of these, for who follows the pulse by events or websocket; more are answered 503.",
    )
    hot_path: bool = Field(
        True,
        description="Answer and carry plain requests before aiohttp; false takes the longer way to the same answers.",
    )
    proxy_protocol: Literal["off", "required"] = Field(
        "off",
        description="required: each connection begins with a PROXY header (v1 or v2) of one of trusted_proxies.",
    )
    tls_certificate: OptionalPath = Field(
        None, description="The certificate chain to serve https with, as PEM; SIGHUP reads it anew. Empty serves http."
    )
    tls_key: OptionalPath = Field(None, description="The key of that certificate, as PEM without a password.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        faults = []
        if self.proxy_protocol == "required" and not self.trusted_proxies:
            faults.append(Fault(("proxy_protocol",), "needs trusted_proxies: nobody else's header is believed"))
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_certificate else "tls_certificate"
            faults.append(Fault((missing,), "is missing: certificate and key go together"))
        for name in self.model_fields_set & {"max_connections_per_address", "max_streams"}:  # else it may be all
            if getattr(self, name) > self.max_connections:
                faults.append(Fault((name,), "must not be above max_connections"))
        public = urlsplit(self.public_origin).netloc
        if public and not AllowedHosts(self.allowed_hosts).has(public):
            faults.append(Fault(("allowed_hosts",), f'must hold "{public}", which edge.public_origin names'))
        if faults:
            raise Faults(faults)
        return self

    @property
    def is_https(self) -> bool:
        """Whether shoppers come by https, so that cookies are Secure and carry the __Host- prefix."""
        return self.public_origin.startswith("https://")


class Ops(Settings):
    """The listener for operators: console, API and metrics."""

    listen: Listen = Field(
        Address("127.0.0.1", 8081), description="Where operators are served; keep it off the internet."
    )
    state_file: OptionalPath = Field(
        None,
        description="Brings the rooms back if Redis and all workers lost them; empty takes rooms.json in redis.folder.",
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
        None, description="The token that opens the console; empty makes a new one at each start, told in the terminal."
    )


class Upstream(Settings):
    """One site behind us."""

    name: Name = Field(description="What rooms call it.")
    url: UpstreamUrl = Field(description="Where it listens.")
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
    connection_lifetime_ms: Annotated[DurationMs, between("1s", "24h")] = Field(
        duration_ms("1m"),
        description="How long a connection is used at most: after that, a name that moved is followed.",
    )
    max_connections: int = Field(256, ge=1, le=65536, description="Connections that one worker opens to it at most.")
    ca_file: OptionalPath = Field(
        None, description="With https: who may vouch for it, as a PEM file; empty takes those that the system trusts."
    )


class Route(Settings):
    """Where requests go that no room guards."""

    hosts: Many[Host] = Field((), description="Host names it is for; none means any.")
    paths: Annotated[Many[PathPrefix], Field(min_length=1)] = Field(description="Path prefixes it is for.")
    upstream: Name = Field(description="The upstream that serves them.")


class Backend(Settings):
    """The store backend, for who wants `waitroom serve` to start it too."""

    config: OptionalPath = Field(None, description="The inventory.toml it reads; empty starts none.")
    simulated_gateway: bool = Field(
        False, description="true: start the simulated payment gateway too; never for real money."
    )
