"""What the till wants of a payment gateway: authorise, capture, let go, send back, and what it has in its books.

Every call may be repeated: the gateway gives the same answer under the same idempotency key (Stripe's rules), and
capture, cancel and refund of what is done already say so.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from inventory_backend.sales import Money
from waitroom.kernel.errors import WaitroomError


class ChargeStatus(StrEnum):
    """What the gateway says about a charge; the values are Stripe's."""

    UNCONFIRMED = "requires_confirmation"
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
    action_url: str | None = None  # where its shopper has to go before it goes on


@dataclass(frozen=True, slots=True)
class Listed:
    """A charge in the gateway's own books; `pid` and `shop` are what we wrote beside it: its name, and whose it is."""

    ref: str
    status: ChargeStatus
    cost: Money
    refunded: int
    pid: str
    shop: str = ""


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


class GatewayBusy(GatewayUnavailable):
    """The gateway asked for fewer calls: whoever wants something of it waits."""


class GatewayRefused(WaitroomError):
    """The gateway does not take such a request, whenever it comes: nothing was done."""


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
        """Send back what was taken; what went back before is done."""
        ...

    async def find(self, pid: str) -> Charge | None:
        """Return the charge that was made for our payment `pid`, as far as the gateway's search knows yet."""
        ...

    async def look(self, ref: str) -> Listed:
        """Return the charge as it stands in the gateway's own books."""
        ...

    def listed(self, since_ms: int) -> AsyncIterator[Listed]:
        """Yield every charge made since then, newest first."""
        ...
