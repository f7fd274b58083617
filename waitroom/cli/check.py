"""`waitroom check FILE`: say whether a configuration is sound, and what it means."""

import argparse
import os
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.text import Text

from waitroom.cli import Commands
from waitroom.config import Config, Event, Room, read, room_rules
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import read_private, read_secrets
from waitroom.kernel.units import spell_duration, spell_instant
from waitroom.rules.beacons import BeaconKind
from waitroom.rules.hosts import AllowedHosts
from waitroom.wire.certificates import tls_context


def add(commands: Commands) -> None:
    """Tell argparse what this command takes."""
    parser = commands.add_parser("check", help="read a configuration and name everything that is wrong with it")
    parser.add_argument("file", type=Path, metavar="FILE", help="a waitroom.toml")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Print `ok` with a summary, or raise with every fault."""
    config = read(asked.file, os.environ)
    if config.edge.tls_certificate and config.edge.tls_key:
        tls_context(config.edge.tls_certificate, config.edge.tls_key)
    console = Console(highlight=False, soft_wrap=True)
    console.print("[green]ok[/green]")
    for line in (*_rooms(config), *_events(config)):
        console.print(Text(line))
    for note in notes(config, os.environ):
        console.print(Text(f"note: {note}", style="yellow"))
    return 0


def notes(config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    """Yield what is no fault in the file, and yet something to know before the sale."""
    for fault in _missing_secrets(config, environment):
        yield f"`waitroom serve` will refuse to start: {fault}"
    if not config.redis.url:
        yield "redis.url is empty: an embedded server is started, which serves this machine only"
    yield from _not_served(config)
    if not config.edge.listen.is_loopback and not config.edge.is_https:
        yield "edge.public_origin names no https origin: cookies travel in the clear"
    if config.edge.tls_certificate and not config.edge.is_https:
        yield "edge.tls_certificate is set and edge.public_origin names no https origin: cookies are not Secure"
    if (key := config.edge.tls_key) and key.exists() and key.stat().st_mode & 0o007:
        yield f"edge.tls_key: everybody on this machine may read {key}; run: chmod o= {key}"
    if not config.ops.listen.is_loopback:
        yield "ops.listen is open to other machines: keep it behind a firewall"
    if config.backend.simulated_gateway:
        yield "backend.simulated_gateway is on: no real money moves"


def _not_served(config: Config) -> Iterator[str]:
    allowed = AllowedHosts(config.edge.allowed_hosts)
    named = [room.hosts for room in config.rooms] + [route.hosts for route in config.routes]
    for host in dict.fromkeys(chain.from_iterable(named)):
        if not allowed.has(host):
            yield f'edge.allowed_hosts does not hold "{host}", which a room or route names: it is answered 421'


def _missing_secrets(config: Config, environment: Mapping[str, str]) -> Iterator[ConfigFault]:
    try:
        read_secrets(environment, config.secrets.file)
    except ConfigFault as fault:
        yield fault
    token = config.secrets.console_token_file
    if token and token.exists():  # the first start writes it
        try:
            read_private(token)
        except ConfigFault as fault:
            yield fault


def _rooms(config: Config) -> Iterator[str]:
    rows = [("room", "guards", "then", "method", "inside", "a minute", "session", "claim")]
    for room in config.rooms:
        rows.append(
            (
                room.name,
                " ".join((*room.hosts, *room.paths)),
                config.upstream_of(room).url,
                room.queueing_method,
                f"≤ {room.total_active_users}",
                f"≤ {room.new_users_per_minute:g}",
                spell_duration(room.session_duration_ms),
                spell_duration(room.claim_window_ms),
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _events(config: Config) -> Iterator[str]:
    for room in config.rooms:
        for event in room.events:
            start, end = spell_instant(event.event_start_time_ms), spell_instant(event.event_end_time_ms)
            before = event.event_start_time_ms - event.prequeue_start_time_ms
            gathered = f", people may gather {spell_duration(before)} before" if before else ""
            yield f"{room.name}: {event.name} from {start} to {end}{gathered}{_turned(room, event)}"


def _turned(room: Room, event: Event) -> str:
    """Say what turns the draw, and with a beacon which round, so that it can be announced."""
    beacon = room_rules(room).beacon
    match beacon.kind:
        case BeaconKind.DRAND:
            due = spell_instant(beacon.due_ms(event.event_start_time_ms))
            return f", turned by drand's round {beacon.round_after(event.event_start_time_ms)} at {due}"
        case BeaconKind.MANUAL:
            return f", turned by `waitroom ctl spin {room.name}` within {spell_duration(beacon.timeout_ms)}"
        case BeaconKind.NONE:
            return ""
