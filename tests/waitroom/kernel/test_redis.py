"""Calls to Redis under every failure: an answer or a plain no in time, and never somebody else's answer."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.errors import ConfigFault, Refused, StoreUnavailable
from waitroom.kernel.redis import RedisSettings, ScriptRunner, answering, connected

QUICK_MS = 500


async def take(runner: ScriptRunner, serial: int) -> int:
    """Make a call whose answer tells which call it belongs to: a fresh meter of that burst has `serial` left."""
    word, left = await runner.run("limits/take", keys=[f"wr:{{limit:{serial}}}"], args=[60, serial + 1, 1, 0])
    assert word == "taken"
    return int(left)


async def look(runner: ScriptRunner, serial: int) -> int:
    """Call likewise, but change nothing, so that it may be made again and again."""
    _, left = await runner.run("limits/take", keys=["wr:{limit:none}"], args=[60, serial, 0, 0])
    return int(left)


async def calls_of(runner: ScriptRunner, command: str) -> int:
    stats = await runner.client.info("commandstats")
    return int(stats.get(f"cmdstat_{command}", {"calls": 0})["calls"])


class Wire:
    """A proxy in front of a real server, which counts the packets on their way and can be cut or held."""

    def __init__(self, server: Path) -> None:
        """Lead to `server`."""
        self.server = server
        self.requests = 0
        self.connections = 0
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._writers: list[asyncio.StreamWriter] = []

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there_reader, there = await asyncio.open_unix_connection(str(self.server))
        self._writers += [writer, there]
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._there(reader, there))
                group.create_task(self._back(there_reader, writer))
        except* OSError:
            pass
        finally:
            writer.close()
            there.close()

    async def _there(self, reader: asyncio.StreamReader, there: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1 << 20):
            self.requests += 1
            there.write(chunk)
        there.close()

    async def _back(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await there.read(1 << 20):
            await self.may_answer.wait()
            writer.write(chunk)
        writer.close()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


@asynccontextmanager
async def listening(
    carry: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    """Give the URL of a socket where `carry` answers."""
    with tempfile.TemporaryDirectory(prefix="wr-") as folder:
        server = await asyncio.start_unix_server(carry, f"{folder}/wire.sock")
        try:
            yield f"unix://{folder}/wire.sock"
        finally:
            server.close()


@pytest.fixture
async def server() -> AsyncIterator[EmbeddedServer]:
    """Give a server of our own to kill."""
    with tempfile.TemporaryDirectory(prefix="wr-") as folder:
        server = EmbeddedServer(Path(folder), append_only=False)
        await server.start()
        yield server
        await server.stop()


async def test_a_call_gets_its_reply(redis: ScriptRunner) -> None:
    assert await take(redis, 7) == 7


async def test_a_command_of_the_client_fails_as_every_call_does() -> None:
    async with connected(RedisSettings("unix:///no/such/socket")) as runner:
        with pytest.raises(StoreUnavailable, match=r"^audit: ConnectionError: "), answering("audit"):
            await runner.client.ping()


async def test_a_thousand_calls_at_once_get_each_their_own_reply_in_few_round_trips(server: EmbeddedServer) -> None:
    wire = Wire(server.socket)
    async with listening(wire.carry) as url, connected(RedisSettings(url, timeout_ms=5000)) as runner:
        await take(runner, 5000)
        before = wire.requests
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take(runner, serial)) for serial in range(1000)]

        assert [task.result() for task in tasks] == list(range(1000))
        # Two batches of up to 512; a batch of 60 KB may take some reads, and each connection greets the server once.
        assert wire.requests - before <= 12
        assert await calls_of(runner, "evalsha") == 1001


async def test_calls_gather_while_all_round_trips_are_under_way(server: EmbeddedServer) -> None:
    wire = Wire(server.socket)
    async with listening(wire.carry) as url, connected(RedisSettings(url, timeout_ms=5000)) as runner:
        await take(runner, 5000)
        wire.may_answer.clear()
        async with asyncio.TaskGroup() as group:
            tasks = []
            for serial in range(200):  # one call an event-loop turn, as requests come in
                tasks.append(group.create_task(take(runner, serial)))
                await asyncio.sleep(0.001)
            under_way = await calls_of_server(server, "evalsha")
            wire.may_answer.set()

        assert [task.result() for task in tasks] == list(range(200))
        assert under_way < 50
        assert wire.connections <= 16


async def calls_of_server(server: EmbeddedServer, command: str) -> int:
    async with connected(RedisSettings(server.url)) as runner:
        return await calls_of(runner, command)


async def test_a_flush_of_scripts_in_the_middle_is_not_noticed(redis: ScriptRunner) -> None:
    for round_ in range(5):
        await redis.client.script_flush()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(take(redis, 100 * round_ + serial)) for serial in range(100)]
            await redis.client.script_flush()

        assert [task.result() for task in tasks] == [100 * round_ + serial for serial in range(100)]


async def test_an_unknown_script_is_sent_whole_once_and_not_for_every_call(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
        async with asyncio.TaskGroup() as group:
            for serial in range(100):
                group.create_task(take(runner, serial))

        assert (await calls_of(runner, "eval"), await calls_of(runner, "evalsha")) == (1, 199)


async def test_a_cancelled_caller_leaves_its_reply_to_nobody(server: EmbeddedServer) -> None:
    """The classic fault of connection pools: the reply to a call that was given up reaches the next caller."""
    wire = Wire(server.socket)
    async with listening(wire.carry) as url, connected(RedisSettings(url, timeout_ms=5000)) as runner:
        for round_ in range(20):
            wire.may_answer.clear()
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(look(runner, serial)) for serial in range(50)]
                for _ in range(round_ // 2):
                    await asyncio.sleep(0)
                for task in tasks[::2]:
                    task.cancel()
                late = [group.create_task(look(runner, serial)) for serial in range(100, 120)]
                await asyncio.sleep(0)
                wire.may_answer.set()

            assert all(task.cancelled() for task in tasks[::2])
            assert [task.result() for task in tasks[1::2]] == list(range(1, 50, 2))
            assert [task.result() for task in late] == list(range(100, 120))


async def test_a_reply_that_comes_too_late_reaches_nobody(server: EmbeddedServer) -> None:
    wire = Wire(server.socket)
    async with listening(wire.carry) as url, connected(RedisSettings(url, timeout_ms=QUICK_MS)) as runner:
        assert await look(runner, 1) == 1
        wire.may_answer.clear()
        with pytest.raises(StoreUnavailable):
            await look(runner, 2)
        wire.may_answer.set()

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look(runner, serial)) for serial in range(10, 60)]
        assert [task.result() for task in tasks] == list(range(10, 60))


async def test_a_caller_who_left_before_the_sending_is_not_sent(redis: ScriptRunner) -> None:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(take(redis, 1))
        other = group.create_task(take(redis, 2))
        await asyncio.sleep(0)  # both wait for the end of the turn
        task.cancel()

    assert other.result() == 2
    assert await redis.client.exists("wr:{limit:1}") == 0


async def test_a_cut_connection_is_not_noticed(server: EmbeddedServer) -> None:
    wire = Wire(server.socket)
    async with listening(wire.carry) as url, connected(RedisSettings(url, timeout_ms=5000)) as runner:
        for serial in range(10):
            assert await look(runner, serial) == serial
            wire.cut()
        assert wire.connections >= 10


async def test_a_killed_server_is_a_plain_no_at_once_and_forgotten_when_it_is_back(server: EmbeddedServer) -> None:
    loop = asyncio.get_running_loop()
    async with connected(RedisSettings(server.url, timeout_ms=60_000)) as runner:
        async with asyncio.TaskGroup() as group:
            for serial in range(10):
                group.create_task(look(runner, serial))
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()

        start_s = loop.time()
        with pytest.raises(StoreUnavailable) as told:
            await look(runner, 1)
        assert loop.time() - start_s < 30
        assert told.value.retry_after_s

        await server.start()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(look(runner, serial)) for serial in range(200)]
        assert [task.result() for task in tasks] == list(range(200))


async def test_no_call_reaches_a_server_that_is_not_admitted(server: EmbeddedServer) -> None:
    met: list[str] = []

    def is_the_first(identity: str) -> bool:
        met.append(identity)
        return identity == met[0]

    async with connected(RedisSettings(server.url, timeout_ms=5000), is_the_first) as runner:
        assert await look(runner, 1) == 1
        assert await runner.identity() == met[0]
        os.kill(server.pid, signal.SIGKILL)
        await server.wait()
        await server.start()

        with pytest.raises(StoreUnavailable, match="another server"):
            await take(runner, 1)
    async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
        assert await runner.identity() == met[-1] != met[0]
        assert await runner.client.dbsize() == 0


async def test_a_kill_in_the_middle_answers_every_caller(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url, timeout_ms=1000)) as runner:

        async def outcome(serial: int) -> str:
            try:
                return "right" if await look(runner, serial) == serial else "wrong"
            except StoreUnavailable:
                return "no"

        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            tasks = []
            for serial in range(2000):
                tasks.append(group.create_task(outcome(serial)))
                if serial % 50 == 0:
                    await asyncio.sleep(0.001)
                if serial == 1000:
                    os.kill(server.pid, signal.SIGKILL)
                if serial == 1500:
                    await server.wait()
                    await server.start()

        outcomes = [task.result() for task in tasks]
        assert "wrong" not in outcomes
        assert outcomes[-1] == "right"


async def test_a_server_that_hangs_is_a_plain_no_in_time(server: EmbeddedServer) -> None:
    loop = asyncio.get_running_loop()
    async with connected(RedisSettings(server.url, timeout_ms=QUICK_MS)) as runner:
        assert await look(runner, 1) == 1
        os.kill(server.pid, signal.SIGSTOP)
        start_s = loop.time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(refused(look(runner, serial))) for serial in range(3000)]
        waited_s = loop.time() - start_s
        os.kill(server.pid, signal.SIGCONT)

        assert all(task.result() for task in tasks)
        assert waited_s < 100 * QUICK_MS / 1000  # not one after the other
        assert await look(runner, 3) == 3


async def refused(call: Awaitable[object]) -> bool:
    try:
        await call
    except StoreUnavailable:
        return True
    return False


async def test_too_many_waiting_calls_are_refused_at_once(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url, timeout_ms=QUICK_MS)) as runner:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(refused(look(runner, serial))) for serial in range(20_100)]

        assert sum(task.result() for task in tasks) >= 100


async def test_nobody_is_left_waiting_when_all_ends(server: EmbeddedServer) -> None:
    os.kill(server.pid, signal.SIGSTOP)
    async with (
        asyncio.timeout(60),
        asyncio.TaskGroup() as group,
        connected(RedisSettings(server.url, timeout_ms=600_000)) as runner,
    ):
        tasks = [group.create_task(refused(look(runner, serial))) for serial in range(3000)]
        await asyncio.sleep(0.01)
    os.kill(server.pid, signal.SIGCONT)

    assert all(task.result() for task in tasks)
    with pytest.raises(StoreUnavailable, match="closed"):
        await look(runner, 1)


async def test_an_error_reply_is_told_to_its_caller_alone(redis: ScriptRunner) -> None:
    await redis.client.set("wr:{limit:none}", "no number")
    async with asyncio.TaskGroup() as group:
        good = [group.create_task(take(redis, serial)) for serial in range(10)]
        bad = group.create_task(refused(look(redis, 1)))
        more = [group.create_task(take(redis, serial)) for serial in range(10, 20)]

    assert bad.result()
    assert [task.result() for task in good + more] == list(range(20))


async def test_a_replica_is_left_for_the_new_primary(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
        assert await take(runner, 1) == 1
        before = await runner.client.client_id()
        await runner.client.replicaof("127.0.0.1", "1")
        with pytest.raises(StoreUnavailable, match="ReadOnly"):
            await take(runner, 2)
        await runner.client.replicaof("NO", "ONE")

        assert await take(runner, 3) == 3
        assert await runner.client.client_id() != before


@pytest.mark.parametrize("bad", ["\ud800", "caf\udcc3"])
async def test_a_visitor_with_broken_bytes_spoils_nobody_elses_call(redis: ScriptRunner, bad: str) -> None:
    async with asyncio.TaskGroup() as group:
        good = [group.create_task(take(redis, serial)) for serial in range(10)]
        with pytest.raises(Refused) as told:
            await redis.run("limits/take", keys=[f"wr:{{limit:{bad}}}"], args=[60, 1, 1, 0])

    assert told.value.status == 400
    assert [task.result() for task in good] == list(range(10))


async def test_a_reply_that_is_no_text_spoils_nobody_elses_call(redis: ScriptRunner) -> None:
    await redis.client.xadd("wr:{a:b}:audit", {"why": b"\xff\xfe"})
    async with asyncio.TaskGroup() as group:
        good = group.create_task(take(redis, 7))
        entries = await redis.client.xrange("wr:{a:b}:audit")

    assert good.result() == 7
    assert entries
    assert entries[0][1] == {"why": "\udcff\udcfe"}


@pytest.mark.parametrize(
    "reply", [b"hello\r\n", b"", b"$-5\r\n", b"*3\r\n+OK\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
async def test_a_server_that_is_no_redis_is_a_plain_no(reply: bytes) -> None:
    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(reply)
            if not reply:
                break
        writer.close()

    async with (
        asyncio.timeout(60),
        listening(carry) as url,
        connected(RedisSettings(url, timeout_ms=QUICK_MS)) as runner,
    ):
        with pytest.raises(StoreUnavailable):
            await runner.check()
        with pytest.raises(StoreUnavailable):
            await runner.run("limits/take", keys=["a"], args=[60, 1, 1, 0])


async def test_numbers_and_texts_arrive_as_they_were(redis: ScriptRunner) -> None:
    for rate in (60, 60.0, 59.99999, 1e-3, 1e21):
        reply = await redis.run("limits/take", keys=["wr:{limit:ä漢🎉 \0\r\n}"], args=[rate, b"3", "0", False])
        assert reply == ["taken", 3]


async def test_a_call_of_another_shape_than_the_header_is_a_bug(redis: ScriptRunner) -> None:
    with pytest.raises(AssertionError, match="takes the keys"):
        await redis.run("limits/take", keys=[], args=[60, 1, 1, 0])
    with pytest.raises(AssertionError, match="takes the arguments"):
        await redis.run("limits/take", keys=["a"], args=[60])


async def test_a_server_that_would_throw_places_away_is_refused(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
        await runner.check()
        await runner.client.config_set("maxmemory-policy", "allkeys-lru")

        with pytest.raises(ConfigFault, match="maxmemory-policy is allkeys-lru; set it to noeviction"):
            await runner.check()


async def test_a_full_server_is_a_plain_no_and_keeps_what_it_has(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
        assert await take(runner, 1) == 1
        await runner.client.config_set("maxmemory", "1")
        with pytest.raises(StoreUnavailable, match="OutOfMemoryError"):
            await take(runner, 2)
        await runner.client.config_set("maxmemory", "0")

        assert await runner.client.exists("wr:{limit:1}") == 1


async def test_a_wrong_password_is_a_plain_no_that_does_not_show_it(server: EmbeddedServer) -> None:
    async with connected(RedisSettings(server.url, timeout_ms=5000)) as runner:
        await runner.client.config_set("requirepass", "correct horse")
    async with connected(RedisSettings(f"{server.url}?password=hunter2", timeout_ms=1000)) as runner:
        with pytest.raises(StoreUnavailable, match="invalid username-password pair") as told:
            await look(runner, 1)

    assert "hunter2" not in str(told.value)
