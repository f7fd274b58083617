"""The wheel holds what git tracks and nothing else, and it runs far from the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from waitroom.kernel.ports import free_loopback

ROOT = Path(__file__).parents[2]
MOVED = {"lua/": "waitroom/lua/", "templates/": "waitroom/templates/"}
LEAKS = ["lua/leak.env", "lua/rooms/leak.txt", "templates/gate/leak.html.bak", "waitroom/leak.env", "leak.py"]
START_LIMIT_S = 60
SETTINGS = """
[edge]
listen = "127.0.0.1:{edge}"
workers = 1
[ops]
listen = "127.0.0.1:{ops}"
[redis]
folder = "{redis}"
[[upstreams]]
name = "store"
url = "http://127.0.0.1:9"
[[rooms]]
name = "drop"
paths = ["/drop/"]
"""


def listed(*places: str) -> list[str]:
    """Return the files that git tracks, or would track, under `places`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *places]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted({name for name in names if (ROOT / name).is_file()})


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it where no git says what to leave out, beside files that nobody wants in it."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in listed("waitroom", "inventory_backend", "lua", "templates", "pyproject.toml", "README.md", "LICENSE"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    for name in LEAKS:
        (source / name).write_text("SECRET")
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*build, "--wheel-dir", str(out), str(source)], check=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def elsewhere(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into a fresh environment, which borrows the libraries of ours and nothing of the checkout."""
    home = tmp_path_factory.mktemp("elsewhere")
    venv.create(home / "venv", symlinks=True)
    python = home / "venv/bin/python"
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*install, str(wheel)], check=True)
    # A folder that a .pth names is searched last, and .pth files inside it (the editable checkout) are not read.
    packages = Path(
        subprocess.check_output([python, "-c", "import site; print(site.getsitepackages()[0])"], text=True).strip()
    )
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def run_there(elsewhere: Path, code: str) -> str:
    command = [str(elsewhere / "venv/bin/python"), "-I", "-c", code]
    return subprocess.run(command, cwd=elsewhere, check=True, capture_output=True, text=True).stdout.strip()


def test_it_holds_what_git_tracks(wheel: Path) -> None:
    tracked = listed("waitroom", "inventory_backend", "lua", "templates")
    for old, new in MOVED.items():
        tracked = [new + name.removeprefix(old) if name.startswith(old) else name for name in tracked]

    held = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert sorted(held) == sorted(tracked)


def test_it_carries_its_licence_and_its_command(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        commands = next(archive.read(name).decode() for name in names if name.endswith("entry_points.txt"))

    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert "waitroom = waitroom.__main__:main" in commands


def test_it_finds_its_folders_from_elsewhere(elsewhere: Path) -> None:
    found = run_there(
        elsewhere,
        "from waitroom.kernel.assets import folder;"
        "from waitroom.kernel.pages import Pages;"
        "from waitroom.kernel.scripts import load_script;"
        "Pages().environment.get_template('gate/waiting.html');"
        "print(len(load_script('rooms/join').keys), folder('lua'))",
    )

    count, place = found.split(" ", 1)
    assert int(count) > 0
    assert Path(place).is_relative_to(elsewhere)


def test_it_carries_the_steps_of_the_ledger(elsewhere: Path) -> None:
    heads = run_there(elsewhere, "from inventory_backend.ledger.migrating import steps; print(*steps().get_heads())")

    assert heads.isdigit()


@pytest.fixture
def served(elsewhere: Path, tmp_path: Path) -> Iterator[int]:
    """Run `waitroom serve` from the wheel and give its port once it is ready."""
    port = free_loopback().port
    settings = tmp_path / "waitroom.toml"
    settings.write_text(SETTINGS.format(edge=port, ops=free_loopback().port, redis=elsewhere / "redis"))
    environment = {
        "PATH": os.environ["PATH"],
        "WAITROOM_SECRET": "s" * 32,
    }
    command = [str(elsewhere / "venv/bin/waitroom"), "serve", "-c", str(settings)]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(START_LIMIT_S * 10):
            if server.poll() is None and status_of(port, "/.waitroom/readyz") == 200:
                break
            assert server.poll() is None, (tmp_path / "log").read_text()
            time.sleep(0.1)
        else:
            pytest.fail(f"not ready in {START_LIMIT_S} s: {(tmp_path / 'log').read_text()}")
        yield port
    finally:
        server.terminate()
        server.wait(60)


def answer_of(port: int, path: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def status_of(port: int, path: str) -> int:
    try:
        return answer_of(port, path)[0]
    except (OSError, HTTPException):
        return 0


@pytest.mark.journey
def test_it_serves_the_waiting_page_from_elsewhere(served: int) -> None:
    status, page = answer_of(served, "/.waitroom/drop/wait?return_to=/drop/")

    assert status == 200
    assert "<!doctype html>" in page
    assert "</html>" in page
