"""Keep one program running: start it again when it dies, sooner or later by how long it lived, until it is stopped."""

import asyncio
import logging
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from waitroom.kernel.clock import Clock
from waitroom.kernel.lifeline import tied
from waitroom.kernel.metrics import forget_process

log = logging.getLogger(__name__)

CONFIG_FAULT_STATUS = 2
"""With this status a program says that its settings are wrong: starting it again would not help."""
READY_VARIABLE = "WAITROOM_READY_FD"
"""The open file into which a program writes one byte once it serves."""

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 5.0
_HEALTHY_S = 60.0
_SETTLED_S = 10.0
_COMING_UP_S = 120.0
_CONFIG_FAULTS = 3
_APPEND = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


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
    tells_ready: bool = False  # it says when it serves, so that another can take its place


def pause_s(before_s: float, lived_s: float) -> float:
    """Return how long to wait before the next start: it doubles, and begins anew after a healthy minute."""
    if before_s == 0 or lived_s >= _HEALTHY_S:
        return _FIRST_PAUSE_S
    return min(2 * before_s, _LONGEST_PAUSE_S)


class Keeper:
    """Keep one program: at any time at most one process of it lives."""

    def __init__(self, program: Program, clock: Clock, give_up: Callable[[str], None]) -> None:
        """Keep `program`; call `give_up` with the reason when it refuses its settings. Nothing starts yet."""
        self.is_up = False
        self._has_tried = asyncio.Event()
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

    async def came_up(self) -> bool:
        """Return True once the program says that it serves, False when its first process ended before that."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_COMING_UP_S):
                await self._has_tried.wait()
        return self.is_up

    def hang_up(self) -> None:
        """Let the program read its files again, if it serves: before that the signal would end it."""
        if self.is_up:
            self.signal(signal.SIGHUP)

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
            self._has_tried.set()
            return None
        if self._stopping.is_set():  # the order to stop came while it started
            self.signal(signal.SIGTERM)
        log.info("process started", extra={"program": self.program.name, "pid": self._process.pid})
        status = await self._process.wait()
        self.is_up = False
        self._has_tried.set()
        forget_process(self._process.pid)
        return status

    async def _start(self) -> asyncio.subprocess.Process:
        output = None if self.program.output is None else os.open(self.program.output, _APPEND, 0o600)
        hears, tells = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *self.program.argv,
                env={**self.program.environment, READY_VARIABLE: str(tells)},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the terminal is for us: we stop them in order
                preexec_fn=tied(),
                pass_fds=(*self.program.inherits, tells),
            )
        except BaseException:
            os.close(hears)
            raise
        else:
            asyncio.get_running_loop().add_reader(hears, self._hear, hears)
            return process
        finally:
            os.close(tells)
            if output is not None:
                os.close(output)

    def _hear(self, hears: int) -> None:
        """Note that the program serves; an end without a word is one of the process, and noted there."""
        if os.read(hears, 1):
            self.is_up = True
            self._has_tried.set()
        asyncio.get_running_loop().remove_reader(hears)
        os.close(hears)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
