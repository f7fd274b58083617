"""Talk to a payment gateway: authorise, capture, let go, send back. Money moves here and nowhere else.

Every call may be repeated: the gateway gives the same answer under the same idempotency key (Stripe's rules), and
capture, cancel and refund of what is done already say so.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

import aiohttp

from inventory_backend.sales import Money
from waitroom.kernel.errors import WaitroomError


class ChargeStatus(StrEnum):
    """What the gateway says about a charge; the values are Stripe's."""

    PROCESSING = "processing"
    ACTION_REQUIRED = "requires_action"
    AUTHORISED = "requires_capture"
    CAPTURED = "succeeded"
    DECLINED = "requires_payment_method"
    CANCELLED = "canceled"


@dataclass(frozen=True, slots=True)
class Charge:
    """A charge as the gateway knows it; one that it refused to make has no name."""

    ref: str | None
    status: ChargeStatus


@dataclass(frozen=True, slots=True)
class Intent:
    """What we ask to be authorised; `expires_ms` is when we stop waiting for it."""

    pid: str
    rid: str
    order_id: str
    cost: Money
    method: str
    expires_ms: int


class GatewayUnavailable(WaitroomError):
    """The gateway did not answer, or asked us to come back: nothing is known, the same call must be made again."""

    def __init__(self, message: str, *, retry_after_s: int = 1) -> None:
        """Keep when to come back."""
        super().__init__(message, status=503, kind="gateway-unavailable", retry_after_s=retry_after_s)
        self.wait_s = retry_after_s


class GatewayRefused(WaitroomError):
    """The gateway does not take such a request, whenever it comes: no charge was made."""


class Gateway(Protocol):
    """What the saga needs of a payment gateway."""

    async def authorise(self, intent: Intent, *, key: str) -> Charge:
        """Ask for the money to be set aside, not taken."""
        ...

    async def retrieve(self, ref: str) -> Charge:
        """Return the charge as it stands."""
        ...

    async def capture(self, ref: str, *, key: str) -> Charge:
        """Take what was authorised; the charge that comes back tells whether it was."""
        ...

    async def cancel(self, ref: str) -> Charge:
        """Let go of a charge; the charge that comes back tells whether it was possible."""
        ...

    async def refund(self, ref: str, *, key: str) -> None:
        """Send back what was taken."""
        ...


class SimulatedGateway:
    """The gateway of `simulated_psp`, by its Stripe-shaped HTTP."""

    def __init__(self, session: aiohttp.ClientSession, url: str, *, timeout_ms: int) -> None:
        """Call `url`, waiting at most `timeout_ms` for each answer."""
        self._session = session
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout_ms / 1000)

    async def authorise(self, intent: Intent, *, key: str) -> Charge:
        """Create and confirm a payment intent with manual capture."""
        form = {
            "amount": str(intent.cost.amount),
            "currency": intent.cost.currency.lower(),
            "payment_method": intent.method,
            "capture_method": "manual",
            "confirm": "true",
            "metadata[pid]": intent.pid,
            "metadata[rid]": intent.rid,
            "metadata[order_id]": intent.order_id,
            "metadata[expires_ms]": str(intent.expires_ms),
        }
        try:
            return _charge(await self._call("POST", "/v1/payment_intents", form=form, key=key))
        except GatewayRefused:
            return Charge(None, ChargeStatus.DECLINED)

    async def retrieve(self, ref: str) -> Charge:
        """Return the payment intent as it stands."""
        return _charge(await self._call("GET", f"/v1/payment_intents/{ref}"))

    async def capture(self, ref: str, *, key: str) -> Charge:
        """Take what was authorised."""
        return _charge(await self._call("POST", f"/v1/payment_intents/{ref}/capture", form={}, key=key))

    async def cancel(self, ref: str) -> Charge:
        """Cancel the payment intent, if it can be."""
        return _charge(await self._call("POST", f"/v1/payment_intents/{ref}/cancel", form={}))

    async def refund(self, ref: str, *, key: str) -> None:
        """Send the whole amount back."""
        await self._call("POST", "/v1/refunds", form={"payment_intent": ref}, key=key)

    async def _call(
        self, verb: str, path: str, *, form: Mapping[str, str] | None = None, key: str | None = None
    ) -> Mapping[str, Any]:
        """Return the object in the answer; one that comes inside a refusal is as good."""
        headers = {"Idempotency-Key": key} if key else {}
        try:
            async with self._session.request(
                verb, self._url + path, data=form, headers=headers, timeout=self._timeout
            ) as answer:
                found = await answer.json()
                wait_s = _whole_seconds(answer.headers.get("Retry-After", "1"))
        except (aiohttp.ClientError, TimeoutError, ValueError) as fault:
            raise GatewayUnavailable(f"gateway: {verb} {path}: {fault!r}") from fault
        if answer.status < 400:
            return _members(found)
        error = _members(_members(found).get("error"))
        about = _members(error.get("payment_intent"))
        if answer.status < 500 and about:
            return about
        told = f"gateway: {verb} {path}: {answer.status} {error.get('code') or error.get('type')}"
        if answer.status == 400 and error.get("type") == "invalid_request_error":
            raise GatewayRefused(told, status=400)
        raise GatewayUnavailable(told, retry_after_s=wait_s)


def _charge(found: Mapping[str, Any]) -> Charge:
    try:
        return Charge(str(found["id"]), ChargeStatus(found["status"]))
    except (KeyError, ValueError) as fault:
        raise GatewayUnavailable(f"gateway: an answer we do not understand: {fault!r}") from fault


def _members(found: object) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _whole_seconds(text: str) -> int:
    return min(int(text), 60) if re.fullmatch("[0-9]{1,6}", text) else 1
