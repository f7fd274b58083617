"""Hear what a gateway tells of its charges, and go on with the payment; the order in which it tells does not matter.

News of money move the ledger in the transaction that keeps them (W5). Where it matters what happened since (a no that
may have become a yes, money for a payment that was over), the charge itself is asked for first. Whatever is never told
is found by asking: the saga polls on, and the reconciliation reads the gateway's own books.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from sqlalchemy import Connection

from inventory_backend.counters import GATEWAY_NEWS
from inventory_backend.ledger import inbox, refunds, settlement
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.inbox import Heard
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.settlement import UNEXPECTED, Attempt
from inventory_backend.payments.events import Told
from inventory_backend.payments.payments import ChargeStatus, Gateway
from inventory_backend.payments.saga import Saga
from inventory_backend.sales import PaymentState

log = logging.getLogger(__name__)

_MONEY = frozenset({ChargeStatus.AUTHORISED, ChargeStatus.CAPTURED})


class Listener:
    """Who takes a gateway's word."""

    def __init__(self, ledger: Ledger, gateways: Mapping[str, Gateway], saga: Saga) -> None:
        """Write into `ledger` what the `gateways` tell; `saga` goes on with it."""
        self._ledger = ledger
        self._gateways = gateways
        self._saga = saga

    async def hear(self, provider: str, told: Told, body: str) -> Heard:
        """Take one genuine piece of news, once.

        Raises:
            StoreUnavailable: nothing was written; it must be told again.
            GatewayUnavailable: the charge itself cannot be asked for; it must be told again.
        """
        found = await self._ledger.read(partial(inbox.payment_of, provider=provider, pid=told.pid, ref=told.ref))
        status = told.status
        if found is not None and _must_be_asked(found, told):
            status = (await self._gateways[provider].retrieve(told.ref)).status
        word, pid = await self._ledger.write(
            lambda connection: _taken(connection, provider, told, status, Note("gateway", self._ledger.now_ms()), body)
        )
        GATEWAY_NEWS.labels(word).inc()
        if pid:
            self._saga.start(pid)
        return word


def _must_be_asked(found: Attempt, told: Told) -> bool:
    """Tell whether the news may be stale in a way that matters."""
    is_no = told.status is ChargeStatus.DECLINED and found.state is PaymentState.INIT
    return is_no or (told.status in _MONEY and found.state in UNEXPECTED)


def _taken(
    connection: Connection, provider: str, told: Told, status: ChargeStatus | None, note: Note, body: str
) -> tuple[Heard, str]:
    if not inbox.write_down(connection, provider, told.event_id, body, note.now_ms):
        return Heard.KNOWN, ""
    found = inbox.payment_of(connection, provider, told.pid, told.ref)
    if found is None or status is None:
        return Heard.UNKNOWN, ""
    if told.cost != found.cost:
        log.error("gateway tells of another amount", extra={"pid": found.pid, "ref": told.ref})
        return Heard.UNKNOWN, ""
    inbox.note_reservation(connection, provider, told.event_id, found.rid)
    _move(connection, found, told, status, note)
    return Heard.NEW, found.pid


def _move(connection: Connection, found: Attempt, told: Told, status: ChargeStatus, note: Note) -> None:
    """Make the move that `status` means for a payment in its state; most of the time that was made already."""
    if status in _MONEY and found.state in UNEXPECTED and not told.is_refunded:
        is_captured = status is ChargeStatus.CAPTURED
        refunds.give_back(connection, found.pid, told.ref, note.now_ms, is_captured=is_captured)
    elif (move := _MOVES.get((found.state, status))) is not None:
        move(connection, found.pid, told.ref, note)
    if told.is_refunded:  # only what is paid by now is refunded
        refunds.refund(connection, found.order_id, replace(note, reason="refunded-at-gateway"))


def _authorised(connection: Connection, pid: str, ref: str, note: Note) -> None:
    settlement.authorised(connection, pid, ref, note, is_captured=False)


def _taken_at_once(connection: Connection, pid: str, ref: str, note: Note) -> None:
    settlement.authorised(connection, pid, ref, note, is_captured=True)


def _declined(connection: Connection, pid: str, ref: str, note: Note) -> None:
    settlement.declined(connection, pid, ref, replace(note, reason="declined"))


def _cancelled(connection: Connection, pid: str, _ref: str, note: Note) -> None:
    settlement.cancelled(connection, pid, replace(note, reason="cancelled-at-gateway"))


def _captured(connection: Connection, pid: str, _ref: str, note: Note) -> None:
    settlement.captured(connection, pid, note)


def _let_go(connection: Connection, pid: str, _ref: str, note: Note) -> None:
    settlement.returned(connection, pid, note)


def _taken_after_all(connection: Connection, pid: str, _ref: str, _note: Note) -> None:
    settlement.refund_instead(connection, pid)


_MOVES: Mapping[tuple[PaymentState, ChargeStatus], Callable[[Connection, str, str, Note], None]] = {
    (PaymentState.INIT, ChargeStatus.AUTHORISED): _authorised,
    (PaymentState.INIT, ChargeStatus.CAPTURED): _taken_at_once,
    (PaymentState.INIT, ChargeStatus.DECLINED): _declined,
    (PaymentState.INIT, ChargeStatus.CANCELLED): _cancelled,
    (PaymentState.AUTHORIZED, ChargeStatus.CANCELLED): _cancelled,
    (PaymentState.AUTHORIZED, ChargeStatus.CAPTURED): _captured,
    (PaymentState.VOID_DUE, ChargeStatus.CANCELLED): _let_go,
    (PaymentState.VOID_DUE, ChargeStatus.CAPTURED): _taken_after_all,
}
