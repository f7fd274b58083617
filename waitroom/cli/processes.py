"""The processes of one installation: what each is started with, and what a worker does once it is started.

`_worker` and `_ops` are commands for the supervisor, not for people, so the help does not list them.
"""

import argparse
import asyncio
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvloop

from waitroom.cli import Commands
from waitroom.config import Config, read
from waitroom.keeping import READY_VARIABLE, Program, Tier
from waitroom.kernel import logs
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.metrics import FOLDER
from waitroom.kernel.ports import Place
from waitroom.kernel.settings import SECRET_VARIABLE, read_secrets
from waitroom.kernel.tokens import Keys, UpstreamPassSigner
from waitroom.kernel.units import Address
from waitroom.verify.passes import UPSTREAM_SECRET_VARIABLE

CONSOLE_TOKEN_VARIABLE = "WAITROOM_CONSOLE_TOKEN"  # noqa: S105 - the name of a variable, not what is in it
GATEWAY_VARIABLE = "WAITROOM_SIMULATED_GATEWAY_URL"
GATEWAY_SECRET_VARIABLE = "WAITROOM_SIMULATED_GATEWAY_SECRET"  # noqa: S105 - as above
ROOM_VARIABLE = "WAITROOM_ROOM_URL"
VIEWER_TOKEN_VARIABLE = "WAITROOM_VIEWER_TOKEN"  # noqa: S105 - as above
_TILLS = frozenset(
    {
        "WAITROOM_IDENTITY_SECRET",
        "WAITROOM_KAFKA_PASSWORD",
        "WAITROOM_PAYMENTS_WEBHOOK_SECRET",
        "WAITROOM_STRIPE_API_KEY",
        "WAITROOM_TILL_OPS_TOKEN",
    }
)
"""What the operator may have given us for the till."""
_FOR_SOME = _TILLS | {
    SECRET_VARIABLE,
    CONSOLE_TOKEN_VARIABLE,
    VIEWER_TOKEN_VARIABLE,
    UPSTREAM_SECRET_VARIABLE,
    GATEWAY_SECRET_VARIABLE,
    "REDIS_URL",
}
"""What opens something: each process gets those it needs by name, and no other."""

_REDIS_FOLDER = Path("waitroom-data")
_LEEWAY_S = 2.0
"""A worker ends its own drain in time; only one that hangs is ended by the supervisor, this much later."""


