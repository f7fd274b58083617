"""Processes are kept alive, stop in order, and never outlive who started them."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import redis as plain_redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import eventually
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import ConfigFault, WaitroomError
from waitroom.supervisor import Program, Supervisor, Tier, pause_s

LIVES = """
import os, signal, sys, time
book = sys.argv[1]
def note(word):
    with open(book, "a") as file:
        file.write(f"{sys.argv[2]} {word} {os.getpid()}\\n")
def stop(*_):
    note("stopped")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
note("started")
time.sleep(600)
"""
IGNORES = LIVES.replace("signal.signal(signal.SIGTERM, stop)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
KILLED = """
import asyncio, os, sys
from tests.waitroom.test_supervisor import IGNORES, program, supervisor
from pathlib import Path
async def forever(): await asyncio.Event().wait()
async def main():
    await supervisor(program(Path(sys.argv[1]), "edge", source=IGNORES)).run(forever)
asyncio.run(main())
"""


def program(
    book: Path, name: str, *, tier: Tier = Tier.EDGE, source: str = LIVES, drain_s: float = 10, is_once: bool = False
) -> Program:
    argv = (sys.executable, "-c", source, str(book), name)
    return Program(name, argv, dict(os.environ), tier, drain_s=drain_s, is_once=is_once)


def supervisor(*programs: Program, embedded: EmbeddedServer | None = None) -> Supervisor:
    return Supervisor(programs, clock=SystemClock(), embedded=embedded)


def told(book: Path, word: str) -> list[str]:
    """Return who wrote `word` into the book, in order."""
    lines = [line.split() for line in book.read_text().splitlines()] if book.exists() else []
    return [name for name, said, _ in lines if said == word]


def pids(book: Path) -> list[int]:
    return [int(line.split()[2]) for line in book.read_text().splitlines() if " started " in line]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def call(server: EmbeddedServer, *command: str) -> object:
    """Return what Redis answers, or None while it is away."""
    never = Retry(NoBackoff(), 0)
    with (
        suppress(plain_redis.RedisError),
        plain_redis.Redis(unix_socket_path=str(server.socket), retry=never) as client,
    ):
        return client.execute_command(*command)
    return None


async def forever() -> None:
    await asyncio.Event().wait()


@asynccontextmanager
async def running(
    supervised: Supervisor, meanwhile: Callable[[], Awaitable[None]] = forever
) -> AsyncIterator[asyncio.Task[None]]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(supervised.run(meanwhile))
        try:
            yield task
        finally:
            supervised.stop()


@pytest.fixture
def book(tmp_path: Path) -> Path:
    return tmp_path / "book"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """Give a folder whose path a Unix socket can have."""
    with tempfile.TemporaryDirectory(prefix="wr-") as folder:
        yield Path(folder)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
async def test_a_process_that_died_is_started_again(book: Path, number: signal.Signals) -> None:
    async with running(supervisor(program(book, "edge"))):
        await eventually(lambda: len(told(book, "started")) == 1)

        os.kill(pids(book)[0], number)

        await eventually(lambda: len(told(book, "started")) == 2)
    assert not any(is_alive(pid) for pid in pids(book))


async def test_visitors_side_stops_first_and_what_it_needs_last(book: Path) -> None:
    tiers = {"till": Tier.TILL, "edge": Tier.EDGE, "gateway": Tier.GATEWAY, "ops": Tier.OPS}
    async with running(supervisor(*(program(book, name, tier=tier) for name, tier in tiers.items()))):
        await eventually(lambda: len(told(book, "started")) == 4)

    assert told(book, "stopped") == ["edge", "ops", "till", "gateway"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_everything(book: Path, number: signal.Signals) -> None:
    supervised = supervisor(program(book, "edge"))
    async with asyncio.TaskGroup() as group:
        group.create_task(supervised.run(forever))
        await eventually(lambda: len(told(book, "started")) == 1)

        os.kill(os.getpid(), number)

    assert told(book, "stopped") == ["edge"]
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


async def test_a_process_that_will_not_drain_is_killed(book: Path) -> None:
    async with running(supervisor(program(book, "edge", source=IGNORES, drain_s=0.1))):
        await eventually(lambda: len(told(book, "started")) == 1)

    assert not is_alive(pids(book)[0])


async def test_a_second_signal_waits_for_nobody(book: Path) -> None:
    supervised = supervisor(program(book, "edge", source=IGNORES, drain_s=600))
    async with running(supervised):
        await eventually(lambda: len(told(book, "started")) == 1)
        supervised.stop()
        await asyncio.sleep(0)
        assert is_alive(pids(book)[0])

    assert not is_alive(pids(book)[0])


async def test_nothing_outlives_a_supervisor_that_is_killed(book: Path) -> None:
    argv = (sys.executable, "-c", KILLED, str(book))
    killed = await asyncio.create_subprocess_exec(*argv, cwd=Path(__file__).parents[2])
    await eventually(lambda: len(told(book, "started")) == 1)

    killed.kill()
    await killed.wait()

    await eventually(lambda: not is_alive(pids(book)[0]))


async def test_a_program_that_refuses_its_settings_ends_everything(book: Path) -> None:
    refusing = program(book, "till", tier=Tier.TILL, source="import sys; sys.exit(2)")

    with pytest.raises(ConfigFault, match=r"^till: refuses its settings; what it said stands in the log above$"):
        await supervisor(refusing, program(book, "edge")).run(forever)

    assert told(book, "started") == told(book, "stopped") == ["edge"]


async def test_a_program_that_cannot_be_found_does_not_stop_the_others(book: Path) -> None:
    missing = Program("till", ("/no/such/program",), {}, Tier.TILL)
    async with running(supervisor(missing, program(book, "edge"))) as task:
        await eventually(lambda: told(book, "started") == ["edge"])

        assert not task.done()


async def test_a_program_that_runs_once_is_not_started_again(book: Path) -> None:
    crowd = program(book, "crowd", tier=Tier.CROWD, source=LIVES.replace("time.sleep(600)", ""), is_once=True)

    async with running(supervisor(crowd, program(book, "edge"))):
        await eventually(lambda: sorted(told(book, "started")) == ["crowd", "edge"])
        await eventually(lambda: not is_alive(pids(book)[0]) or not is_alive(pids(book)[1]))

    assert told(book, "started").count("crowd") == 1


async def test_what_runs_beside_may_end_everything_with_its_reason(book: Path) -> None:
    async def fails() -> None:
        await eventually(lambda: len(told(book, "started")) == 1)
        raise WaitroomError("the site never came up")

    with pytest.raises(WaitroomError, match="the site never came up"):
        await supervisor(program(book, "edge")).run(fails)

    assert told(book, "stopped") == ["edge"]


async def test_output_goes_where_it_was_told(tmp_path: Path) -> None:
    output = tmp_path / "log"
    said = "import sys, time; print('hello', flush=True); print('there', file=sys.stderr); time.sleep(600)"
    speaking = Program("edge", (sys.executable, "-c", said), dict(os.environ), Tier.EDGE, output=output)

    async with running(supervisor(speaking)):
        await eventually(lambda: output.exists() and output.read_text() == "hello\nthere\n")

    assert output.stat().st_mode & 0o777 == 0o600


async def test_the_embedded_redis_is_started_again_with_what_it_held(book: Path, short_folder: Path) -> None:
    server = EmbeddedServer(short_folder)
    async with running(supervisor(program(book, "edge"), embedded=server)):
        await eventually(lambda: len(told(book, "started")) == 1)
        call(server, "CONFIG", "SET", "appendfsync", "always")
        call(server, "SET", "place", "1", "PX", "600000")

        os.kill(server.pid, signal.SIGKILL)

        await eventually(lambda: call(server, "GET", "place") == b"1")
    assert not server.socket.exists()


@pytest.mark.parametrize(
    ("before_s", "lived_s", "waits_s"),
    [(0, 0, 0.2), (0.2, 0, 0.4), (0.4, 59, 0.8), (4.0, 0, 5.0), (5.0, 0, 5.0), (5.0, 60, 0.2)],
)
def test_pauses_double_and_begin_anew_after_a_healthy_minute(before_s: float, lived_s: float, waits_s: float) -> None:
    assert pause_s(before_s, lived_s) == pytest.approx(waits_s)
