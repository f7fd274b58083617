"""Move payments in the ledger: every answer of the gateway moves the payment and its hold in one transaction.

Each function is one transaction's worth of SQL; none of them talks to the gateway, and each may be called twice.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select, update

from inventory_backend.ledger.holds import Note, allocate, count_for_shopper, lines_of, move, names_of, record, release
from inventory_backend.ledger.schema import payment, reservation, shopper_qty
from inventory_backend.ledger.shards import gather
from inventory_backend.sales import PAYMENT_MOVES, HoldState, Money, PaymentState, check_move

UNEXPECTED = frozenset({PaymentState.DECLINED, PaymentState.CANCELLED, PaymentState.VOIDED})
"""The states of a payment for which nobody expects money any more."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A payment and its hold, as they stand."""

    pid: str
    rid: str
    state: PaymentState
    provider: str
    method: str
    ref: str | None
    key: str
    cost: Money
    deadline_ms: int
    tries: int
    created_ms: int
    next_ms: int | None
    hold: HoldState
    expires_ms: int
    order_id: str
    claimed_by: str | None
    claimed_until_ms: int | None


def authorised(connection: Connection, pid: str, ref: str, note: Note, *, is_captured: bool) -> Attempt:
    """The gateway said yes: go on to capture if the units are ours, else send the money back (I3)."""
    found = _locked(connection, pid)
    if found.state is not PaymentState.INIT:
        return found
    if _is_counted(connection, found, note):
        _move_payment(connection, found, PaymentState.AUTHORIZED, provider_ref=ref, tries=0, next_ms=note.now_ms)
        return captured(connection, pid, note) if is_captured else attempt(connection, pid)
    due = PaymentState.REFUND_DUE if is_captured else PaymentState.VOID_DUE
    _move_payment(connection, found, due, provider_ref=ref, tries=0, next_ms=note.now_ms)
    if move(connection, found.rid, HoldState.EXPIRED, HoldState.REFUND_DUE, reason="late-payment"):
        record(connection, [(found.rid, HoldState.EXPIRED, HoldState.REFUND_DUE, 0)], note)
    return attempt(connection, pid)


def captured(connection: Connection, pid: str, note: Note) -> Attempt:
    """The gateway took the money: the hold is an order (W8)."""
    found = _locked(connection, pid)
    if found.state is PaymentState.AUTHORIZED:
        _move_payment(connection, found, PaymentState.CAPTURED, next_ms=None)
        if move(connection, found.rid, HoldState.CAPTURING, HoldState.PAID, paid_ms=note.now_ms):
            record(connection, [(found.rid, HoldState.CAPTURING, HoldState.PAID, 0)], note)
    return attempt(connection, pid)


def declined(connection: Connection, pid: str, ref: str | None, note: Note) -> Attempt:
    """The gateway said no: the shopper may try again as long as the hold was promised, else it is over."""
    found = _locked(connection, pid)
    if found.state is not PaymentState.INIT:
        return found
    _move_payment(connection, found, PaymentState.DECLINED, provider_ref=ref, next_ms=None)
    held_until_ms = connection.execute(
        select(reservation.c.held_until_ms).where(reservation.c.rid == found.rid)
    ).scalar_one()
    if note.now_ms >= held_until_ms:
        release(connection, [found.rid], HoldState.PAYING, HoldState.EXPIRED, note)
    elif move(connection, found.rid, HoldState.PAYING, HoldState.HELD, expires_ms=held_until_ms):
        record(connection, [(found.rid, HoldState.PAYING, HoldState.HELD, 0)], note)
    return attempt(connection, pid)


def cancelled(connection: Connection, pid: str, note: Note) -> Attempt:
    """The gateway confirmed that no money will move: only now the units go back (W7)."""
    found = _locked(connection, pid)
    if found.state in {PaymentState.INIT, PaymentState.AUTHORIZED}:
        _move_payment(connection, found, PaymentState.CANCELLED, next_ms=None)
        for before in (HoldState.PAYING, HoldState.CAPTURING):
            release(connection, [found.rid], before, HoldState.EXPIRED, note)
    return attempt(connection, pid)


def lapsed(
    connection: Connection, pid: str, next_ms: int, note: Note, ref: str | None = None, by: str | None = None
) -> Attempt:
    """The hard deadline passed and the gateway cannot cancel: the units go back, the payment is watched on (W7)."""
    found = _locked(connection, pid)
    release(connection, [found.rid], HoldState.PAYING, HoldState.EXPIRED, note)
    return postpone(connection, pid, next_ms, ref, by=by)


def returned(connection: Connection, pid: str, note: Note) -> Attempt:
    """The gateway sent the money back, or let go of it."""
    found = _locked(connection, pid)
    after = {PaymentState.VOID_DUE: PaymentState.VOIDED, PaymentState.REFUND_DUE: PaymentState.REFUNDED}
    if found.state in after:
        _move_payment(connection, found, after[found.state], next_ms=None)
        if move(connection, found.rid, HoldState.REFUND_DUE, HoldState.REFUNDED):
            record(connection, [(found.rid, HoldState.REFUND_DUE, HoldState.REFUNDED, 0)], note)
    return attempt(connection, pid)


def refund_instead(connection: Connection, pid: str) -> Attempt:
    """The money was taken before it could be let go of: it must be sent back."""
    found = _locked(connection, pid)
    if found.state is PaymentState.VOID_DUE:
        _move_payment(connection, found, PaymentState.REFUND_DUE, tries=0)
    return attempt(connection, pid)


