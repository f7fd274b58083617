"""Report once a second how the upstreams do, and try one that is down."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import StoreUnavailable, WaitroomError
from waitroom.kernel.tasks import Errands
from waitroom.rules.health import Circuit
from waitroom.rules.watch import Watch
from waitroom.store.health import HealthReports
from waitroom.store.rooms import Rooms

log = logging.getLogger(__name__)

_UNHEARD_S = 5.0
"""Without word from Redis for so long, nothing is known: whoever is in goes to the upstream, as with no feedback."""
Try = Callable[[str, str], Awaitable[None]]
"""Asks the upstream of a room for a path; the room's watch sees what comes of it."""


class HealthFeedback:
    """Carries what the watches of this worker saw to Redis, and what all workers made of it back to the watches."""

    def __init__(
        self, rooms: Rooms, reports: HealthReports, watches: Mapping[str, Watch], ask: Try, *, clock: Clock
    ) -> None:
        """Take one watch a room; `ask` sends the probes of rooms that have a health path."""
        self._rooms = rooms
        self._reports = reports
        self._watches = watches
        self._ask = ask
        self._clock = clock
        self._errands = Errands()
        self._circuits = dict.fromkeys(watches, Circuit.CLOSED)
        self._heard_s = clock.tick_s()

    async def step(self) -> None:
        """Report once for every room that is watched.

        Raises:
            StoreUnavailable: Redis is gone; what was seen in the last second is lost, the next second tells it anew.
        """
        fault = None
        try:
            async with asyncio.TaskGroup() as group:
                for name in self._watches:
                    _ = group.create_task(self._report(name))
        except* StoreUnavailable as faults:
            fault = faults.exceptions[0]
        if fault is None:
            self._heard_s = self._clock.tick_s()
            return
        if self._clock.tick_s() - self._heard_s > _UNHEARD_S:
            for name in self._watches:
                self._heed(name, Circuit.CLOSED)
        raise fault

    async def close(self) -> None:
        """End the probes that are under way."""
        await self._errands.close(limit_s=0)

    async def _report(self, name: str) -> None:
        rules, watch, at_s = self._rooms.rules(name), self._watches[name], self._clock.tick_s()
        assert rules.health is not None, "only rooms with health feedback are watched"
        outcome = watch.outcome(at_s)
        heard = await self._reports.report(rules, self._rooms.schedule(name).event, watch.sample(at_s), outcome)
        if outcome is not None:
            watch.settle()
        if heard.health is not None:
            self._heed(name, heard.health.circuit)
        if heard.may_probe and watch.grant(self._clock.tick_s()) and rules.health.health_path:
            _ = self._errands.begin(self._probe(name, rules.health.health_path), name="health probe")

    def _heed(self, name: str, circuit: Circuit) -> None:
        before, self._circuits[name] = self._circuits[name], circuit
        self._watches[name].heed(circuit)
        if circuit is before:
            return
        facts = {"room": name, "before": before.value}
        if circuit is Circuit.OPEN:
            log.warning("circuit opened", extra=facts)
        else:
            log.info("circuit half open" if circuit is Circuit.HALF_OPEN else "circuit closed", extra=facts)

    async def _probe(self, name: str, path: str) -> None:
        try:
            await self._ask(name, path)
        except WaitroomError as fault:
            log.debug("probe failed", extra={"room": name, "reason": str(fault)})