@dataclass(frozen=True, slots=True)
class Installation:
    """Everything that the processes of one machine are started from."""

    file: Path
    config: Config
    keys: Keys
    environment: Mapping[str, str]  # ours, as we were started
    console_token: str
    counts: Path  # where the processes count for /metrics
    gateway: Address | None = None  # of the simulated payment service
    output: Path | None = None  # where they log; None: where we do
    copy: Path | None = None  # of the file as it was read: a process that starts again must not find another
    sockets: tuple[socket.socket, ...] = ()  # that listen for shoppers; without any, each process takes its own port
    ops_sockets: tuple[socket.socket, ...] = ()

    @property
    def embedded(self) -> EmbeddedServer | None:
        """The Redis of our own, where the configuration names none."""
        return None if self.config.redis.url else EmbeddedServer(self.config.redis.folder or _REDIS_FOLDER)

    @property
    def redis_url(self) -> str:
        """Where Redis is, or will be once it is started."""
        return self.embedded.url if self.embedded else self.config.redis.url

    def programs(self) -> list[Program]:
        """Return what to run; who gets a secret gets the one it needs and no other."""
        workers = self.config.edge.workers or _cores()
        drain_s = 2 * self.config.edge.drain_timeout_ms / 1000 + _LEEWAY_S  # its requests, then its errands
        edge = self._own("worker-1", "_worker", Tier.EDGE, {}, self.sockets)
        edges = [replace(edge, name=f"worker-{number}", drain_s=drain_s) for number in range(1, workers + 1)]
        tokens = {CONSOLE_TOKEN_VARIABLE: self.console_token}
        if VIEWER_TOKEN_VARIABLE in self.environment:
            tokens[VIEWER_TOKEN_VARIABLE] = self.environment[VIEWER_TOKEN_VARIABLE]
        ops = self._own("ops", "_ops", Tier.OPS, tokens, self.ops_sockets)
        return [*self._shop(), ops, *edges]

    def plain(self) -> dict[str, str]:
        """Return the environment of a process that needs no secret."""
        kept = {name: value for name, value in self.environment.items() if name not in _FOR_SOME}
        return kept | {FOLDER: str(self.counts)}

    def _own(
        self, name: str, command: str, tier: Tier, secrets: Mapping[str, str], sockets: Sequence[socket.socket]
    ) -> Program:
        inherits = tuple(one.fileno() for one in sockets)
        given = [part for number in inherits for part in ("--socket", str(number))]
        if self.copy is not None:
            given += ["--copy", str(self.copy)]
        argv = (sys.executable, "-m", "waitroom", command, "-c", str(self.file), *given)
        ours = {SECRET_VARIABLE: self.environment[SECRET_VARIABLE]} if SECRET_VARIABLE in self.environment else {}
        reached = {"REDIS_URL": self.redis_url}
        environment = self.plain() | reached | ours | dict(secrets)
        return Program(name, argv, environment, tier, output=self.output, inherits=inherits, tells_ready=True)

    def _shop(self) -> list[Program]:
        till = self.config.backend.config
        programs = []
        paying: dict[str, str] = {}
        if self.gateway is not None:
            file = (self.config.redis.folder or _REDIS_FOLDER) / "simulated-gateway.db"
            given = ["--listen", str(self.gateway), "--file", str(file)]
            secret = {GATEWAY_SECRET_VARIABLE: self.keys.derive("simulated-gateway")[-1].hex()}
            if till is not None:
                given += ["--till", str(till)]
            argv = (sys.executable, "-m", "inventory_backend.payments.simulated_psp", *given)
            programs.append(Program("gateway", argv, self.plain() | secret, Tier.GATEWAY, output=self.output))
            paying = {GATEWAY_VARIABLE: f"http://{self.gateway}"} | secret
        if till is not None:
            argv = (sys.executable, "-m", "inventory_backend", "-c", str(till))
            secret = {UPSTREAM_SECRET_VARIABLE: UpstreamPassSigner.upstream_secret(self.keys)}
            own = {name: value for name, value in self.environment.items() if name in _TILLS}
            environment = self.plain() | own | {"REDIS_URL": self.redis_url, ROOM_VARIABLE: self._room_url()}
            programs.append(Program("till", argv, environment | secret | paying, Tier.TILL, output=self.output))
        return programs

    def _room_url(self) -> str:
        """Return where the till tells the room what is left: by loopback, unless that takes TLS or a PROXY header."""
        edge = self.config.edge
        is_plain = edge.tls_certificate is None and edge.proxy_protocol == "off"
        return f"http://{edge.listen.reachable}" if is_plain else edge.public_origin


def _cores() -> int:
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))  # fewer than the machine has, in a container
    return os.cpu_count() or 1


def add(commands: Commands) -> None:
    """Tell argparse of the commands that the supervisor gives."""
    for name, run in (("_worker", _worker), ("_ops", _ops)):
        parser = commands.add_parser(name)
        parser.add_argument("-c", "--config", type=Path, required=True, metavar="FILE")
        parser.add_argument("--copy", type=Path, metavar="FILE")
        parser.add_argument("--socket", type=int, action="append", default=[], metavar="FD")
        parser.set_defaults(run=run)


def _worker(asked: argparse.Namespace) -> int:
    from waitroom.app import run_edge  # here: who supervises never serves, and starts sooner without all that

    return _serve(asked, lambda config, keys, place: run_edge(config, keys, config.redis.url, place))


def _ops(asked: argparse.Namespace) -> int:
    from waitroom.app import run_ops  # as above

    token = os.environ.get(CONSOLE_TOKEN_VARIABLE, "")
    return _serve(asked, lambda config, keys, place: run_ops(config, keys, config.redis.url, token, place))


def _serve(asked: argparse.Namespace, part: Callable[[Config, Keys, Place], Coroutine[Any, Any, None]]) -> int:
    config = read(asked.config, os.environ, copy=asked.copy)
    keys = read_secrets(os.environ, config.secrets.file)
    logs.setup(config.logs.level, as_json=config.logs.as_json)
    place = Place(tuple(socket.socket(fileno=number) for number in asked.socket), _tell_ready)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(part(config, keys, place))
    return 0


def _tell_ready() -> None:
    """Tell the supervisor, where there is one, that we serve."""
    if number := os.environ.pop(READY_VARIABLE, ""):
        os.write(int(number), b".")
        os.close(int(number))
