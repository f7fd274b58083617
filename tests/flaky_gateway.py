"""A payment gateway whose requests or answers get lost when a test says so; ours or Stripe's, at the same server."""

from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

import aiohttp

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.payments.payments import Charge, Gateway, GatewayUnavailable, Intent, Listed
from inventory_backend.payments.simulated_gateway import SimulatedGateway
from inventory_backend.payments.stripe_gateway import StripeGateway
from inventory_backend.payments.stripe_shapes import Marks

Found = TypeVar("Found")


def adapter(
    ledger: Ledger, session: aiohttp.ClientSession, url: str, *, timeout_ms: int = 5000, marks: Marks | None = None
) -> Gateway:
    """Return the gateway of Stripe's library for a ledger on PostgreSQL, ours for one on SQLite.

    What runs on both databases runs on both gateways, and in no more time.
    """
    if ledger._writer.engine.dialect.name == "postgresql":
        return StripeGateway(session, "sk_test_1", url, timeout_ms=timeout_ms, marks=marks)
    return SimulatedGateway(session, url, timeout_ms=timeout_ms, marks=marks)


class FlakyGateway:
    """Fails the next call of a kind: "before" it reached the gateway, or "after", so that only the answer is lost."""

    def __init__(self, real: Gateway, session: aiohttp.ClientSession, url: str) -> None:
        self.real = real
        self._session, self._url = session, url
        self._faults: dict[str, str] = {}
        self.calls: list[str] = []

    def fail(self, **faults: str | None) -> None:
        """Let the next call of each named kind fail; without any, let all succeed."""
        if not faults:
            self._faults.clear()
        self._faults |= {kind: when for kind, when in faults.items() if when}

    async def _lost(self, kind: str, call: Awaitable[Found]) -> Found:
        self.calls.append(kind)
        when = self._faults.pop(kind, None)
        if when == "before":
            call.close()  # type: ignore[attr-defined]  # a coroutine that nobody awaits
            raise GatewayUnavailable("the request was lost")
        found = await call
        if when == "after":
            raise GatewayUnavailable("the answer was lost")
        return found

    async def authorise(self, intent: Intent, *, key: str) -> Charge:
        return await self._lost("authorise", self.real.authorise(intent, key=key))

    async def retrieve(self, ref: str) -> Charge:
        return await self._lost("retrieve", self.real.retrieve(ref))

    async def capture(self, ref: str, *, key: str) -> Charge:
        return await self._lost("capture", self.real.capture(ref, key=key))

    async def cancel(self, ref: str) -> Charge:
        return await self._lost("cancel", self.real.cancel(ref))

    async def refund(self, ref: str, *, key: str) -> None:
        await self._lost("refund", self.real.refund(ref, key=key))

    async def find(self, pid: str) -> Charge | None:
        return await self._lost("find", self.real.find(pid))

    async def look(self, ref: str) -> Listed:
        return await self._lost("look", self.real.look(ref))

    def listed(self, since_ms: int) -> AsyncIterator[Listed]:
        return self.real.listed(since_ms)

    async def charges(self) -> list[dict[str, Any]]:
        """Return the charges as the gateway has them."""
        return await self._rows("payment_intents")

    async def refunds(self) -> list[dict[str, Any]]:
        """Return the refunds as the gateway has them."""
        return await self._rows("refunds")

    async def _rows(self, name: str) -> list[dict[str, Any]]:
        async with self._session.get(f"{self._url}/v1/{name}?limit=100") as answer:
            return list((await answer.json())["data"])
