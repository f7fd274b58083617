"""Talk to Redis or Valkey: few round trips, bounded, and never waiting for ever."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import Any

from hiredis import pack_command
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from waitroom.kernel.errors import ConfigFault, Refused, StoreUnavailable
from waitroom.kernel.scripts import Script, load_script
from waitroom.kernel.tasks import Errands

_BATCH = 512
"""How many calls go in one round trip: more would make the first wait for the last."""
_FLIGHTS = 4
"""How many round trips are under way at once: while all are, calls gather for the next.

On a Unix socket 1 to 16 cost the same CPU a call (bench/pipeline.py); four keep a server busy that is further away.
"""
_WAITING = 20_000
"""How many calls may wait for a round trip; past that, saying no at once is kinder."""


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is, and how long and how often we may bother it."""

    url: str
    max_connections: int = 16
    timeout_ms: int = 1000


Value = str | bytes | int | float


@dataclass(slots=True)
class _Call:
    script: Script
    parameters: tuple[Value, ...]
    packed: bytes
    reply: asyncio.Future[Any]
    deadline_s: float


@contextmanager
def answering(what: str = "redis does not answer") -> Iterator[None]:
    """Let commands that are given to the client itself fail as all others do; `what` says in the log which they were.

    Raises:
        StoreUnavailable: no connection, no answer in time, or an answer that is an error.
    """
    try:
        yield
    except (exceptions.RedisError, OSError) as fault:  # a TimeoutError is an OSError
        raise StoreUnavailable(f"{what}: {type(fault).__name__}: {fault}") from fault


