"""`waitroom serve` refuses before it starts what could not run, with words."""

import argparse
import asyncio
import os
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from waitroom import config
from waitroom.cli import serve
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.units import Address

ROOM = '[[upstreams]]\nname = "shop"\nurl = "http://127.0.0.1:9"\n[[rooms]]\nname = "drop"\npaths = ["/"]\n'


def settings(**tables: object) -> config.Config:
    upstreams = [{"name": "shop", "url": "http://127.0.0.1:9"}]
    return config.build({"rooms": [{"name": "drop", "paths": ["/"]}], "upstreams": upstreams, **tables}, {})


def asked(tmp_path: Path, text: str, *, workers: int | None = None) -> argparse.Namespace:
    file = tmp_path / "waitroom.toml"
    file.write_text(text)
    return argparse.Namespace(config=file, workers=workers)


def test_a_production_start_without_a_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAITROOM_SECRET", raising=False)

    with pytest.raises(ConfigFault, match=r"^secret: none is set\."):
        serve.run(asked(tmp_path, ROOM))


def test_every_fault_of_the_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault) as refused:
        serve.run(asked(tmp_path, '[edge]\nworkers = -1\n[[rooms]]\nname = "drop"\n'))

    assert [fault.partition(":")[0] for fault in refused.value.faults] == [
        "edge.workers",
        "upstreams",
        "rooms[0].paths",
    ]


def test_both_taken_ports_are_told_at_once() -> None:
    with socket.socket() as one, socket.socket() as two:
        listens = {}
        for name, other in (("edge.listen", one), ("ops.listen", two)):
            other.bind(("127.0.0.1", 0))
            other.listen()
            listens[name] = Address("127.0.0.1", other.getsockname()[1])

        with pytest.raises(ConfigFault) as refused:
            serve.take_ports(listens)

    assert [fault.partition(":")[0] for fault in refused.value.faults] == ["edge.listen", "ops.listen"]


def test_a_taken_port_stops_the_start_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITROOM_SECRET", "s" * 32)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port, ops = other.getsockname()[1], free_loopback()
        text = f'[edge]\nlisten = "127.0.0.1:{port}"\n[ops]\nlisten = "{ops}"\n'

        with pytest.raises(ConfigFault, match=rf"^edge\.listen: 127\.0\.0\.1:{port} is taken"):
            serve.run(asked(tmp_path, text + ROOM))


def test_the_number_of_workers_can_be_given_and_is_bounded() -> None:
    assert serve.with_workers(settings(), 3).edge.workers == 3
    with pytest.raises(ConfigFault, match="--workers: must be from 0 to 256, and is 1000"):
        serve.with_workers(settings(), 1000)


def test_the_console_token_comes_from_the_environment_first(tmp_path: Path) -> None:
    found = settings(secrets={"console_token_file": str(tmp_path / "token")})

    assert serve.console_token(found, {"WAITROOM_CONSOLE_TOKEN": "given-by-somebody"}) == "given-by-somebody"
    assert not (tmp_path / "token").exists()


def test_the_console_token_is_written_once_for_its_owner_alone(tmp_path: Path) -> None:
    found = settings(secrets={"console_token_file": str(tmp_path / "token")})

    first = serve.console_token(found, {})

    assert len(first) >= 32
    assert serve.console_token(found, {}) == first
    assert (tmp_path / "token").stat().st_mode & 0o777 == 0o600


def test_a_console_token_that_others_may_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t" * 32)
    (tmp_path / "token").chmod(0o644)

    with pytest.raises(ConfigFault, match="others may read it"):
        serve.console_token(settings(secrets={"console_token_file": str(tmp_path / "token")}), {})


def test_without_a_file_the_console_token_is_new_each_time() -> None:
    assert serve.console_token(settings(), {}) != serve.console_token(settings(), {})


async def test_a_site_is_up_once_it_says_so() -> None:
    asked_times = []

    async def ready(request: web.Request) -> web.Response:
        asked_times.append(request.path)
        return web.Response(status=503 if len(asked_times) < 3 else 200)

    app = web.Application()
    app.router.add_get("/.waitroom/readyz", ready)
    async with TestServer(app) as server:
        assert await serve.answers(str(server.make_url("/.waitroom/readyz")), SystemClock())

    assert len(asked_times) == 3


@pytest.mark.parametrize(
    ("listen", "reached"),
    [("0.0.0.0:80", "http://127.0.0.1:80"), ("[::]:80", "http://[::1]:80"), ("10.0.0.1:80", "http://10.0.0.1:80")],
)
def test_who_listens_everywhere_is_reached_here(listen: str, reached: str) -> None:
    assert serve.reached_at(settings(edge={"listen": listen})) == reached


@pytest.mark.journey
async def test_a_room_serves_until_it_is_told_to_stop_and_tells_no_secret(tmp_path: Path) -> None:
    edge, ops = free_loopback(), free_loopback()
    file = tmp_path / "waitroom.toml"
    with tempfile.TemporaryDirectory(prefix="wr-") as folder:
        tables = f'[edge]\nlisten = "{edge}"\n[ops]\nlisten = "{ops}"\n[redis]\nfolder = "{folder}/valkey"\n'
        file.write_text(f'{tables}[secrets]\nconsole_token_file = "token"\n{ROOM}')
        argv = (sys.executable, "-m", "waitroom", "serve", "-c", str(file), "--workers", "2")
        environment = os.environ | {"WAITROOM_SECRET": "s" * 32}
        serving = await asyncio.create_subprocess_exec(*argv, env=environment, stdout=asyncio.subprocess.PIPE)
        assert serving.stdout is not None
        async with asyncio.timeout(60):
            said = [(await serving.stdout.readline()).decode().strip() for _ in range(3)]

        serving.terminate()
        async with asyncio.timeout(60):
            rest, _ = await serving.communicate()

    token = (tmp_path / "token").read_text().strip()
    assert serving.returncode == 0
    assert said[:2] == [f"shop     http://{edge}", f"console  http://{ops}"]
    assert token not in "".join(said) + rest.decode()
