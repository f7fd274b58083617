"""Talk to Redis or Valkey: one round trip an event-loop turn, bounded, and never waiting for ever."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from waitroom.kernel.errors import ConfigFault, StoreUnavailable
from waitroom.kernel.scripts import Script, load_script
from waitroom.kernel.tasks import Errands

log = logging.getLogger(__name__)

_BATCH = 512
"""How many calls go in one round trip: more would make the first wait for the last."""


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is, and how long and how often we may bother it."""

    url: str
    max_connections: int = 16
    timeout_ms: int = 1000


@dataclass(slots=True)
class _Call:
    script: Script
    parameters: list[str | bytes | int | float]
    reply: asyncio.Future[Any]


class ScriptRunner:
    """Run Lua scripts; all calls of one event-loop turn go in one round trip.

    Every script is idempotent, because the client may send a command again after a lost connection.
    """

    def __init__(self, client: "Redis") -> None:
        """Speak through `client`; `connected` makes one."""
        self.client = client
        self._waiting: list[_Call] = []
        self._errands = Errands()

    async def run(self, name: str, *, keys: Sequence[str], args: Sequence[str | bytes | int | float] = ()) -> Any:
        """Return what the script `name` ("rooms/join") replies.

        Raises:
            StoreUnavailable: no connection, no answer in time, or an answer that is an error.
        """
        loop = asyncio.get_running_loop()
        script = load_script(name)
        assert len(keys) == len(script.keys), f"{name} takes the keys {script.keys}"
        assert len(args) == len(script.args), f"{name} takes the arguments {script.args}"
        call = _Call(script, [*keys, *args], loop.create_future())
        self._waiting.append(call)
        if len(self._waiting) == 1:
            loop.call_soon(self._flush)
        return await call.reply

    async def check(self) -> None:
        """Look whether this server may hold our state.

        Raises:
            ConfigFault: it would throw keys away when memory runs short.
            StoreUnavailable: it does not answer.
        """
        try:
            memory = await self.client.info("memory")
        except (exceptions.RedisError, OSError) as fault:
            raise StoreUnavailable(f"redis does not answer: {fault!r}") from fault
        policy = memory.get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            told = f"redis: maxmemory-policy is {policy}; set it to noeviction, else places in line are thrown away"
            raise ConfigFault([told])

    async def close(self) -> None:
        """Let what is under way end, then hang up."""
        await self._errands.close(limit_s=1)
        await self.client.aclose()

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for start in range(0, len(waiting), _BATCH):
            _ = self._errands.begin(self._send(waiting[start : start + _BATCH]), name="redis round trip")

    async def _send(self, calls: list[_Call]) -> None:
        try:
            replies = await self._round_trip("EVALSHA", calls)
            unknown = [i for i, reply in enumerate(replies) if isinstance(reply, exceptions.NoScriptError)]
            if unknown:
                again = await self._round_trip("EVAL", [calls[i] for i in unknown])
                for i, reply in zip(unknown, again, strict=True):
                    replies[i] = reply
        except (exceptions.RedisError, OSError, TimeoutError) as fault:
            replies = [fault] * len(calls)
        for call, reply in zip(calls, replies, strict=True):
            _settle(call, reply)

    async def _round_trip(self, command: str, calls: list[_Call]) -> list[Any]:
        async with self.client.pipeline(transaction=False) as pipe:
            for call in calls:
                body = call.script.sha if command == "EVALSHA" else call.script.source
                pipe.execute_command(command, body, len(call.script.keys), *call.parameters)
            return list(await pipe.execute(raise_on_error=False))


@asynccontextmanager
async def connected(settings: RedisSettings) -> AsyncIterator[ScriptRunner]:
    """Give a runner of scripts on `settings.url` while the block lasts; the first call opens the first connection."""
    timeout_s = settings.timeout_ms / 1000
    pool = BlockingConnectionPool.from_url(
        settings.url,
        max_connections=settings.max_connections,
        timeout=timeout_s,
        socket_timeout=timeout_s,
        socket_connect_timeout=timeout_s,
        health_check_interval=0,
        decode_responses=True,
        retry=Retry(NoBackoff(), 1),
    )
    runner = ScriptRunner(Redis(connection_pool=pool))
    try:
        yield runner
    finally:
        await runner.close()
        await pool.disconnect()


def _settle(call: _Call, reply: Any) -> None:
    if call.reply.done():  # the visitor hung up meanwhile
        return
    if isinstance(reply, Exception):
        call.reply.set_exception(StoreUnavailable(f"{call.script.name}: {reply!r}"))
    else:
        call.reply.set_result(reply)
