"""Ask the simulated gateway, by its Stripe-shaped HTTP."""

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

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


class SimulatedGateway:
    """The gateway of `simulated_psp`, by its Stripe-shaped HTTP."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, timeout_ms: int, marks: Marks | None = None
    ) -> None:
        """Call `url`, waiting at most `timeout_ms` for each answer."""
        self._session = session
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)
        self._marks = marks or Marks()

    async def authorise(self, intent: Intent, *, key: str) -> Charge:
        """Create and confirm a payment intent with manual capture."""
        form = {
            "amount": str(intent.cost.amount),
            "currency": intent.cost.currency.lower(),
            "payment_method": intent.method,
            "capture_method": "manual",
            "confirm": "true",
            **{f"metadata[{name}]": value for name, value in self._marks.beside(intent).items()},
        }
        if return_url := self._marks.return_url_of(intent):
            form["return_url"] = return_url
        try:
            return charge_in(await self._call("POST", "/v1/payment_intents", form=form, key=key))
        except GatewayRefused:
            return Charge(None, ChargeStatus.DECLINED)

    async def retrieve(self, ref: str) -> Charge:
        """Return the payment intent as it stands."""
        return charge_in(await self._call("GET", f"/v1/payment_intents/{ref}"))

    async def capture(self, ref: str, *, key: str) -> Charge:
        """Take what was authorised."""
        return charge_in(await self._call("POST", f"/v1/payment_intents/{ref}/capture", form={}, key=key))

    async def cancel(self, ref: str) -> Charge:
        """Cancel the payment intent, if it can be."""
        return charge_in(await self._call("POST", f"/v1/payment_intents/{ref}/cancel", form={}))

    async def refund(self, ref: str, *, key: str) -> None:
        """Send the whole amount back."""
        try:
            await self._call("POST", "/v1/refunds", form={"payment_intent": ref}, key=key)
        except AlreadyRefunded:
            return

    async def find(self, pid: str) -> Charge | None:
        """Search by what was written beside the charge."""
        found = await self._call("GET", f"/v1/payment_intents/search?query={quote(search_for(pid))}")
        return next(map(charge_in, rows_in(found)), None)

    async def look(self, ref: str) -> Listed:
        """Return the payment intent with the charge behind it."""
        return listed_in(await self._call("GET", f"/v1/payment_intents/{ref}?expand[]=latest_charge"))

    async def listed(self, since_ms: int) -> AsyncIterator[Listed]:
        """Read the list page by page."""
        asked = f"/v1/payment_intents?limit={MOST_LISTED}&created[gte]={since_ms // 1000}&expand[]=data.latest_charge"
        after = ""
        while True:
            found = await self._call("GET", asked + after)
            rows = rows_in(found)
            for row in rows:
                yield listed_in(row)
            if not found.get("has_more") or not rows:
                return
            after = f"&starting_after={rows[-1]['id']}"

    async def _call(
        self, verb: str, path: str, *, form: Mapping[str, str] | None = None, key: str | None = None
    ) -> Mapping[str, Any]:
        headers = {"Idempotency-Key": key} if key else {}
        try:
            async with self._session.request(
                verb, self._url + path, data=form, headers=headers, timeout=self._timeout
            ) as answer:
                found = await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
            raise GatewayUnavailable(f"gateway: {verb} {path}: {fault!r}") from fault
        return understood(f"{verb} {path}", answer.status, found, answer.headers.get("Retry-After", ""))
