"""`waitroom serve -c FILE`: run a whole installation on this machine until it is told to stop."""

import argparse
import asyncio
import itertools
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import aiohttp

from waitroom.cli import Commands
from waitroom.cli.processes import CONSOLE_TOKEN_VARIABLE, Installation
from waitroom.cli.renewal import Renewal
from waitroom.config import Config, read
from waitroom.kernel import logs
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.metrics import FOLDER
from waitroom.kernel.ports import free_loopback, listening
from waitroom.kernel.settings import create_secret_file, read_private, read_secrets
from waitroom.kernel.units import Address
from waitroom.supervisor import Program, Supervisor
from waitroom.wire.certificates import tls_context

_QUIET_S = 15.0
"""After this long without an answer, people are told that it is not stuck in silence."""
_PROBE_S = 2.0
_BETWEEN_PROBES_S = 0.1


def add(commands: Commands) -> None:
    """Tell argparse what this command takes."""
    parser = commands.add_parser("serve", help="run the waiting room: workers, console, and Redis where none is named")
    parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE", help="a waitroom.toml")
    parser.add_argument("--workers", type=int, metavar="N", help="worker processes; 0 is one a core (edge.workers)")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Serve until a signal; every fault of the settings is told before anything starts."""
    config = _configured(asked, None)
    keys = read_secrets(os.environ, config.secrets.file)
    logs.setup(config.logs.level, as_json=config.logs.as_json)
    token = console_token(config, os.environ)
    with tempfile.TemporaryDirectory(prefix="waitroom-") as counts:
        installation = Installation(
            file=asked.config.absolute(),
            config=config,
            keys=keys,
            environment=os.environ,
            console_token=token,
            counts=Path(counts),
            gateway=free_loopback() if config.backend.simulated_gateway else None,
        )
        renewal = Renewal(installation, partial(_configured, asked))
        asyncio.run(supervise(installation, partial(_tell, config, token, SystemClock()), renewal=renewal))
    return 0


async def supervise(
    installation: Installation,
    meanwhile: Callable[[], Awaitable[None]],
    *,
    more: Iterable[Program] = (),
    renewal: Renewal | None = None,
) -> None:
    """Run `installation`, with an embedded Redis where none is named, and `more` programs beside its own.

    With a `renewal`, SIGHUP reads the settings again; else it ends everything, as the other signals do.

    Raises:
        ConfigFault: a port is taken, or a program refuses its settings.
        WaitroomError: what `meanwhile` raised.
    """
    edge, ops = installation.config.edge.listen, installation.config.ops.listen
    taken = take_ports({"edge.listen": edge, "ops.listen": ops})
    os.environ[FOLDER] = str(installation.counts)  # the supervisor forgets there who died
    given = replace(installation, sockets=tuple(taken["edge.listen"]), ops_sockets=tuple(taken["ops.listen"]))
    if renewal is not None:
        given = renewal.begin(given)
    supervisor = Supervisor(
        [*given.programs(), *more],
        clock=SystemClock(),
        embedded=installation.embedded,
        shared=[*given.sockets, *given.ops_sockets],
        renew=renewal,
    )
    await supervisor.run(meanwhile)


def take_ports(listens: Mapping[str, Address]) -> dict[str, list[socket.socket]]:
    """Listen on all of them before anything starts.

    Raises:
        ConfigFault: it names every one that is taken.
    """
    faults: list[str] = []
    taken: dict[str, list[socket.socket]] = {}
    for setting, address in listens.items():
        try:
            taken[setting] = listening(address, setting=setting)
        except ConfigFault as fault:
            faults += fault.faults
    if faults:
        for one in itertools.chain(*taken.values()):
            one.close()
        raise ConfigFault(faults)
    return taken


def _configured(asked: argparse.Namespace, copy: Path | None) -> Config:
    """Return the settings in the file, or in a copy of it, with what the command line says instead."""
    config = read(asked.config, os.environ, copy=copy)
    if config.edge.tls_certificate and config.edge.tls_key:
        tls_context(config.edge.tls_certificate, config.edge.tls_key)
    return config if asked.workers is None else with_workers(config, asked.workers)


def with_workers(config: Config, workers: int) -> Config:
    """Return `config` with another number of workers.

    Raises:
        ConfigFault: there cannot be so many.
    """
    if not 0 <= workers <= 256:
        raise ConfigFault([f"--workers: must be from 0 to 256, and is {workers}"])
    return config.model_copy(update={"edge": config.edge.model_copy(update={"workers": workers})})


def console_token(config: Config, environment: Mapping[str, str]) -> str:
    """Return what opens the console: from the environment, else from its file, which the first run writes.

    Where neither is named, it is a new one, for this run.

    Raises:
        ConfigFault: the file cannot be used.
    """
    if given := environment.get(CONSOLE_TOKEN_VARIABLE, ""):
        return given
    if (file := config.secrets.console_token_file) is not None:
        try:
            create_secret_file(file)
        except OSError as fault:
            raise ConfigFault([f"secrets.console_token_file: cannot be written: {fault.strerror}"]) from fault
        return read_private(file)
    return secrets.token_urlsafe(32)


async def answers(url: str, clock: Clock) -> bool:
    """Return True once `url` answers 2xx, False when it has not for a while: ask again, if you have the time."""
    late_s = clock.tick_s() + _QUIET_S
    timeout = aiohttp.ClientTimeout(total=_PROBE_S)
    async with aiohttp.ClientSession(timeout=timeout) as client:
        while clock.tick_s() < late_s:
            try:
                async with client.get(url) as answer:
                    if answer.ok:
                        return True
            except (aiohttp.ClientError, TimeoutError):
                pass  # not yet
            await clock.sleep(_BETWEEN_PROBES_S)
    return False


def reached_at(config: Config) -> str:
    """Return the address at which this machine reaches the front door."""
    return f"http://{config.edge.listen.reachable}"


def console_at(config: Config) -> str:
    """Return the address at which this machine reaches the console."""
    return f"http://{config.ops.listen.reachable}"


async def _tell(config: Config, token: str, clock: Clock) -> None:
    ready = f"{reached_at(config)}/.waitroom/readyz"
    while not await answers(ready, clock):
        print(f"not ready yet: {ready} does not say so; still trying", file=sys.stderr, flush=True)
    print(f"shop     {config.edge.public_origin or reached_at(config)}")
    print(f"console  {console_at(config)}")
    if sys.stdout.isatty():
        print(f"token    {token}")
    print(f"stop     Ctrl-C, or kill {os.getpid()}", flush=True)
