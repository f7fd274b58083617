"""Carry each payment to its end: authorise, write it into the ledger, capture; or let go, or send back.

Every step is written down before the next is taken, and every call to the gateway may be repeated, so that any process
can go on where another died. Of several tills one carries a payment, under a claim in the ledger; what a till claimed
that died is taken over when its claim runs out. No database connection is held across a call.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import assert_never
from uuid import uuid4

from sqlalchemy import Connection

from inventory_backend.counters import GATEWAY_FAILURES, PAYMENTS
from inventory_backend.ledger import claims, settlement
from inventory_backend.ledger.claims import Claim
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.settlement import Attempt
from inventory_backend.payments.payments import (
    Charge,
    ChargeStatus,
    Gateway,
    GatewayBusy,
    GatewayRefused,
    GatewayUnavailable,
    Intent,
)
from inventory_backend.sales import HoldState, PaymentState
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.tasks import Errands

log = logging.getLogger(__name__)

_LONGEST_WAIT_MS = 30_000
_LATE_POLL_MS = 5_000
_REFUSED_WAIT_MS = 600_000
_KEY_LIFETIME_MS = 23 * 60 * 60 * 1000
"""For so long the gateway gives the same answer under a key, with an hour to spare; later it would charge again."""
_TRIES_BEFORE_SEARCH = 3
"""A gateway may keep its own failure under a key (Stripe does): then only a search tells what became of the call."""
_CLOSE_LIMIT_S = 10
_MOST_CALLS = 3
"""Calls to the gateway in one step: ask, ask how it stands by now, let go of it."""


@dataclass(frozen=True, slots=True)
class SagaSettings:
    """How many payments are carried at once, how often a pending one is looked at, how long a call may take."""

    concurrency: int = 64
    poll_ms: int = 500
    call_ms: int = 5_000
    write_ms: int = 5_000
    spare_ms: int = 2_000
    """By so much a claim outlasts the longest step: a payment that goes well is claimed once for all its steps."""

    @property
    def step_ms(self) -> int:
        """How long one step may take: its calls, and writing down what they said."""
        return _MOST_CALLS * self.call_ms + self.write_ms

    @property
    def claim_ms(self) -> int:
        """How long the other tills leave a payment to the one that claimed it."""
        return self.step_ms + self.spare_ms


class Saga:
    """The payments under way in this process."""

    def __init__(self, ledger: Ledger, gateways: Mapping[str, Gateway], settings: SagaSettings) -> None:
        """Carry payments of the providers in `gateways`."""
        self._ledger = ledger
        self._gateways = gateways
        self._settings = settings
        self._errands = Errands()
        self._in_hand: set[str] = set()
        self._left: set[str] = set()
        self._name = str(uuid4())

    def start(self, pid: str) -> None:
        """Carry the payment `pid` on, now if there is room; else `resume` finds it."""
        if len(self._in_hand) < self._settings.concurrency:
            self._begin(pid)

    async def resume(self) -> None:
        """Take up every payment that is due: those that wait for the gateway, and those a process left behind."""
        left, self._left = self._left, set()
        for pid in left:  # they are claimed, and by us
            self.start(pid)
        room = self._settings.concurrency - len(self._in_hand)
        if room <= 0 or not await self._ledger.read(partial(claims.is_any_due, now_ms=self._ledger.now_ms())):
            return  # looking does not disturb the writer
        for pid in await self._ledger.write(partial(claims.claim, claimed=self._claim(), most=room)):
            self._begin(pid)

    async def close(self) -> None:
        """Let the steps under way end; what is left goes back to the other tills, and to the next start."""
        await self._errands.close(_CLOSE_LIMIT_S)
        try:
            await self._ledger.write(partial(claims.give_back, by=self._name))
        except StoreUnavailable:
            log.warning("claims left to run out")

    def _begin(self, pid: str) -> None:
        if pid not in self._in_hand:
            self._in_hand.add(pid)
            _ = self._errands.begin(self._carry(pid), name="payment")

    async def _carry(self, pid: str) -> None:
        try:
            attempt = await self._ledger.read(partial(settlement.attempt, pid=pid))
            while attempt.next_ms is not None and attempt.next_ms <= self._ledger.now_ms():
                ours = await self._claimed(attempt)
                if ours is None:
                    return  # another till carries it
                attempt = await self._step(ours)
                if attempt.next_ms is None:
                    PAYMENTS.labels(attempt.state).inc()
        except StoreUnavailable:
            self._left.add(pid)
            log.warning("payment left for later", extra={"pid": pid})
        finally:
            self._in_hand.discard(pid)

    async def _claimed(self, attempt: Attempt) -> Attempt | None:
        """Return the payment, ours for at least one step; None when another till has it."""
        left_ms = (attempt.claimed_until_ms or 0) - self._ledger.now_ms()
        if attempt.claimed_by == self._name and left_ms >= self._settings.step_ms:
            return attempt
        return await self._ledger.write(partial(claims.renew, pid=attempt.pid, claimed=self._claim()))

    def _claim(self) -> Claim:
        now_ms = self._ledger.now_ms()
        return Claim(self._name, now_ms, now_ms + self._settings.claim_ms)

    async def _step(self, attempt: Attempt) -> Attempt:
        try:
            return await self._moved(attempt)
        except GatewayBusy as fault:  # it is told where the pause is kept, once for all payments
            return await self._postpone(attempt, fault.wait_s * 1000)
        except GatewayUnavailable as fault:
            GATEWAY_FAILURES.inc()
            wait_ms = min(_LONGEST_WAIT_MS, max(fault.wait_s * 1000, self._settings.poll_ms << min(attempt.tries, 10)))
            log.warning(
                "gateway asked again later", extra={"pid": attempt.pid, "fault": str(fault), "wait_ms": wait_ms}
            )
            return await self._postpone(attempt, wait_ms)
        except GatewayRefused as fault:
            GATEWAY_FAILURES.inc()
            log.exception("gateway refuses: look into it there", extra={"pid": attempt.pid, "fault": str(fault)})
            return await self._postpone(attempt, _REFUSED_WAIT_MS)

    async def _moved(self, attempt: Attempt) -> Attempt:
        gateway = self._gateways.get(attempt.provider)
        if gateway is None:  # the provider was changed while payments of the old one were under way
            raise GatewayRefused(f"gateway: {attempt.provider} is not configured any more")
        match attempt.state:
            case PaymentState.INIT:
                return await self._authorise(gateway, attempt)
            case PaymentState.AUTHORIZED:
                return await self._capture(gateway, attempt)
            case PaymentState.VOID_DUE:
                return await self._void(gateway, attempt)
            case PaymentState.REFUND_DUE:
                return await self._refund(gateway, attempt)
            case _:
                raise AssertionError(f"a settled payment is not due: {attempt.state}")

    async def _authorise(self, gateway: Gateway, attempt: Attempt) -> Attempt:
        """Ask for the money, or what became of it; past the deadline try to let go of it first (W7)."""
        charge = await self._asked(gateway, attempt)
        ref = charge.ref
        if ref is not None and _is_pending(charge) and self._ledger.now_ms() >= attempt.deadline_ms:
            if attempt.ref is None:  # a process that died had asked: under its key, the answer is as old as that
                charge = await gateway.retrieve(ref)
            if _is_pending(charge):
                charge = await gateway.cancel(ref)
        match charge.status:
            case ChargeStatus.AUTHORISED | ChargeStatus.CAPTURED:
                is_captured = charge.status is ChargeStatus.CAPTURED
                return await self._write(settlement.authorised, attempt, ref=charge.ref, is_captured=is_captured)
            case ChargeStatus.DECLINED:
                return await self._write(settlement.declined, attempt, ref=charge.ref, reason="declined")
            case ChargeStatus.CANCELLED:
                return await self._write(settlement.cancelled, attempt, reason="payment-timeout")
            case ChargeStatus.PROCESSING | ChargeStatus.ACTION_REQUIRED | ChargeStatus.UNCONFIRMED:
                return await self._wait(attempt, charge)
            case _:
                assert_never(charge.status)

    async def _asked(self, gateway: Gateway, attempt: Attempt) -> Charge:
        if attempt.ref is not None:
            return await gateway.retrieve(attempt.ref)
        is_key_old = self._ledger.now_ms() - attempt.created_ms >= _KEY_LIFETIME_MS
        if is_key_old or attempt.tries >= _TRIES_BEFORE_SEARCH:
            found = await gateway.find(attempt.pid)
            if found is not None:
                return found
            if is_key_old:
                return Charge(None, ChargeStatus.CANCELLED)
        # the row with this key is committed (W3): whoever comes after us asks for the same charge
        intent = Intent(attempt.pid, attempt.rid, attempt.order_id, attempt.cost, attempt.method, attempt.expires_ms)
        return await gateway.authorise(intent, key=attempt.key)

    async def _wait(self, attempt: Attempt, charge: Charge) -> Attempt:
        now_ms = self._ledger.now_ms()
        if attempt.hold is HoldState.PAYING and now_ms >= attempt.expires_ms:
            log.warning("hold given back while its payment is pending", extra={"pid": attempt.pid})
            return await self._write(
                settlement.lapsed,
                attempt,
                ref=charge.ref,
                next_ms=now_ms + self._settings.poll_ms,
                by=self._name,
                reason="payment-timeout",
            )
        poll_ms = min(_LATE_POLL_MS, self._settings.poll_ms * (1 + attempt.tries // 4))
        return await self._postpone(attempt, poll_ms, charge)

    async def _capture(self, gateway: Gateway, attempt: Attempt) -> Attempt:
        """Take the money, from a hold that counts and is written down as being taken (W8)."""
        assert attempt.ref is not None, "what was authorised has a name"
        charge = await gateway.capture(attempt.ref, key=f"cap:{attempt.pid}")
        if charge.status is ChargeStatus.CAPTURED:
            return await self._write(settlement.captured, attempt)
        if charge.status is ChargeStatus.CANCELLED:
            return await self._write(settlement.cancelled, attempt, reason="authorisation-lapsed")
        return await self._postpone(attempt, self._settings.poll_ms)

    async def _void(self, gateway: Gateway, attempt: Attempt) -> Attempt:
        """Let go of money that was set aside; that it must go is on record (W9)."""
        assert attempt.ref is not None, "what was authorised has a name"
        charge = await gateway.cancel(attempt.ref)
        if charge.status is ChargeStatus.CANCELLED:
            return await self._write(settlement.returned, attempt)
        if charge.status is ChargeStatus.CAPTURED:
            return await self._ledger.write(partial(settlement.refund_instead, pid=attempt.pid))
        return await self._postpone(attempt, self._settings.poll_ms)

    async def _refund(self, gateway: Gateway, attempt: Attempt) -> Attempt:
        """Send money back; that it must go is on record, and its key is one for ever (W9)."""
        assert attempt.ref is not None, "what was taken has a name"
        await gateway.refund(attempt.ref, key=f"rf:{attempt.pid}")
        return await self._write(settlement.returned, attempt)

    async def _write(
        self, move: Callable[..., Attempt], attempt: Attempt, *, reason: str | None = None, **facts: object
    ) -> Attempt:
        def unit(connection: Connection) -> Attempt:
            return move(connection, attempt.pid, note=Note("saga", self._ledger.now_ms(), reason), **facts)

        return await self._ledger.write(unit)

    async def _postpone(self, attempt: Attempt, wait_ms: int, charge: Charge | None = None) -> Attempt:
        next_ms = self._ledger.now_ms() + wait_ms
        ref, action_url = (charge.ref, charge.action_url) if charge else (None, None)
        later = partial(
            settlement.postpone, pid=attempt.pid, next_ms=next_ms, ref=ref, action_url=action_url, by=self._name
        )
        return await self._ledger.write(later)


def _is_pending(charge: Charge) -> bool:
    return charge.status in {ChargeStatus.PROCESSING, ChargeStatus.ACTION_REQUIRED, ChargeStatus.UNCONFIRMED}