class ScriptRunner:
    """Run Lua scripts; all calls of one event-loop turn go in one round trip.

    Every script is idempotent, because the client may send a command again after a lost connection.
    """

    def __init__(self, client: "Redis", *, limit_s: float = 5.0, flights: int = _FLIGHTS) -> None:
        """Speak through `client`; a round trip past `limit_s` is given up. `connected` makes one."""
        self.client = client
        self._limit_s = limit_s
        self._try_s = limit_s / 2
        self._free_flights = flights
        self._waiting: deque[_Call] = deque()
        self._is_flush_due = False
        self._is_closed = False
        self._errands = Errands()

    async def run(self, name: str, *, keys: Sequence[str], args: Sequence[Value] = ()) -> Any:
        """Return what the script `name` ("rooms/join") replies.

        Raises:
            StoreUnavailable: no connection, no answer in time, or an answer that is an error.
            Refused: a text that is no text (a lone surrogate, from a visitor's broken bytes).
        """
        return await self.call(name, keys=keys, args=args)

    def call(self, name: str, *, keys: Sequence[str], args: Sequence[Value] = ()) -> asyncio.Future[Any]:
        """Begin to run the script `name`; return its reply to come, for who has no task to wait in.

        Raises:
            StoreUnavailable: it is not even begun; the reply may fail with one, too.
            Refused: as `run`.
        """
        script = load_script(name)
        assert len(keys) == len(script.keys), f"{name} takes the keys {script.keys}"
        assert len(args) == len(script.args), f"{name} takes the arguments {script.args}"
        parameters = (*keys, *args)
        packed = _packed("EVALSHA", script.sha, len(keys), parameters)
        if self._is_closed or len(self._waiting) >= _WAITING:
            raise StoreUnavailable(f"{name}: {'closed' if self._is_closed else 'too many calls wait for redis'}")
        loop = asyncio.get_running_loop()
        call = _Call(script, parameters, packed, loop.create_future(), loop.time() + self._limit_s)
        self._waiting.append(call)
        if self._free_flights and not self._is_flush_due:
            self._is_flush_due = True
            loop.call_soon(self._flush)
        return call.reply

    async def check(self) -> None:
        """Look whether this server may hold our state.

        Raises:
            ConfigFault: it would throw keys away when memory runs short.
            StoreUnavailable: it does not answer.
        """
        with answering():
            memory = await self.client.info("memory")
        policy = memory.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            told = f"redis: maxmemory-policy is {policy}; set it to noeviction, else places in line are thrown away"
            raise ConfigFault([told])

    async def identity(self) -> str:
        """Return what changes when the server restarts, or when another takes its place.

        Raises:
            StoreUnavailable: it does not answer.
        """
        with answering():
            return _identity({**await self.client.info("server"), **await self.client.info("replication")})

    async def close(self) -> None:
        """Let what is under way end, refuse what still waits, then hang up."""
        self._is_closed = True
        await self._errands.close(limit_s=1)
        for call in self._waiting:
            _settle(call, ConnectionError("closed"))
        self._waiting.clear()
        await self.client.aclose()

    def _flush(self) -> None:
        self._is_flush_due = False
        while self._free_flights and not self._is_closed and (calls := self._next_batch()):
            self._free_flights -= 1
            _ = self._errands.begin(self._fly(calls), name="redis round trip")

    def _next_batch(self) -> list[_Call]:
        now_s = asyncio.get_running_loop().time()
        calls: list[_Call] = []
        while self._waiting and len(calls) < _BATCH:
            call = self._waiting.popleft()
            if call.deadline_s < now_s:
                _settle(call, TimeoutError("no round trip was free in time"))
            elif not call.reply.done():  # else the visitor hung up before it was sent
                calls.append(call)
        return calls

    async def _fly(self, calls: list[_Call]) -> None:
        replies: list[Any] = [ConnectionError("the round trip was given up")] * len(calls)
        try:
            async with asyncio.timeout(self._limit_s):
                replies = await self._round_trip(calls)
        except (exceptions.RedisError, OSError) as fault:  # a TimeoutError is an OSError
            replies = [fault] * len(calls)
        finally:  # whatever happened: nobody is left waiting
            for call, reply in zip(calls, replies, strict=True):
                _settle(call, reply)
            self._free_flights += 1
            self._flush()

    async def _round_trip(self, calls: list[_Call]) -> list[Any]:
        replies = await self._send(calls, loaded={call.script.sha for call in calls})
        unknown = [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
        if unknown:
            again = await self._send([calls[i] for i in unknown], loaded=set())
            for i, reply in zip(unknown, again, strict=True):
                replies[i] = reply
        if any(isinstance(reply, exceptions.ReadOnlyError) for reply in replies):
            # The primary became a replica: the next connection asks the name anew.
            await self.client.connection_pool.disconnect(inuse_connections=False)
        return replies

    async def _send(self, calls: list[_Call], *, loaded: set[str]) -> list[Any]:
        """Send calls in one piece and read the replies, with one more try should the connection be cut.

        redis-py's own pipeline packs in Python and has a timer for each reply: two thirds of what a call cost.
        """
        commands: list[bytes] = []
        for call in calls:
            script = call.script
            is_loaded = script.sha in loaded
            loaded.add(script.sha)  # EVAL loads it for the calls behind
            whole = call.packed if is_loaded else _packed("EVAL", script.source, len(script.keys), call.parameters)
            commands.append(whole)
        pool: Any = self.client.connection_pool  # Any: its methods have no types
        connection: AbstractConnection = await pool.get_connection()
        try:
            exchange = partial(self._exchange, connection, b"".join(commands), len(calls))
            return list(await connection.retry.call_with_retry(exchange, lambda _fault: connection.disconnect()))
        finally:
            await pool.release(connection)

    async def _exchange(self, connection: AbstractConnection, packed: bytes, count: int) -> list[Any]:
        """Send what is packed and read so many replies; whoever is cut short here leaves no connection behind."""
        replies: list[Any] = []
        async with asyncio.timeout(self._try_s):
            await connection.send_packed_command(packed, check_health=False)
            for _ in range(count):
                try:
                    replies.append(await connection.read_response(timeout=inf))
                except exceptions.ResponseError as fault:
                    replies.append(fault)
        return replies


Admits = Callable[[str], bool]
"""Whether a connection to the server of this identity may be used."""


@asynccontextmanager
async def connected(settings: RedisSettings, admits: Admits | None = None) -> AsyncIterator[ScriptRunner]:
    """Give a runner of scripts on `settings.url` while the block lasts; the first call opens the first connection.

    Each new connection is used only where `admits` says yes to the identity of the server it leads to.
    """
    timeout_s = settings.timeout_ms / 1000
    pool = BlockingConnectionPool.from_url(
        settings.url,
        max_connections=settings.max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=0,
        decode_responses=True,
        encoding_errors="surrogateescape",  # one reply that is no text must not spoil the others' round trip
        retry=Retry(NoBackoff(), 1),
        redis_connect_func=None if admits is None else _asking(admits),
    )
    flights = min(_FLIGHTS, settings.max_connections)
    runner = ScriptRunner(Redis(connection_pool=pool), limit_s=2 * timeout_s, flights=flights)  # one try, one more
    try:
        yield runner
    finally:
        await runner.close()
        await pool.disconnect()


def _asking(admits: Admits) -> Callable[[AbstractConnection], Awaitable[None]]:
    async def ask(connection: AbstractConnection) -> None:
        await connection.on_connect()
        told = ""
        for section in ("server", "replication"):  # before Redis 7 INFO takes one
            await connection.send_command("INFO", section)
            told += str(await connection.read_response())
        if not admits(_identity(dict(row.split(":", 1) for row in told.splitlines() if ":" in row))):
            raise exceptions.ConnectionError("another server answers than before")

    return ask


def _identity(told: Mapping[str, Any]) -> str:
    return f"{told['run_id']} {told['role']} {told['master_replid']}"


def _packed(name: str, body: str, key_count: int, parameters: tuple[Value, ...]) -> bytes:
    """Return a call as it travels; done before it joins others, so that a bad one spoils no round trip."""
    words: Any = (name, body, key_count, *parameters)  # Any: the stub of hiredis knows tuples of one
    try:
        return bytes(pack_command(words))
    except TypeError:  # a bool is no number to hiredis
        words = tuple(int(word) if isinstance(word, bool) else word for word in words)
        return bytes(pack_command(words))
    except UnicodeEncodeError:
        raise Refused(400, "malformed-text", "A value holds bytes that are no text.") from None


def _settle(call: _Call, reply: Any) -> None:
    if call.reply.done():  # the visitor hung up meanwhile
        return
    if isinstance(reply, Exception):
        call.reply.set_exception(StoreUnavailable(f"{call.script.name}: {type(reply).__name__}: {reply}"))
    else:
        call.reply.set_result(reply)
