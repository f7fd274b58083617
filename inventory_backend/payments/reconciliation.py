"""Hold the ledger against the gateway's own books: every charge of ours ends as one order, or goes back (I3).

What the gateway lists is compared after it was listed: since a payment is on record before its charge is made (W3), a
charge of ours without a payment is one that the ledger has lost.
"""

import logging
from collections import Counter as Counts
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from inventory_backend.counters import GATEWAY_DIFFERENCES
from inventory_backend.differences import Difference, Kind, Repair
from inventory_backend.ledger import refunds, settlement
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.settlement import UNEXPECTED, Attempt
from inventory_backend.payments.payments import ChargeStatus, Gateway, Listed
from inventory_backend.payments.stripe_shapes import MOST_LISTED
from inventory_backend.sales import PaymentState

log = logging.getLogger(__name__)

WINDOW_MS = 3 * 24 * 60 * 60 * 1000
"""How far back the first comparison of a process looks: as long as Stripe goes on telling what nobody took."""
_OVERLAP_MS = 60 * 60 * 1000
_SKEW_MS = 5 * 60 * 1000
"""How far the gateway's clock may be from the ledger's."""
_PATIENCE_MS = 60_000
"""A payment that the saga left due for so long is one that it does not carry."""
_MAY_BE_MONEY = frozenset({ChargeStatus.AUTHORISED, ChargeStatus.PROCESSING, ChargeStatus.ACTION_REQUIRED})


@dataclass(frozen=True, slots=True)
class Account:
    """Whose charges are looked at, and where: `shop` is the name of the ledger."""

    provider: str
    gateway: Gateway
    shop: str


class Reconciliation:
    """The ledger beside one account at a gateway."""

    def __init__(self, ledger: Ledger, account: Account, go_on: Callable[[str], None]) -> None:
        """Compare `ledger` with `account`; `go_on` is told which payments the saga should carry at once."""
        self._ledger = ledger
        self._account = account
        self._go_on = go_on
        self._begun_ms: int | None = None

    async def step(self) -> None:
        """Compare what is new since the last time, with an hour to spare, and repair what is safe."""
        now_ms = self._ledger.now_ms()
        since_ms = now_ms - WINDOW_MS if self._begun_ms is None else self._begun_ms - _OVERLAP_MS
        found = [one async for one in self.differences(since_ms)]
        for one in found:
            await self.repair(one)
        self._begun_ms = now_ms
        counted = Counts(one.difference.kind for one in found)
        for kind in Kind:
            GATEWAY_DIFFERENCES.labels(kind).set(counted[kind])

    async def differences(self, since_ms: int) -> "AsyncIterator[Found]":
        """Yield what differs among the charges made since then.

        Raises:
            GatewayUnavailable: it does not give its list.
            StoreUnavailable: the ledger does not answer.
        """
        provider = self._account.provider
        money = await self._ledger.read(partial(settlement.with_money, provider=provider, since_ms=since_ms))
        listed = set[str]()
        async for page in _pages(self._account.gateway.listed(max(0, since_ms - _SKEW_MS))):
            listed |= {one.ref for one in page}
            for found in await self._compared(page):
                yield found
        for one in money:
            if one.ref not in listed:
                told = Difference(Kind.PAYMENT_WITHOUT_CHARGE, one.ref or one.pid, one.state, "none", Repair.LOOK)
                yield Found(told, None, one)

    async def repair(self, found: "Found") -> None:
        """Do what is safe about a difference; every repair may be done twice."""
        told, charge, payment = found.difference, found.charge, found.payment
        log.warning(
            "books differ",
            extra={"kind": told.kind, "subject": told.subject, "ledger": told.ledger, "gateway": told.other},
        )
        if charge is None or told.repair is Repair.LOOK:
            return
        if payment is None:
            await self._give_back_what_nobody_knows(charge, told.repair)
            return
        note = Note("reconciliation", self._ledger.now_ms(), told.kind)
        if told.kind is Kind.REFUNDED_THERE:
            await self._ledger.write(partial(refunds.refund, order=payment.order_id, note=note))
        elif told.repair is Repair.GO_ON:
            await self._ledger.write(partial(settlement.wake, pid=payment.pid, now_ms=note.now_ms))
        else:
            is_captured = told.repair is Repair.REFUND
            giving = partial(refunds.give_back, pid=payment.pid, ref=charge.ref, now_ms=note.now_ms)
            await self._ledger.write(partial(giving, is_captured=is_captured))
        self._go_on(payment.pid)

    async def _compared(self, page: Sequence[Listed]) -> "list[Found]":
        ours = [one for one in page if one.shop == self._account.shop]
        payments = await self._payments([one.pid for one in ours])
        now_ms = self._ledger.now_ms()
        odd = [one for one in ours if judge(one, payments.get(one.pid), now_ms) is not None]
        return [found for one in odd if (found := await self._still_differs(one)) is not None]

    async def _still_differs(self, charge: Listed) -> "Found | None":
        """Look once more, the ledger first: a list is old when it is read, and what has moved since does not differ."""
        payment = (await self._payments([charge.pid])).get(charge.pid)
        charge = await self._account.gateway.look(charge.ref)
        judged = judge(charge, payment, self._ledger.now_ms())
        if judged is None:
            return None
        state = "none" if payment is None else payment.state
        return Found(Difference(judged[0], charge.ref, state, _spelt(charge), judged[1]), charge, payment)

    async def _payments(self, pids: Sequence[str]) -> dict[str, Attempt]:
        return await self._ledger.read(partial(settlement.named, provider=self._account.provider, pids=pids))

    async def _give_back_what_nobody_knows(self, charge: Listed, repair: Repair) -> None:
        """Give back at once: there is no row to write an intent into, so the key alone makes it once (W9)."""
        if repair is Repair.REFUND:
            await self._account.gateway.refund(charge.ref, key=f"rf:{charge.ref}")
        else:
            await self._account.gateway.cancel(charge.ref)


