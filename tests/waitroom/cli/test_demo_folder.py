"""The demo's folder: fresh state at each run, the same secrets, nobody else's files."""

import os
from pathlib import Path

import pytest

from waitroom import config
from waitroom.cli.demo_folder import DemoFolder, Wishes
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.units import Address
from waitroom.rules.challenges import Terms

NOW_MS = 1_700_000_000_000
TILL = Address("127.0.0.1", 9000)


def wishes(**changes: object) -> Wishes:
    asked: dict[str, object] = {
        "port": 18080,
        "ops_port": 18081,
        "opens_in_s": 8.0,
        "stock": 20,
        "rate": 300.0,
        "cap": 50,
        "difficulty": 12,
        "workers": 1,
        "redis_url": "",
    }
    return Wishes(**(asked | changes))  # type: ignore[arg-type]  # the types stand in `asked`


def begun(path: Path, **changes: object) -> DemoFolder:
    folder = DemoFolder(path)
    with folder.claimed():
        folder.write(wishes(**changes), till=TILL, now_ms=NOW_MS)
    return folder


def test_the_room_is_what_was_wished(tmp_path: Path) -> None:
    found = config.read(begun(tmp_path / "demo").config, {})

    room = found.rooms[0]
    event = room.events[0]
    assert (room.name, room.queueing_method) == ("drop", "random")
    assert room.paths == ("/drop/", "/checkout/", "/sales/drop/waitlist"), "who waits for stock is known by their pass"
    assert (room.new_users_per_minute, room.total_active_users, room.challenge.difficulty) == (300, 50, 12)
    assert (event.prequeue_start_time_ms < NOW_MS, event.event_start_time_ms) == (True, NOW_MS + 8000)
    assert (str(found.edge.listen), str(found.ops.listen)) == ("127.0.0.1:18080", "127.0.0.1:18081")
    assert found.upstreams[0].url == f"http://{TILL}"
    assert Terms(room.challenge.steps, room.challenge.difficulty).steps == 16


def test_a_redis_of_ones_own_is_named_in_the_file(tmp_path: Path) -> None:
    folder = begun(tmp_path / "demo", redis_url="redis://:p%22w@cache:6379/1")

    assert config.read(folder.config, {}).redis.url == "redis://:p%22w@cache:6379/1"


def test_a_second_run_begins_anew_and_keeps_its_secrets(tmp_path: Path) -> None:
    folder = begun(tmp_path / "demo")
    secret = (folder.path / "secret").read_text()
    (folder.path / "ledger.sqlite").write_text("old")
    (folder.redis_folder / "appendonlydir").mkdir(parents=True)
    (folder.redis_folder / "appendonlydir" / "appendonly.aof").write_text("old")
    (folder.redis_folder / "lock").touch()

    with folder.claimed():
        left = sorted(path.name for path in folder.path.iterdir() if path != folder.redis_folder)
        left_of_redis = [path.name for path in folder.redis_folder.iterdir()]

    assert left == ["counts", "demo.log", "inventory.toml", "lock", "secret", "waitroom.toml"]
    assert left_of_redis == ["lock"]
    assert (folder.path / "secret").read_text() == secret


def test_a_deep_folder_has_its_socket_elsewhere(tmp_path: Path) -> None:
    deep = begun(tmp_path.joinpath(*["a-long-name-of-a-folder"] * 5))
    deeper = DemoFolder(deep.path / "deeper")

    socket = EmbeddedServer(deep.redis_folder).socket
    assert len(os.fsencode(socket)) < 107
    assert config.read(deep.config, {}).redis.folder == deep.redis_folder
    assert deep.redis_folder != deeper.redis_folder


def test_everything_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = begun(tmp_path / "demo")

    assert folder.path.stat().st_mode & 0o777 == 0o700
    assert (folder.path / "secret").stat().st_mode & 0o777 == 0o600


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_text("precious")

    with pytest.raises(ConfigFault, match="holds something else than a demo"), DemoFolder(tmp_path).claimed():
        pass

    assert (tmp_path / "ledger.sqlite").read_text() == "precious"


def test_two_demos_do_not_share_a_folder(tmp_path: Path) -> None:
    folder = begun(tmp_path / "demo")

    with folder.claimed(), pytest.raises(ConfigFault, match="another demo runs in"), folder.claimed():
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(ConfigFault, match=r"--dir: .* cannot be used: Not a directory"):
        begun(tmp_path / "file" / "demo")


def test_the_last_words_are_the_end_of_the_log(tmp_path: Path) -> None:
    folder = begun(tmp_path / "demo")
    assert folder.last_words() == []

    folder.log.write_text("\n".join(map(str, range(50))))

    assert folder.last_words(2) == ["48", "49"]
