"""The command of the simulated gateway: what it cannot do is told in a line, before it listens."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

SETTINGS = '[[sales]]\nname = "drop"\nskus = [{ sku = "sneaker", name = "Sneaker", price = 1, total = 1 }]\n'


async def refused(*arguments: str, secret: str = "") -> str:
    """Return the last line of what it says as it refuses to start."""
    environment = {**os.environ, "WAITROOM_SIMULATED_GATEWAY_SECRET": secret}
    command = (sys.executable, "-m", "inventory_backend.payments.simulated_psp", *arguments)
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE, env=environment)
    _, said = await process.communicate()
    assert process.returncode == 2
    assert b"Traceback" not in said
    return said.decode().splitlines()[-1]


async def test_it_refuses_to_listen_for_the_world() -> None:
    assert "this machine only" in await refused("--listen", "0.0.0.0:9100")


async def test_a_taken_port_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"

        assert f"--listen: {taken} is taken by another program" in await refused("--listen", taken)


async def test_a_webhook_without_a_secret_is_no_way_to_start() -> None:
    assert "go together" in await refused("--webhook", "http://127.0.0.1:9/")


@pytest.mark.parametrize(
    ("settings", "more", "secret", "fault"),
    [
        (SETTINGS, (), "", "WAITROOM_SIMULATED_GATEWAY_SECRET is missing"),
        (SETTINGS, ("--webhook", "http://127.0.0.1:9/", "--webhook-secret-file", "x"), "s" * 32, "it tells one"),
    ],
)
async def test_a_till_that_cannot_be_told_is_no_way_to_start(
    tmp_path: Path, settings: str, more: tuple[str, ...], secret: str, fault: str
) -> None:
    (tmp_path / "inventory.toml").write_text(settings)

    assert fault in await refused("--till", str(tmp_path / "inventory.toml"), *more, secret=secret)
