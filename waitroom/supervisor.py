"""Keep the processes of one installation alive, and stop them in an order that lets shoppers finish.

Each program is a process of its own. One that dies is started again, sooner or later by how long it lived. On SIGTERM
the tiers stop one after the other, visitors' side first, so that what is in flight still reaches what it needs; the
embedded Redis stops last. Whatever happens to this process, nothing it started outlives it (kernel/lifeline.py).

On SIGHUP the settings are read again, and each program that they change is replaced: the new one serves before the old
one is told to finish, on the same socket, so that nobody finds the door closed. Settings that are wrong change nothing.
"""

import asyncio
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import groupby

from waitroom.keeping import Keeper, Program, Tier, pause_s
from waitroom.kernel.clock import Clock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import ConfigFault, WaitroomError

__all__ = ["Program", "Renewed", "Supervisor", "Tier", "pause_s"]

Renewed = tuple[Sequence[Program], Callable[[], None]]
"""What to run now, and what to call once it runs."""
Renew = Callable[[], Renewed | None]
"""Reads the settings again; None: they are as they were, and only files that programs read by themselves may be new."""

log = logging.getLogger(__name__)

_REFUSED = "new settings refused, the old ones go on"
_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """Start, watch, restart and stop a set of programs."""

    def __init__(
        self,
        programs: Sequence[Program],
        *,
        clock: Clock,
        embedded: EmbeddedServer | None = None,
        shared: Sequence[socket.socket] = (),
        renew: Renew | None = None,
    ) -> None:
        """Keep `programs`, and below all of them the embedded Redis, where there is one; nothing starts yet.

        The `shared` sockets are those on which programs listen together: whoever of them dies, restarts or is replaced,
        what waits in their queue waits for the others. They are closed when everything stops.
        """
        self._shared = shared
        self._renew = renew
        self._hung_up = asyncio.Event()
        self._stopping = asyncio.Event()
        self._faults: list[str] = []
        self._failure: WaitroomError | None = None
        self._embedded = embedded
        self._clock = clock
        self._keepers = [Keeper(program, clock, self._give_up) for program in programs]
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
            renewing = partial(self._heed_hangups, group)
            beside = [group.create_task(self._beside(renewing), name="renew")]
            beside.append(group.create_task(self._beside(meanwhile), name="meanwhile"))
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

    async def _heed_hangups(self, group: asyncio.TaskGroup) -> None:
        while True:
            await self._hung_up.wait()
            self._hung_up.clear()
            try:
                renewed = self._renew() if self._renew else None
            except ConfigFault as fault:
                log.error(_REFUSED, extra={"faults": fault.faults})  # noqa: TRY400  # the faults say it all
                continue
            if renewed is None:
                log.info("settings unchanged, files are read again")
                for keeper in self._keepers:
                    keeper.hang_up()
            elif await self._roll(group, {program.name: program for program in renewed[0]}):
                renewed[1]()
                log.info("settings taken over")

    async def _roll(self, group: asyncio.TaskGroup, wanted: Mapping[str, Program]) -> bool:
        """Replace what is to change, one after the other; if a new one does not come up, put back what was."""
        before = [keeper for keeper in self._keepers if keeper.program.tells_ready]
        changed = [keeper for keeper in before if wanted.get(keeper.program.name) != keeper.program]
        known = {keeper.program.name for keeper in before}
        more = [one for name, one in wanted.items() if name not in known and one.tells_ready]
        done: list[Program] = []
        for program in [*(wanted[name] for keeper in changed if (name := keeper.program.name) in wanted), *more]:
            if not await self._replace(group, program):
                log.error(_REFUSED, extra={"program": program.name})
                for old in (keeper.program for keeper in changed if keeper.program.name in {one.name for one in done}):
                    await self._replace(group, old)
                return False
            done.append(program)
        for keeper in changed:
            if keeper.program.name not in wanted:
                self._retire(group, keeper)
        return True

    async def _replace(self, group: asyncio.TaskGroup, program: Program) -> bool:
        """Begin `program`, and once it serves let the one of its name finish; False if it did not come up."""
        old = [keeper for keeper in self._keepers if keeper.program.name == program.name]
        new = Keeper(program, self._clock, lambda _: None)
        self._keepers.append(new)
        self._keepers.sort(key=lambda keeper: keeper.program.tier)
        group.create_task(new.keep(), name=program.name)
        if not await new.came_up():
            await new.stop()
            self._keepers.remove(new)
            return False
        for keeper in old:
            self._retire(group, keeper)
        return True

    def _retire(self, group: asyncio.TaskGroup, keeper: Keeper) -> None:
        async def retire() -> None:
            await keeper.stop()
            self._keepers.remove(keeper)

        group.create_task(retire(), name=f"retire {keeper.program.name}")

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
                renews = number is signal.SIGHUP and self._renew is not None
                if number is signal.SIGHUP and not renews and signal.getsignal(number) is signal.SIG_IGN:
                    continue  # nohup: the terminal may go, we stay
                loop.add_signal_handler(number, self._hung_up.set if renews else self.stop)
                undo.callback(loop.remove_signal_handler, number)
            yield
