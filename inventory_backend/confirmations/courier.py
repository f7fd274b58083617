"""Carry what the outbox has to the sinks: claim, send, and only then mark; a crash in between sends it again."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256

from sqlalchemy import Connection

from inventory_backend.confirmations.sinks import Fate, Outcome, Sink
from inventory_backend.counters import DEAD_LETTERS, DELIVERIES, DELIVERIES_WAITING
from inventory_backend.ledger import deliveries
from inventory_backend.ledger.deliveries import Notice
from inventory_backend.ledger.ledger import Ledger
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.tasks import Errands, Loop

log = logging.getLogger(__name__)

_MOST_FRESH = 500
_AT_ONCE = 32
"""Notices under way to one sink."""
_MARK_MS = 2000
"""How long a claim outlives the try, so that what was sent can be marked."""
_CLOSE_LIMIT_S = 2


@dataclass(frozen=True, slots=True)
class Retries:
    """How often a notice is tried, and how the waits between grow: doubled each time, up to the longest."""

    attempts: int = 14
    first_wait_ms: int = 5_000
    longest_wait_ms: int = 6 * 3_600_000

    def wait_ms(self, notice: Notice) -> int:
        """Return how long to wait after this try; three quarters to five quarters, so that a crowd spreads out."""
        wait_ms = min(self.longest_wait_ms, self.first_wait_ms << min(notice.tries - 1, 40))
        spread = sha256(f"{notice.message_id} {notice.tries}".encode()).digest()
        return wait_ms * (192 + spread[0] // 2) // 256


class Courier:
    """Takes news to the sinks."""

    def __init__(self, ledger: Ledger, sinks: Sequence[Sink], retries: Retries) -> None:
        """Serve `sinks` from `ledger`."""
        self._ledger = ledger
        self._sinks = sinks
        self._retries = retries
        self._wanted = {sink.name: sink.kinds for sink in sinks}
        self._errands = Errands()

    def loops(self) -> list[Loop]:
        """Return what to do again and again; a slow sink keeps no other waiting."""
        serving = [
            Loop(f"serve {sink.name}", partial(self.serve, sink), period_s=0.1, limit_s=sink.timeout_ms / 1000 + 20)
            for sink in self._sinks
        ]
        counting = Loop("count deliveries", self.count, period_s=5, limit_s=10)
        return [Loop("spread", self.spread, period_s=0.1, limit_s=10), counting, *serving]

    async def spread(self) -> None:
        """Share fresh news out among the sinks."""
        if not await self._ledger.read(deliveries.is_any_fresh):
            return
        now_ms = self._ledger.now_ms()
        await self._ledger.write(lambda connection: deliveries.spread(connection, self._wanted, now_ms, _MOST_FRESH))

    async def serve(self, sink: Sink) -> None:
        """Send `sink` what is due."""
        now_ms = self._ledger.now_ms()
        if await self._ledger.read(partial(deliveries.is_any_due, sink=sink.name, now_ms=now_ms)):
            until_ms = now_ms + sink.timeout_ms + _MARK_MS
            taken = await self._ledger.write(
                lambda connection: deliveries.claim(connection, sink.name, now_ms, until_ms, _AT_ONCE)
            )
            sending = [self._errands.begin(self._carry(sink, notice), name=sink.name) for notice in taken]
            if sending:
                await asyncio.wait(sending)  # cancels none of them: what was sent is also marked

    async def count(self) -> None:
        """Show how many confirmations wait, and how many were given up."""
        for sink in self._sinks:
            waiting, dead = await self._ledger.read(partial(deliveries.counts, sink=sink.name))
            DELIVERIES_WAITING.labels(sink.name).set(waiting)
            DEAD_LETTERS.labels(sink.name).set(dead)

    async def close(self) -> None:
        """Let what is under way end; what does not is sent again at the next start."""
        await self._errands.close(_CLOSE_LIMIT_S)

    async def _carry(self, sink: Sink, notice: Notice) -> None:
        outcome = await sink.send(notice)
        try:
            await self._ledger.write(lambda connection: self._mark(connection, sink, notice, outcome))
        except StoreUnavailable:  # the claim runs out, and it is sent again under the same id
            log.warning("delivery not marked", extra={"sink": sink.name, "message_id": notice.message_id})

    def _mark(self, connection: Connection, sink: Sink, notice: Notice, outcome: Outcome) -> None:
        now_ms, fate = self._ledger.now_ms(), outcome.fate
        if fate is Fate.LATER and notice.tries >= self._retries.attempts:
            fate = Fate.REFUSED
        match fate:
            case Fate.SENT:
                deliveries.done(connection, notice.serial, now_ms)
            case Fate.LATER:
                wait_ms = max(outcome.wait_s * 1000, self._retries.wait_ms(notice))
                deliveries.postpone(connection, notice.serial, now_ms + wait_ms, outcome.fault)
            case Fate.REFUSED:
                deliveries.bury(connection, notice.serial, now_ms, outcome.fault)
            case Fate.GONE:
                deliveries.bury(connection, notice.serial, now_ms, outcome.fault)
                deliveries.stop(connection, sink.name, now_ms, outcome.fault)
        DELIVERIES.labels(sink.name, fate).inc()
        if fate is not Fate.SENT:
            told = {"sink": sink.name, "message_id": notice.message_id, "fate": fate, "fault": outcome.fault}
            log.warning("delivery failed", extra=told)
