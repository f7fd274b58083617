"""Run a worker: the edge that shoppers reach, or the listener for operators."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from waitroom.config import Config, room_rules
from waitroom.console.door import Console, roles
from waitroom.console.guard import Guard
from waitroom.edge import edge_built
from waitroom.gate.counters import WORKER_STARTED
from waitroom.gate.followers import STEP_S
from waitroom.jobs.remember import Rememberer
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault, WaitroomError
from waitroom.kernel.pages import Pages
from waitroom.kernel.ports import Place
from waitroom.kernel.redis import RedisSettings, ScriptRunner, connected
from waitroom.kernel.tasks import Loop, running
from waitroom.kernel.tokens import Keys
from waitroom.proxy.strict import c_parser_present
from waitroom.proxy.tally import POUR_S
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms
from waitroom.wire.serving import Served, Serving, serve_until_told

log = logging.getLogger(__name__)

TICK_S = 0.25
"""How often each worker ticks: what ops change is everywhere within this time and a round trip."""
TURN_S = 0.1
"""For how long an answer that is ready is given to who asks the same, before it is made anew."""
TOUCH_S = 1.0
HEALTH_S = 1.0
PAGES_S = 5.0
DRAW_S = 1.0
_JOB_LIMIT_S = 5.0
_BEACON_LIMIT_S, _ROSTER_LIMIT_S = 30.0, 120.0
"""A try of every server of every beacon, one after the other; a roster of millions on a busy machine."""
_PAGES_LIMIT_S = 60.0
_OPS_DRAIN_S = 2.0


async def run_edge(config: Config, keys: Keys, redis_url: str, place: Place | None = None) -> None:
    """Serve shoppers until SIGTERM or SIGINT, then finish what is in flight.

    Raises:
        ConfigFault: this installation must not serve as it is.
    """
    if not c_parser_present():
        raise ConfigFault(["aiohttp: its C parser is missing, and the Python one lets smuggled requests through"])
    clock, place, serving = SystemClock(), place or Place(), Serving.of(config.edge)
    sockets = place.listening(config.edge.listen, setting="edge.listen")
    async with AsyncExitStack() as stack:
        runner = await _redis(stack, config, redis_url)
        edge = await stack.enter_async_context(edge_built(config, keys, runner, clock))
        WORKER_STARTED.set(clock.now_ms() / 1000)
        loops = [
            Loop("tick", edge.ticker.step, TICK_S, _JOB_LIMIT_S),
            Loop("touch", edge.toucher.step, TOUCH_S, _JOB_LIMIT_S),
            Loop("health", edge.health.step, HEALTH_S, _JOB_LIMIT_S),
            Loop("beacon", edge.beacon.step, DRAW_S, _BEACON_LIMIT_S),
            Loop("roster", edge.roster.step, DRAW_S, _ROSTER_LIMIT_S),
            Loop("pages", edge.pages.renew, PAGES_S, _PAGES_LIMIT_S),
            Loop("followers", edge.followers.step, STEP_S, _JOB_LIMIT_S),
            Loop("tally", edge.pour, POUR_S, _JOB_LIMIT_S),
        ]
        await _once(edge.ticker.step, "no first tick")  # so that who comes at once finds the room as it is
        served = edge.served
        loops.append(Loop("turn", served.turn, TURN_S, _JOB_LIMIT_S))
        await _once(edge.pages.renew, "no page rendered ahead")
        async with running(*loops, clock=clock):
            await serve_until_told(served, sockets, serving, clock=clock, ready=place.ready)
        await served.turn()
        await edge.pour()
        await edge.errands.close(serving.drain_s)
        await _once(edge.toucher.step, "last visits not written")  # without it the passes say the same


async def run_ops(config: Config, keys: Keys, redis_url: str, console_token: str, place: Place | None = None) -> None:
    """Serve operators until SIGTERM or SIGINT."""
    clock, place = SystemClock(), place or Place()
    sockets = place.listening(config.ops.listen, setting="ops.listen")
    async with AsyncExitStack() as stack:
        runner = await _redis(stack, config, redis_url)
        rooms = Rooms(runner, [room_rules(room) for room in config.rooms], keys, clock)
        guard = Guard(roles(os.environ, console_token), keys, clock)
        console = Console(rooms, Audit(runner), guard, Pages(), clock)
        rememberer = Rememberer(rooms, config.state_file)
        rememberer.recall()
        async with running(*console.loops(), *rememberer.loops(), clock=clock):
            serving = Serving(_OPS_DRAIN_S)
            await serve_until_told(Served(console.application()), sockets, serving, clock=clock, ready=place.ready)


async def _redis(stack: AsyncExitStack, config: Config, url: str) -> ScriptRunner:
    settings = RedisSettings(url, config.redis.max_connections, config.redis.timeout_ms)
    runner = await stack.enter_async_context(connected(settings))
    await runner.check()
    return runner


async def _once(step: Callable[[], Awaitable[None]], otherwise: str) -> None:
    """Do `step` now, if that can be done in a moment."""
    try:
        async with asyncio.timeout(1):
            await step()
    except (TimeoutError, WaitroomError) as fault:
        log.warning(otherwise, extra={"fault": repr(fault)})
