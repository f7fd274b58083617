"""Keep the processes of one installation alive, and stop them in an order that lets shoppers finish.

Each program is a process of its own. One that dies is started again, sooner or later by how long it lived. On SIGTERM
the tiers stop one after the other, visitors' side first, so that what is in flight still reaches what it needs; the
embedded Redis stops last. Whatever happens to this process, nothing it started outlives it (kernel/lifeline.py).
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from itertools import groupby
from pathlib import Path

from waitroom.kernel.clock import Clock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import ConfigFault, WaitroomError
from waitroom.kernel.lifeline import tied
from waitroom.kernel.metrics import forget_process

log = logging.getLogger(__name__)

CONFIG_FAULT_STATUS = 2
"""With this status a program says that its settings are wrong: starting it again would not help."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_HEALTHY_S = 60.0
_SETTLED_S = 10.0
_CONFIG_FAULTS = 3
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Tier(IntEnum):
    """Who needs whom: a tier uses those below it, so it stops before them."""

    GATEWAY = 0
    TILL = 1
    OPS = 2
    EDGE = 3
    CROWD = 4


@dataclass(frozen=True, slots=True)
class Program:
    """One process to keep: what to run, and how long it may take to stop."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    tier: Tier
    drain_s: float = 10.0
    is_once: bool = False  # it ends when its work is done, and is not started again
    output: Path | None = None  # where it writes; None: where we write
    inherits: tuple[int, ...] = ()  # open files of ours that it gets: the sockets on which it listens


def pause_s(before_s: float, lived_s: float) -> float:
    """Return how long to wait before the next start: it doubles, and begins anew after a healthy minute."""
    if before_s == 0 or lived_s >= _HEALTHY_S:
        return _FIRST_PAUSE_S
    return min(2 * before_s, _LONGEST_PAUSE_S)


class Supervisor:
    """Start, watch, restart and stop a set of programs."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        clock: Clock,
        embedded: EmbeddedServer | None = None,
        shared: Sequence[socket.socket] = (),
    ) -> None:
        """Keep `programs`, and below all of them the embedded Redis, where there is one; nothing starts yet.

        The `shared` sockets are those on which programs listen together: whoever of them dies, restarts or is replaced,
        what waits in their queue waits for the others. They are closed when everything stops.
        """
        self._shared = shared
        self._stopping = asyncio.Event()
        self._faults: list[str] = []
        self._failure: WaitroomError | None = None
        self._embedded = embedded
        self._clock = clock
        self._keepers = [_Keeper(program, clock, self._give_up) for program in programs]
        self._keepers.sort(key=lambda keeper: keeper.program.tier)

    async def run(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        """Run until a signal asks for the end; a second one waits for nobody. `meanwhile` runs beside the programs.

        Raises:
            ConfigFault: a program refuses its settings, or Redis cannot be started.
            WaitroomError: what `meanwhile` raised.
        """
        with self._signals():
            try:
                if self._embedded is not None:
                    await self._embedded.start()
                await self._attend(meanwhile)
            finally:
                if self._embedded is not None:
                    await self._embedded.stop()
        if self._faults:
            raise ConfigFault(self._faults)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Ask for the end; asked again, it no longer waits for anybody."""
        if self._stopping.is_set():
            for keeper in self._keepers:
                keeper.signal(signal.SIGKILL)
        self._stopping.set()

    async def _attend(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        async with asyncio.TaskGroup() as group:
            for keeper in self._keepers:
                group.create_task(keeper.keep(), name=keeper.program.name)
            beside = [group.create_task(self._beside(meanwhile), name="meanwhile")]
            if self._embedded is not None:
                keeping = partial(self._keep_embedded, self._embedded)
                beside.append(group.create_task(self._beside(keeping), name="redis"))
            try:
                await self._stopping.wait()
            finally:
                for task in beside:
                    task.cancel()
                await self._stop_tiers()

    async def _stop_tiers(self) -> None:
        self._stopping.set()
        for one in self._shared:
            one.close()
        for _, keepers in groupby(reversed(self._keepers), key=lambda keeper: keeper.program.tier):
            async with asyncio.TaskGroup() as group:
                for keeper in keepers:
                    group.create_task(keeper.stop(), name=f"stop {keeper.program.name}")

    async def _beside(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        try:
            await meanwhile()
        except WaitroomError as failure:
            self._failure = failure
            self.stop()

    async def _keep_embedded(self, server: EmbeddedServer) -> None:
        waited_s, born_s = 0.0, self._clock.tick_s()
        while True:
            status = await server.wait()
            waited_s = pause_s(waited_s, self._clock.tick_s() - born_s)
            log.error("process ended", extra={"program": "redis", "status": status, "again_in_s": waited_s})
            await self._clock.sleep(waited_s)
            born_s = self._clock.tick_s()
            await server.start()  # its limit is generous; where it cannot come back, all ends and says why
            log.info("process started", extra={"program": "redis", "pid": server.pid})

    def _give_up(self, fault: str) -> None:
        self._faults.append(fault)
        self._stopping.set()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        with ExitStack() as undo:
            for number in _SIGNALS:
                if number is signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # nohup: the terminal may go, we stay
                loop.add_signal_handler(number, self.stop)
                undo.callback(loop.remove_signal_handler, number)
            yield


class _Keeper:
    """Keep one program: at any time at most one process of it lives."""

    def __init__(self, program: Program, clock: Clock, give_up: Callable[[str], None]) -> None:
        self.program = program
        self._clock = clock
        self._give_up = give_up
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Run the program, again and again, until `stop`, or until it refuses its settings."""
        waited_s, config_faults, has_settled = 0.0, 0, False
        try:
            while not self._stopping.is_set():
                born_s = self._clock.tick_s()
                status = await self._one_life()
                lived_s = self._clock.tick_s() - born_s
                if self._stopping.is_set() or self.program.is_once:
                    return
                has_settled = has_settled or lived_s >= _SETTLED_S
                config_faults = config_faults + 1 if status == CONFIG_FAULT_STATUS else 0
                if config_faults >= _CONFIG_FAULTS and not has_settled:
                    said_in = self.program.output or "the log above"
                    self._give_up(f"{self.program.name}: refuses its settings; what it said stands in {said_in}")
                    return
                waited_s = pause_s(waited_s, lived_s)
                told = {"program": self.program.name, "status": status, "again_in_s": waited_s}
                log.error("process ended", extra=told)
                await self._pause(waited_s)
        finally:
            self.signal(signal.SIGKILL)  # only a bug leaves one behind here
            self._ended.set()

    async def stop(self) -> None:
        """Ask the process to end; end it when it has not within its drain time."""
        self._stopping.set()
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.program.drain_s):
                await self._ended.wait()
        except TimeoutError:
            log.warning("process did not drain in time", extra={"program": self.program.name})
            self.signal(signal.SIGKILL)
            await self._ended.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send `number` to the process, if one lives."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _one_life(self) -> int | None:
        try:
            self._process = await self._start()
        except OSError as fault:
            log.warning("process cannot be started", extra={"program": self.program.name, "fault": repr(fault)})
            return None
        if self._stopping.is_set():  # the order to stop came while it started
            self.signal(signal.SIGTERM)
        log.info("process started", extra={"program": self.program.name, "pid": self._process.pid})
        status = await self._process.wait()
        forget_process(self._process.pid)
        return status

    async def _start(self) -> asyncio.subprocess.Process:
        output = None if self.program.output is None else os.open(self.program.output, _APPEND, 0o600)
        try:
            return await asyncio.create_subprocess_exec(
                *self.program.argv,
                env=dict(self.program.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the terminal is for us: we stop them in order
                preexec_fn=tied(),
                pass_fds=self.program.inherits,
            )
        finally:
            if output is not None:
                os.close(output)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
