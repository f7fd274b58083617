"""Ask Stripe, through its own library: PaymentIntents with manual capture, confirmed with a payment method's id.

The library's own retries are off: what failed is written down and tried again by the saga, under the same key.

Source: https://docs.stripe.com/payments/place-a-hold-on-a-payment-method
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from typing import Any

import aiohttp
import stripe

from inventory_backend.payments.payments import Charge, ChargeStatus, GatewayRefused, GatewayUnavailable, Intent, Listed
from inventory_backend.payments.stripe_shapes import (
    MOST_LISTED,
    AlreadyRefunded,
    Marks,
    charge_in,
    listed_in,
    rows_in,
    search_for,
    understood,
)


class StripeGateway:
    """The account that `api_key` opens."""

    def __init__(
        self, session: aiohttp.ClientSession, api_key: str, url: str, *, timeout_ms: int, marks: Marks | None = None
    ) -> None:
        """Call the API at `url`, waiting at most `timeout_ms` for each answer."""
        self._timeout_s = timeout_ms / 1000
        carrier = stripe.AIOHTTPClient(timeout=self._timeout_s, session=session)
        self._stripe = stripe.StripeClient(
            api_key, http_client=carrier, base_addresses={"api": url}, max_network_retries=0
        ).v1
        self._marks = marks or Marks()

    async def authorise(self, intent: Intent, *, key: str) -> Charge:
        """Create and confirm a payment intent with manual capture."""
        asked: stripe.params.PaymentIntentCreateParams = {
            "amount": intent.cost.amount,
            "currency": intent.cost.currency.lower(),
            "payment_method": intent.method,
            "allowed_payment_method_types": ["card"],
            "capture_method": "manual",
            "confirm": True,
            "metadata": self._marks.beside(intent),
        }
        if return_url := self._marks.return_url_of(intent):
            asked["return_url"] = return_url
        call = self._stripe.payment_intents.create_async(asked, {"idempotency_key": key})
        try:
            return charge_in(await self._answer("create", call))
        except GatewayRefused:
            return Charge(None, ChargeStatus.DECLINED)

    async def retrieve(self, ref: str) -> Charge:
        """Return the payment intent as it stands."""
        return charge_in(await self._answer("retrieve", self._stripe.payment_intents.retrieve_async(ref)))

    async def capture(self, ref: str, *, key: str) -> Charge:
        """Take what was authorised."""
        call = self._stripe.payment_intents.capture_async(ref, {}, {"idempotency_key": key})
        return charge_in(await self._answer("capture", call))

    async def cancel(self, ref: str) -> Charge:
        """Cancel the payment intent, if it can be."""
        return charge_in(await self._answer("cancel", self._stripe.payment_intents.cancel_async(ref)))

    async def refund(self, ref: str, *, key: str) -> None:
        """Send the whole amount back."""
        call = self._stripe.refunds.create_async({"payment_intent": ref}, {"idempotency_key": key})
        try:
            await self._answer("refund", call)
        except AlreadyRefunded:
            return

    async def find(self, pid: str) -> Charge | None:
        """Search by what was written beside the charge."""
        found = await self._answer("search", self._stripe.payment_intents.search_async({"query": search_for(pid)}))
        return next(map(charge_in, rows_in(found)), None)

    async def look(self, ref: str) -> Listed:
        """Return the payment intent with the charge behind it."""
        call = self._stripe.payment_intents.retrieve_async(ref, {"expand": ["latest_charge"]})
        return listed_in(await self._answer("look", call))

    async def listed(self, since_ms: int) -> AsyncIterator[Listed]:
        """Read the list page by page."""
        asked: stripe.params.PaymentIntentListParams = {
            "limit": MOST_LISTED,
            "created": {"gte": since_ms // 1000},
            "expand": ["data.latest_charge"],
        }
        while True:
            found = await self._answer("list", self._stripe.payment_intents.list_async(asked))
            rows = rows_in(found)
            for row in rows:
                yield listed_in(row)
            if not found.get("has_more") or not rows:
                return
            asked["starting_after"] = rows[-1]["id"]

    async def _answer(self, asked: str, call: Awaitable[stripe.StripeObject]) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                found = await call
        except stripe.StripeError as fault:
            status = fault.http_status or 599  # nobody answered
            return understood(asked, status, fault.json_body, (fault.headers or {}).get("Retry-After", ""))
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError) as fault:
            # the library stumbles (AttributeError) over errors that are not of Stripe's shape: a proxy's, say
            raise GatewayUnavailable(f"gateway: {asked}: {fault!r}") from fault
        return found.to_dict() if isinstance(found, stripe.StripeObject) else {}
