"""Processes are kept alive, stop in order, and never outlive who started them."""

import asyncio
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
import redis as plain_redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.conftest import eventually
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import ConfigFault, WaitroomError
from waitroom.kernel.ports import listening
from waitroom.kernel.units import Address
from waitroom.supervisor import Program, Renewed, Supervisor, Tier

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


SERVES = LIVES.replace(
    'note("started")',
    """
def hang_up(*_):
    note("hung-up")
signal.signal(signal.SIGHUP, hang_up)
note("started")
os.write(int(os.environ["WAITROOM_READY_FD"]), b".")
""",
).replace("time.sleep(600)", "while True: time.sleep(600)")
DIES = LIVES.replace("time.sleep(600)", "sys.exit(1)")


def serving(book: Path, name: str, source: str = SERVES) -> Program:
    return replace(program(book, name, source=source), tells_ready=True)


@asynccontextmanager
async def renewing(*programs: Program, wanted: Callable[[], Renewed | None]) -> AsyncIterator[Supervisor]:
    supervised = Supervisor(programs, clock=SystemClock(), renew=wanted)
    async with running(supervised):
        yield supervised


async def test_on_a_hangup_what_changed_is_replaced_and_the_new_one_serves_before_the_old_one_ends(book: Path) -> None:
    till, taken_over = program(book, "till", tier=Tier.TILL), []
    new = [till, serving(book, "edge", SERVES + "#"), serving(book, "more")]
    before = [till, serving(book, "edge"), serving(book, "surplus")]
    async with renewing(*before, wanted=lambda: (new, lambda: taken_over.append(True))):
        await eventually(lambda: len(told(book, "started")) == 3)
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: sorted(told(book, "stopped")) == ["edge", "surplus"])

        assert sorted(told(book, "started")) == ["edge", "edge", "more", "surplus", "till"]
        assert taken_over == [True]
        words = [line.split()[:2] for line in book.read_text().splitlines()]
        assert words.index(["edge", "stopped"]) > max(n for n, word in enumerate(words) if word == ["edge", "started"])
    assert not any(is_alive(pid) for pid in pids(book))


async def test_what_does_not_come_up_changes_nothing(book: Path, caplog: pytest.LogCaptureFixture) -> None:
    before = [serving(book, "one"), serving(book, "two")]
    new = [serving(book, "one", SERVES + "#"), serving(book, "two", DIES)]
    async with renewing(*before, wanted=lambda: (new, lambda: pytest.fail("taken over"))) as supervised:
        await eventually(lambda: all(keeper.is_up for keeper in supervised._keepers))
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: told(book, "stopped").count("one") == 2)

        await eventually(lambda: len(supervised._keepers) == 2)
        assert all(keeper.program in before for keeper in supervised._keepers)
        assert "two" not in told(book, "stopped")
        assert "new settings refused, the old ones go on" in caplog.text


async def test_settings_that_are_wrong_are_told_and_the_next_may_be_right(
    book: Path, caplog: pytest.LogCaptureFixture
) -> None:
    answers: list[Renewed | ConfigFault | None] = [ConfigFault(["rooms: is missing"]), None]

    def wanted() -> Renewed | None:
        answer = answers.pop(0)
        if isinstance(answer, ConfigFault):
            raise answer
        return answer

    async with renewing(serving(book, "edge"), wanted=wanted) as supervised:
        await eventually(lambda: all(keeper.is_up for keeper in supervised._keepers))
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: "new settings refused" in caplog.text)
        assert told(book, "hung-up") == []
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: told(book, "hung-up") == ["edge"])

        assert told(book, "started") == ["edge"]


async def test_the_end_may_come_while_something_is_replaced(book: Path) -> None:
    silent = serving(book, "edge", LIVES)
    async with renewing(serving(book, "edge"), wanted=lambda: ([silent], lambda: None)):
        await eventually(lambda: len(told(book, "started")) == 1)
        os.kill(os.getpid(), signal.SIGHUP)
        await eventually(lambda: len(told(book, "started")) == 2)
    assert not any(is_alive(pid) for pid in pids(book))


async def test_sockets_that_programs_share_are_closed_before_they_stop(book: Path) -> None:
    (shared,) = listening(Address("127.0.0.1", 0), setting="edge.listen")
    supervised = Supervisor([program(book, "edge")], clock=SystemClock(), shared=[shared])
    async with running(supervised):
        await eventually(lambda: len(told(book, "started")) == 1)

    assert shared.fileno() == -1
