"""Write down what this process remembers of its rooms, for the day when Redis and every process lose their memory."""

import asyncio
import logging
import os
import tempfile
from pathlib import Path

from waitroom.kernel.tasks import Loop
from waitroom.store.memories import as_text, memories_of
from waitroom.store.rooms import Rooms

log = logging.getLogger(__name__)

_LONGEST_BYTES = 16 * 1024 * 1024
_PERIOD_S = 1.0
_LIMIT_S = 5.0


class Rememberer:
    """Keeps one small file, mode 0600, replaced as a whole."""

    def __init__(self, rooms: Rooms, path: Path | None) -> None:
        """Write what `rooms` remember into `path`; None: keep no file."""
        self._rooms = rooms
        self._path = path or Path(os.devnull)
        self._is_off = path is None
        self._written = ""
        self._is_failing = False

    def loops(self) -> list[Loop]:
        """Return what must run while the process does."""
        return [] if self._is_off else [Loop("state file", self.step, _PERIOD_S, _LIMIT_S)]

    def recall(self) -> None:
        """Give the rooms what the file holds, before their first tick; a broken file holds nothing."""
        try:
            with self._path.open("rb") as file:
                found = memories_of(file.read(_LONGEST_BYTES))
        except FileNotFoundError:  # the first run
            return
        except OSError as fault:
            log.warning("state file not read", extra={"path": str(self._path), "reason": fault.strerror})
            return
        for name in set(self._rooms.names()) & set(found):
            self._rooms.remember(name, found[name])

    async def step(self) -> None:
        """Write the file anew, if anything changed."""
        memories = {name: memory for name in self._rooms.names() if (memory := self._rooms.memory(name))}
        text = as_text(memories)
        if text == self._written:
            return
        try:
            await asyncio.to_thread(self._write, text)
        except OSError as fault:
            if not self._is_failing:  # once, not once a second
                log.warning("state file not written", extra={"path": str(self._path), "reason": fault.strerror})
            self._is_failing = True
            return
        self._written, self._is_failing = text, False

    def _write(self, text: str) -> None:
        """Put a whole file in the place of the old one: a crash in between leaves the old one."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=self._path.parent, prefix=f".{self._path.name}-")  # mode 0600
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(handle)
            Path(fresh).replace(self._path)
        except BaseException:
            Path(fresh).unlink(missing_ok=True)
            raise