@dataclass(frozen=True, slots=True)
class Found:
    """A difference, with both sides of it."""

    difference: Difference
    charge: Listed | None
    payment: Attempt | None


async def _pages(rows: AsyncIterator[Listed]) -> AsyncIterator[list[Listed]]:
    """Yield `rows` by the hundred: so many are looked up in the ledger at once."""
    page = list[Listed]()
    async for row in rows:
        page.append(row)
        if len(page) == MOST_LISTED:
            yield page
            page = []
    yield page


def judge(charge: Listed, payment: Attempt | None, now_ms: int) -> tuple[Kind, Repair] | None:
    """Return what differs between a charge of ours and its payment, and what is safe to do; None where they agree."""
    if payment is None:
        back = _way_back(charge)
        return None if back is None else (Kind.CHARGE_WITHOUT_PAYMENT, back)
    if charge.cost != payment.cost:
        return Kind.AMOUNT, Repair.LOOK
    if payment.next_ms is not None:
        return (Kind.BEHIND, Repair.GO_ON) if now_ms - payment.next_ms > _PATIENCE_MS else None
    return _judge_settled(charge, payment.state)


def _judge_settled(charge: Listed, state: PaymentState) -> tuple[Kind, Repair] | None:
    if state in UNEXPECTED:
        back = _way_back(charge)
        return None if back is None else (Kind.NOT_EXPECTED, back)
    is_back = charge.refunded >= charge.cost.amount
    if charge.status is not ChargeStatus.CAPTURED:
        return Kind.MISSING, Repair.LOOK
    if state is PaymentState.CAPTURED:
        return (Kind.REFUNDED_THERE, Repair.REFUND) if is_back else None
    return None if is_back else (Kind.NOT_REFUNDED, Repair.LOOK)


def _way_back(charge: Listed) -> Repair | None:
    """Return how money goes back that nobody expects; None when there is none, nor can be any."""
    if charge.status is ChargeStatus.CAPTURED:
        return Repair.REFUND if charge.refunded < charge.cost.amount else None
    return Repair.VOID if charge.status in _MAY_BE_MONEY else None


def _spelt(charge: Listed) -> str:
    return f"{charge.status}, {charge.refunded} of {charge.cost.amount} sent back" if charge.refunded else charge.status
