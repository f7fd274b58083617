"""`waitroom demo` is up in seconds, sells to its crowd, survives, and leaves nothing behind."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.conftest import eventually
from waitroom.__main__ import main
from waitroom.kernel.ports import free_loopback


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder whose path a Unix socket can have."""
    with tempfile.TemporaryDirectory(prefix="wr-") as made:
        yield Path(made) / "demo"


@pytest.fixture
def ports() -> tuple[int, int]:
    return free_loopback().port, free_loopback().port


@asynccontextmanager
async def demo(folder: Path, ports: tuple[int, int], *options: str) -> AsyncIterator[Process]:
    """Run a demo while the block lasts; it is over, with all its processes, after it."""
    argv = [sys.executable, "-m", "waitroom", "demo", "--dir", str(folder)]
    argv += ["--port", str(ports[0]), "--ops-port", str(ports[1]), "--workers", "1", *options]
    process = await asyncio.create_subprocess_exec(*argv, stdout=PIPE, cwd=Path(__file__).parents[3])
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
        assert not children_of(folder)


def children_of(folder: Path) -> list[str]:
    """Return the processes whose command line names `folder`."""
    found = []
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = one.read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in line and int(one.parent.name) != os.getpid():
                found.append(line)
    return found


def read(url: str) -> dict[str, object]:
    """Return a JSON document, or nothing where it cannot be had."""
    with suppress(OSError, urllib.error.URLError), urllib.request.urlopen(url, timeout=2) as answer:
        found: dict[str, object] = json.load(answer)
        return found
    return {}


def left(port: int) -> int | None:
    """Return how many sneakers can still be had."""
    skus = read(f"http://127.0.0.1:{port}/sales/drop").get("skus")
    return skus[0]["available"] if isinstance(skus, list) else None


async def head_of(process: Process) -> dict[str, str]:
    """Return what the demo says once it is up."""
    assert process.stdout is not None
    async with asyncio.timeout(60):
        lines = [(await process.stdout.readline()).decode() for _ in range(5)]
    return dict(line.split(maxsplit=1) for line in lines)


@pytest.mark.journey
async def test_a_crowd_buys_while_processes_die(folder: Path, ports: tuple[int, int]) -> None:
    options = ("--opens-in", "1", "--crowd", "30", "--stock", "8", "--rate", "6000")
    async with demo(folder, ports, *options) as process:
        told = await head_of(process)
        assert told["shop"].strip() == f"http://127.0.0.1:{ports[0]}/drop/"
        assert told["stop"].strip().endswith(str(process.pid))
        worker = next(line for line in children_of(folder) if " _worker " in line)
        assert str(folder) in worker

        await eventually(lambda: (left(ports[0]) or 8) < 8)
        for name in (" _worker ", "inventory_backend -c"):
            os.kill(pid_of(folder, name), signal.SIGKILL)
        await eventually(lambda: left(ports[0]) == 0)

        process.terminate()
        async with asyncio.timeout(60):
            assert await process.wait() == 0
    assert not children_of(folder)


@pytest.mark.journey
async def test_a_demo_that_is_killed_takes_everything_with_it(folder: Path, ports: tuple[int, int]) -> None:
    async with demo(folder, ports, "--crowd", "0") as process:
        await head_of(process)

        process.kill()

        await eventually(lambda: not children_of(folder))


@pytest.mark.journey
async def test_a_second_run_is_a_fresh_sale_with_the_same_token(folder: Path, ports: tuple[int, int]) -> None:
    tokens: list[str] = []
    stock: list[int | None] = []
    for options in (("--opens-in", "0.1", "--crowd", "20", "--stock", "3", "--rate", "6000"), ("--crowd", "0")):
        async with demo(folder, ports, *options) as process:
            tokens.append((await head_of(process))["token"])
            if not stock:
                await eventually(lambda: (left(ports[0]) or 0) < 3)
            stock.append(left(ports[0]))

    assert tokens[0] == tokens[1]
    assert stock[1] == 100


async def test_a_taken_port_is_told_before_anything_starts(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        status = await asyncio.to_thread(main, ["demo", "--dir", str(folder), "--port", str(port), "--ops-port", "0"])

    assert status == 2
    assert f"edge.listen: 127.0.0.1:{port} is taken by another program" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (["--opens-in", "-1"], "--opens-in: must be from 0 to 86400 seconds, and is -1"),
        (["--crowd", "-5"], "--crowd: must be from 0 to 20000, and is -5"),
        (["--rate", "0"], "rooms[0].new_users_per_minute"),
        (["--difficulty", "99"], "rooms[0].challenge.difficulty"),
        (["--port", "99999"], "edge.listen"),
    ],
)
def test_a_bad_option_is_refused_with_words(
    folder: Path, capsys: pytest.CaptureFixture[str], options: list[str], fault: str
) -> None:
    assert main(["demo", "--dir", str(folder), *options]) == 2
    assert capsys.readouterr().err.startswith(fault)


def test_the_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["demo", "--help"])

    told = capsys.readouterr().out
    options = "port ops-port opens-in crowd stock rate cap difficulty workers redis-url dir"
    assert [name for name in options.split() if f"--{name} " not in told] == []


def pid_of(folder: Path, name: str) -> int:
    """Return the process of the demo whose command line holds `name`."""
    for one in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = one.read_bytes().replace(b"\0", b" ").decode()
            if str(folder) in line and name in line:
                return int(one.parent.name)
    raise AssertionError(f"no process {name}")
