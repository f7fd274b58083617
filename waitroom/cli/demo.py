"""`waitroom demo`: a whole sale on this machine, with a crowd, in one command."""

import argparse
import asyncio
import os
import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.text import Text

from waitroom.cli import Commands
from waitroom.cli.demo_folder import PAGE, ROOM, SKU, DemoFolder, Wishes
from waitroom.cli.processes import Installation
from waitroom.cli.progress import Watch
from waitroom.cli.serve import answers, console_at, console_token, reached_at, supervise
from waitroom.config import read
from waitroom.kernel import logs
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import ConfigFault, WaitroomError
from waitroom.kernel.metrics import FOLDER
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.redis import RedisSettings, connected
from waitroom.kernel.settings import SECRET_VARIABLE, read_secrets
from waitroom.supervisor import Program, Tier

_COMING_UP_S, _LONGEST_COMING_UP_S = 2.0, 20.0
_AT_ONCE = 4
"""So much longer than we did do the processes take to come up, because they all do it at the same time."""
_UP_TRIES = 4
_CROWD_DRAIN_S = 1.0
_REDIS_LIMIT_MS = 2000


def add(commands: Commands) -> None:
    """Tell argparse what this command takes."""
    parser = commands.add_parser("demo", help="run a whole sale here: room, shop, payments and a crowd")
    number = partial(parser.add_argument, type=int, metavar="N")
    number("--port", default=8080, help="where shoppers are served (8080)")
    number("--ops-port", default=8081, help="where the console is served (8081)")
    parser.add_argument("--opens-in", type=float, default=20, metavar="S", help="seconds until the doors open (20)")
    number("--crowd", default=300, help="synthetic visitors who join (300)")
    number("--stock", default=100, help="units there are to sell (100)")
    parser.add_argument("--rate", type=float, default=600, metavar="N", help="admissions a minute, at most (600)")
    number("--cap", default=500, help="people inside at the same time, at most (500)")
    number("--difficulty", default=17, help="leading zero bits of each step of the proof of work (17)")
    number("--workers", default=2, help="worker processes; 0 is one a core (2)")
    redis_url = os.environ.get("REDIS_URL", "")
    told = "a Redis to use instead of an own one; what an earlier demo left in it goes (REDIS_URL)"
    parser.add_argument("--redis-url", default=redis_url, metavar="URL", help=told)
    parser.add_argument("--dir", type=Path, default=Path(".demo"), metavar="DIR", help="where it keeps all (.demo)")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Run until a signal, on settings that stand in the folder to be read."""
    folder = DemoFolder(asked.dir.absolute())
    _check(asked)
    clock = SystemClock()
    with folder.claimed():
        coming_up_s = min(max(_COMING_UP_S, _AT_ONCE * _took_s()), _LONGEST_COMING_UP_S)
        folder.write(_wishes(asked), till=free_loopback(), now_ms=clock.now_ms() + round(coming_up_s * 1000))
        environment = {name: value for name, value in os.environ.items() if name not in {SECRET_VARIABLE, "REDIS_URL"}}
        config = read(folder.config, environment)
        logs.setup("WARNING")
        installation = Installation(
            file=folder.config,
            config=config,
            keys=read_secrets(environment, config.secrets.file),
            environment=environment,
            console_token=console_token(config, environment),
            counts=folder.counts,
            gateway=free_loopback(),
            output=folder.log,
        )
        demo = _Demo(installation, folder, clock)
        try:
            asyncio.run(demo.run(asked.crowd))
        except ConfigFault as fault:
            raise ConfigFault([*fault.faults, *(f"  {line}" for line in folder.last_words())]) from fault
    return 0


def _check(asked: argparse.Namespace) -> None:
    """Refuse what the settings would not catch in words of the command line."""
    faults = []
    if not 0 <= asked.opens_in <= 86_400:
        faults.append(f"--opens-in: must be from 0 to 86400 seconds, and is {asked.opens_in:g}")
    faults += [
        f"--{name.replace('_', '-')}: must be from 0 to {most}, and is {getattr(asked, name)}"
        for name, most in (("crowd", 20_000), ("stock", 1_000_000), ("workers", 256))
        if not 0 <= getattr(asked, name) <= most
    ]
    if faults:
        raise ConfigFault(faults)


def _wishes(asked: argparse.Namespace) -> Wishes:
    return Wishes(
        port=asked.port,
        ops_port=asked.ops_port,
        opens_in_s=asked.opens_in,
        stock=asked.stock,
        rate=asked.rate,
        cap=asked.cap,
        difficulty=asked.difficulty,
        workers=asked.workers,
        redis_url=asked.redis_url,
    )


def _took_s() -> float:
    """Return how long this process has lived: the only measure at hand of how busy the machine is."""
    try:
        uptime = Path("/proc/uptime").read_text("ascii").split()[0]
        began_ticks = Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()[19]
        return float(uptime) - int(began_ticks) / os.sysconf("SC_CLK_TCK")
    except OSError:
        return 0.0  # no Linux


class _Demo:
    """One run of the demo."""

    def __init__(self, installation: Installation, folder: DemoFolder, clock: Clock) -> None:
        self._installation = installation
        self._folder = folder
        self._clock = clock
        self._console = Console(highlight=False, soft_wrap=True)

    async def run(self, crowd: int) -> None:
        if url := self._installation.config.redis.url:
            await _begin_anew(url)
        await supervise(self._installation, self._meanwhile, more=[self._crowd(crowd)] if crowd else [])

    def _crowd(self, members: int) -> Program:
        arguments = ("-c", str(self._folder.config), "--members", str(members), "--page", PAGE, "--sku", SKU)
        argv = (sys.executable, "-m", "waitroom", "_crowd", *arguments)
        environment = {name: value for name, value in self._installation.plain().items() if name != FOLDER}
        return Program(
            "crowd", argv, environment, Tier.CROWD, drain_s=_CROWD_DRAIN_S, is_once=True, output=self._folder.log
        )

    async def _meanwhile(self) -> None:
        shop, console = reached_at(self._installation.config), console_at(self._installation.config)
        till = self._installation.config.upstreams[0].url
        for url in (f"{till}/sales/{ROOM}", f"{shop}/.waitroom/readyz", f"{console}/healthz"):
            await self._come_up(url)
        token = self._installation.console_token
        for name, value in (
            ("shop", f"{shop}{PAGE}"),
            ("console", console),
            ("token", token),
            ("log", str(self._folder.log)),
            ("stop", f"Ctrl-C, or kill {os.getpid()}"),
        ):
            self._console.print(Text.assemble((f"{name:<9}", "dim"), value))
        try:
            await Watch(shop, console, token, ROOM, ROOM).show(self._clock, self._console)
        finally:
            self._console.print("stopping; a second Ctrl-C does not wait for anybody")

    async def _come_up(self, url: str) -> None:
        for _ in range(_UP_TRIES):
            if await answers(url, self._clock):
                return
            print(f"{url} does not answer yet; still trying", file=sys.stderr, flush=True)
        told = "\n  ".join(
            [f"{url} does not answer; the last words in {self._folder.log} are", *self._folder.last_words()]
        )
        raise WaitroomError(told)


async def _begin_anew(url: str) -> None:
    """Drop what an earlier demo left in a Redis that is not ours; nothing else there is touched."""
    async with connected(RedisSettings(url, timeout_ms=_REDIS_LIMIT_MS)) as runner:
        await runner.check()
        for pattern in (f"wr:{{{ROOM}:*", f"inv:{{{ROOM}:*"):
            async for key in runner.client.scan_iter(match=pattern, count=1000):
                await runner.client.unlink(key)