def postpone(
    connection: Connection,
    pid: str,
    next_ms: int,
    ref: str | None = None,
    action_url: str | None = None,
    by: str | None = None,
) -> Attempt:
    """Let whoever comes then ask again at `next_ms`; `ref` and `action_url` are what was learned of the charge.

    A till that took too long (`by`) and was replaced by another changes nothing.
    """
    later = update(payment).where(payment.c.pid == pid, payment.c.next_ms.is_not(None))
    if by is not None:
        later = later.where(payment.c.claimed_by == by)
    known = {"provider_ref": ref, "action_url": action_url} if ref else {}
    connection.execute(later.values(next_ms=next_ms, tries=payment.c.tries + 1, **known, **_UNCLAIMED))
    return attempt(connection, pid)


def _locked(connection: Connection, pid: str) -> Attempt:
    """Return one payment with its hold, which no other till moves until this transaction ends."""
    return attempt(connection, pid, is_locked=True)


def attempt(connection: Connection, pid: str, *, is_locked: bool = False) -> Attempt:
    """Return one payment with its hold."""
    wanted = _PAYMENTS.where(payment.c.pid == pid)
    return _attempt(connection.execute(wanted.with_for_update() if is_locked else wanted).one())


def named(connection: Connection, provider: str, pids: Sequence[str]) -> dict[str, Attempt]:
    """Return those of `pids` that are payments through `provider`."""
    wanted = _PAYMENTS.where(payment.c.pid.in_(pids), payment.c.provider == provider)
    return {row.pid: _attempt(row) for row in connection.execute(wanted)}


def with_money(connection: Connection, provider: str, since_ms: int) -> list[Attempt]:
    """Return the payments begun since then for which the gateway must have a charge."""
    own = (payment.c.provider == provider, payment.c.created_ms >= since_ms, payment.c.state.in_(_WITH_MONEY))
    return [_attempt(row) for row in connection.execute(_PAYMENTS.where(*own))]


def wake(connection: Connection, pid: str, now_ms: int) -> None:
    """Let the saga go on with a payment now, if it is not settled."""
    connection.execute(
        update(payment).where(payment.c.pid == pid, payment.c.next_ms.is_not(None)).values(next_ms=now_ms)
    )


_PAYMENTS = select(payment, reservation.c.state.label("hold"), reservation.c.expires_ms, reservation.c.order_id).join(
    reservation
)
_UNCLAIMED = {"claimed_by": None, "claimed_until_ms": None}
_WITH_MONEY = (
    PaymentState.AUTHORIZED,
    PaymentState.CAPTURED,
    PaymentState.VOID_DUE,
    PaymentState.REFUND_DUE,
    PaymentState.REFUNDED,
)


def _attempt(row: Any) -> Attempt:
    return Attempt(
        pid=row.pid,
        rid=row.rid,
        state=PaymentState(row.state),
        provider=row.provider,
        method=row.method,
        ref=row.provider_ref,
        key=row.provider_key,
        cost=Money(row.amount, row.currency),
        deadline_ms=row.deadline_ms,
        tries=row.tries,
        created_ms=row.created_ms,
        next_ms=row.next_ms,
        hold=HoldState(row.hold),
        expires_ms=row.expires_ms,
        order_id=row.order_id,
        claimed_by=row.claimed_by,
        claimed_until_ms=row.claimed_until_ms,
    )


def _is_counted(connection: Connection, found: Attempt, note: Note) -> bool:
    """Tell whether the units are ours now: still, or again because some are free."""
    if move(connection, found.rid, HoldState.PAYING, HoldState.CAPTURING):
        record(connection, [(found.rid, HoldState.PAYING, HoldState.CAPTURING, 0)], note)
        return True
    with connection.begin_nested() as savepoint:
        is_ours = _allocated_again(connection, found.rid, note)
        if not is_ours:
            savepoint.rollback()
    return is_ours


def _allocated_again(connection: Connection, rid: str, note: Note) -> bool:
    row = connection.execute(select(reservation).where(reservation.c.rid == rid)).one()
    lines = lines_of(connection, [rid])[rid]
    qty = sum(each.qty for each in lines)
    has = (shopper_qty.c.sale == row.sale, shopper_qty.c.shopper.in_(names_of(row)))
    counted = connection.execute(select(shopper_qty.c.shopper, shopper_qty.c.cap).where(*has)).all()
    gather(connection, row.sale, {each.shard_name: each.qty for each in lines}, note.now_ms)
    if not allocate(connection, Counter({(row.sale, each.shard_name): each.qty for each in lines})):
        return False
    counts = [(row.sale, one.shopper, qty, one.cap) for one in counted]
    if not count_for_shopper(connection, counts):
        return False
    if not move(connection, rid, HoldState.EXPIRED, HoldState.CAPTURING, reason=None):
        return False
    record(connection, [(rid, HoldState.EXPIRED, HoldState.CAPTURING, qty)], note)
    return True


def _move_payment(connection: Connection, found: Attempt, after: PaymentState, **values: object) -> None:
    check_move(PAYMENT_MOVES, found.state, after)
    moved = update(payment).where(payment.c.pid == found.pid, payment.c.state == found.state)
    if values.get("next_ms", 0) is None:  # settled: nobody carries it any more
        values |= _UNCLAIMED
    changed = connection.execute(moved.values(state=after, **values)).rowcount
    assert changed == 1, "the payment is locked"
