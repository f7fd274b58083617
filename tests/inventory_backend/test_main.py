"""The command: `python -m inventory_backend`, as a process of its own."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from tests.till import Shopper
from waitroom.kernel.clock import SystemClock

SECRET = "a-test-secret-that-is-32-bytes-long!"
ROOT = Path(__file__).parents[2]


def settings(folder: Path, port: int, gateway_port: int) -> Path:
    path = folder / "inventory.toml"
    path.write_text(f"""
        [server]
        listen = "127.0.0.1:{port}"
        [redis]
        folder = "r"
        [ledger]
        file = "ledger.db"
        [payments]
        url = "http://127.0.0.1:{gateway_port}"
        poll = "100ms"
        [[sales]]
        name = "drop"
        limit_per_shopper = 2
        skus = [{{ sku = "sneaker", name = "Sneaker", price = 12900, total = 5 }}]
        """)
    return path


async def start(module: str, *arguments: str, **environment: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def till(file: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the till; it is killed at the end if it still runs."""
    process = await start("inventory_backend", "-c", str(file), WAITROOM_SECRET=SECRET)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def ready(session: aiohttp.ClientSession, url: str) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                async with session.get(f"{url}/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientConnectionError:
                pass
            await asyncio.sleep(0.05)


async def test_every_fault_of_the_file_is_told_and_nothing_starts(tmp_path: Path) -> None:
    file = tmp_path / "inventory.toml"
    file.write_text("[server]\nlisten = 1\n[redis]\nurl = 'x'\n")

    process = await start("inventory_backend", "-c", str(file))
    out, err = await process.communicate()

    assert (process.returncode, out) == (2, b"")
    assert [line.partition(b":")[0] for line in err.splitlines()] == [b"server.listen", b"redis.url", b"sales"]


@pytest.mark.parametrize("secret", ["", "too-short-to-be-good"])
async def test_without_a_secret_it_does_not_start(tmp_path: Path, secret: str) -> None:
    process = await start("inventory_backend", "-c", str(settings(tmp_path, 0, 9)), WAITROOM_SECRET=secret)
    _, err = await process.communicate()

    assert process.returncode == 2
    assert b"Traceback" not in err
    assert not secret or secret.encode() not in err


async def test_a_taken_port_is_told_before_a_ledger_is_made(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        process = await start("inventory_backend", "-c", str(settings(tmp_path, port, 9)), WAITROOM_SECRET=SECRET)
        out, err = await process.communicate()

    taken = f"127.0.0.1:{port} is taken by another program; stop that one, or choose another port"
    assert (process.returncode, out, err.decode()) == (2, b"", f"server.listen: {taken}\n")
    assert not list(tmp_path.glob("ledger*"))


async def test_the_ledger_is_migrated_by_command_but_never_to_nothing(tmp_path: Path) -> None:
    file = str(settings(tmp_path, 0, 9).rename(tmp_path / "till.toml"))
    ledger = tmp_path / "ledger.db"
    (tmp_path / "till.toml").write_text(Path(file).read_text().replace('"ledger.db"', f'"{ledger}"'))

    process = await start("inventory_backend", "migrate", "--to", "0001", "-c", file)
    out, err = await process.communicate()
    assert (process.returncode, out, err.count(b"Traceback")) == (0, b"the ledger stands at 0001\n", 0)

    for step, told in (("base", b"take away every order"), ("4711", b"'4711'")):
        process = await start("inventory_backend", "migrate", "--to", step, "-c", file)
        _, err = await process.communicate()
        assert process.returncode == 2
        assert told in err
        assert b"Traceback" not in err


@pytest.mark.journey
async def test_it_sells_drains_and_tells_no_secret(short_folder: Path, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with aiohttp.ClientSession() as session, till(settings(short_folder, unused_tcp_port, 9)) as process:
        await ready(session, url)
        assert (await Shopper(session, url, "alice", SystemClock()).reserve()).status == 201

        process.terminate()
        out, err = await process.communicate()

    assert (process.returncode, out) == (0, b"")
    assert SECRET.encode() not in err
    assert b"Traceback" not in err


@pytest.mark.journey
async def test_killed_in_the_middle_of_a_payment_it_goes_on_after_the_restart(
    short_folder: Path, unused_tcp_port_factory: Callable[[], int]
) -> None:
    port, gateway_port = unused_tcp_port_factory(), unused_tcp_port_factory()
    url, file = f"http://127.0.0.1:{port}", settings(short_folder, port, gateway_port)
    async with aiohttp.ClientSession() as session:
        alice = Shopper(session, url, "alice", SystemClock())
        async with till(file) as process:
            await ready(session, url)
            rid = (await alice.reserve()).body["reservation_id"]
            order = (await alice.commit(rid)).body["order_id"]  # the gateway is not there yet
            process.kill()
            await process.wait()
        psp = await start("inventory_backend.payments.simulated_psp", "--listen", f"127.0.0.1:{gateway_port}")
        try:
            async with till(file):
                await ready(session, url)
                assert (await alice.settled(order, "paid"))["reservation_id"] == rid
                async with session.get(f"http://127.0.0.1:{gateway_port}/v1/payment_intents") as answer:
                    assert [one["status"] for one in (await answer.json())["data"]] == ["succeeded"]
        finally:
            psp.terminate()
            await psp.communicate()
