"""Ask a gateway no more often than it bears: one pause for all payments when it says so, and then slowly again.

Stripe limits the requests of an account, not of a payment: whoever goes on asking for others while one was told to wait
makes it worse for all (https://docs.stripe.com/rate-limits).
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from math import ceil
from typing import TypeVar

from inventory_backend.counters import GATEWAY_PAUSES
from inventory_backend.payments.payments import Charge, Gateway, GatewayBusy, Intent, Listed
from waitroom.kernel.clock import Clock

log = logging.getLogger(__name__)

Found = TypeVar("Found")

_LONGEST_PAUSE_S = 60
_MOST_STRIKES = 6


class Paced:
    """A gateway, and how it bears us: after a pause half as many calls at once, one more for each that goes well."""

    def __init__(self, real: Gateway, clock: Clock, *, most: int) -> None:
        """Let at most `most` calls through to `real` at once."""
        self._real = real
        self._clock = clock
        self._most = most
        self._allowed = most
        self._under_way = 0
        self._strikes = 0
        self._struck_s = float("-inf")
        self._until_s = float("-inf")

    async def authorise(self, intent: Intent, *, key: str) -> Charge:
        """Ask for the money to be set aside."""
        return await self._through(lambda: self._real.authorise(intent, key=key))

    async def retrieve(self, ref: str) -> Charge:
        """Return the charge as it stands."""
        return await self._through(lambda: self._real.retrieve(ref))

    async def capture(self, ref: str, *, key: str) -> Charge:
        """Take what was authorised."""
        return await self._through(lambda: self._real.capture(ref, key=key))

    async def cancel(self, ref: str) -> Charge:
        """Let go of a charge."""
        return await self._through(lambda: self._real.cancel(ref))

    async def refund(self, ref: str, *, key: str) -> None:
        """Send back what was taken."""
        await self._through(lambda: self._real.refund(ref, key=key))

    async def find(self, pid: str) -> Charge | None:
        """Return the charge that was made for our payment `pid`."""
        return await self._through(lambda: self._real.find(pid))

    async def look(self, ref: str) -> Listed:
        """Return the charge as it stands in the gateway's own books."""
        return await self._through(lambda: self._real.look(ref))

    async def listed(self, since_ms: int) -> AsyncIterator[Listed]:
        """Yield every charge made since then; a list is read page by page, one call after the other."""
        rows = self._real.listed(since_ms)
        while True:
            try:
                row = await self._heeding(lambda: anext(rows))
            except StopAsyncIteration:
                return
            yield row

    async def _through(self, call: Callable[[], Awaitable[Found]]) -> Found:
        if self._under_way >= self._allowed:
            raise GatewayBusy("gateway: enough calls for now, after it was busy")
        self._under_way += 1
        try:
            found = await self._heeding(call)
        finally:
            self._under_way -= 1
        self._strikes = 0
        self._allowed = min(self._most, self._allowed + 1)
        return found

    async def _heeding(self, call: Callable[[], Awaitable[Found]]) -> Found:
        began_s = self._clock.tick_s()
        if began_s < self._until_s:
            raise GatewayBusy("gateway: it asked for a pause", retry_after_s=ceil(self._until_s - began_s))
        try:
            return await call()
        except GatewayBusy as busy:
            self._pause(busy.wait_s, began_s)
            raise

    def _pause(self, asked_s: int, began_s: float) -> None:
        """Wait as long as it asks, longer each time in a row; calls that were under way together are one time."""
        now_s = self._clock.tick_s()
        if began_s > self._struck_s:
            self._strikes = min(self._strikes + 1, _MOST_STRIKES)
            self._allowed = max(1, self._allowed // 2)
            self._struck_s = now_s
            GATEWAY_PAUSES.inc()
            log.warning("gateway asked for a pause", extra={"asked_s": asked_s, "allowed": self._allowed})
        wait_s = min(_LONGEST_PAUSE_S, max(asked_s, 1 << self._strikes - 1))
        self._until_s = max(self._until_s, now_s + wait_s)
