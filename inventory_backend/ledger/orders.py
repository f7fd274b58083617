"""Orders in the ledger: a hold that somebody began to pay for. What the gateway answers is written by `settlement`."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, func, select
from sqlalchemy.exc import IntegrityError

from inventory_backend.ids import order_id
from inventory_backend.ledger import contacts
from inventory_backend.ledger.holds import Note, lines_of, move, record, release
from inventory_backend.ledger.idempotency import Kept, keep
from inventory_backend.ledger.schema import payment, reservation
from inventory_backend.refusals import refused
from inventory_backend.sales import HoldState, Line, Money, PaymentState

MOST_ATTEMPTS = 10
"""How often one hold may be tried to pay: who tries stolen cards stops here."""


class Placed(StrEnum):
    """What the ledger says to somebody who wants to pay, or to let go."""

    PAYING = "paying"
    CANCELLED = "cancelled"
    NOT_FOUND = "not-found"
    HOLD_EXPIRED = "hold-expired"
    IN_PROGRESS = "payment-in-progress"
    ALREADY_PAID = "already-paid"
    TOO_MANY_ATTEMPTS = "too-many-attempts"


@dataclass(frozen=True, slots=True)
class Placing:
    """One attempt to pay for a hold; `kept` is the answer stored with it."""

    rid: str
    shopper: str
    provider: str
    method: str
    now_ms: int
    window_ms: int
    grace_ms: int
    kept: Kept
    email: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """A hold somebody began to pay for, as its shopper may see it."""

    order_id: str
    rid: str
    sale: str
    lines: tuple[Line, ...]
    cost: Money
    hold: HoldState
    payment: PaymentState
    held_until_ms: int
    placed_ms: int
    paid_ms: int | None
    attempts: int
    action_url: str | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A hold as its shopper may see it."""

    rid: str
    sale: str
    lines: tuple[Line, ...]
    cost: Money
    state: HoldState
    held_until_ms: int
    order_id: str | None


def place(connection: Connection, placing: Placing) -> tuple[Placed, str]:
    """Begin to pay: the intent is on record before the gateway hears of it (W3), the hold outlasts the payment (W4).

    The id of the attempt comes with the word; it is empty when the word is not PAYING.

    Raises:
        Refused: 422, an answer is kept under this key already.
    """
    row = _own(connection, placing.rid, placing.shopper, is_locked=True)
    if row is None:
        return Placed.NOT_FOUND, ""
    if row.state != HoldState.HELD:
        return _NOT_OPEN[HoldState(row.state)], ""
    if placing.now_ms >= row.held_until_ms:
        return Placed.HOLD_EXPIRED, ""
    attempts = connection.execute(
        select(func.count()).select_from(payment).where(payment.c.rid == placing.rid)
    ).scalar_one()
    if attempts >= MOST_ATTEMPTS:
        return Placed.TOO_MANY_ATTEMPTS, ""
    deadline_ms = max(row.held_until_ms, placing.now_ms + placing.window_ms)
    pid = str(uuid4())
    times = {"expires_ms": deadline_ms + placing.grace_ms, "placed_ms": row.placed_ms or placing.now_ms}
    if not move(connection, row.rid, HoldState.HELD, HoldState.PAYING, order_id=order_id(row.rid), **times):
        return Placed.IN_PROGRESS, ""
    connection.execute(
        payment.insert(),
        {
            "pid": pid,
            "rid": row.rid,
            "attempt": attempts + 1,
            "provider": placing.provider,
            "method": placing.method,
            "provider_key": f"pay:{pid}",
            "amount": row.amount,
            "currency": row.currency,
            "state": PaymentState.INIT,
            "deadline_ms": deadline_ms,
            "tries": 0,
            "next_ms": placing.now_ms,
            "created_ms": placing.now_ms,
        },
    )
    if placing.email is not None:
        contacts.keep(connection, row.rid, placing.email, placing.now_ms)
    try:
        keep(connection, [placing.kept], placing.now_ms)
    except IntegrityError as kept:  # another till was faster under this key, for another hold
        raise refused("idempotency-key-reused") from kept
    record(connection, [(row.rid, HoldState.HELD, HoldState.PAYING, 0)], Note("shopper", placing.now_ms))
    return Placed.PAYING, pid


def cancel(connection: Connection, rid: str, shopper: str, now_ms: int) -> Placed:
    """Let go of a hold that is not being paid; again and again gives the same answer."""
    row = _own(connection, rid, shopper, is_locked=True)
    if row is None:
        return Placed.NOT_FOUND
    match HoldState(row.state):
        case HoldState.HELD:
            note = Note("shopper", now_ms, "cancelled")
            release(connection, [rid], HoldState.HELD, HoldState.CANCELLED, note)
            return Placed.CANCELLED
        case HoldState.CANCELLED:
            return Placed.CANCELLED
        case state:
            return _NOT_OPEN[state]


def find(connection: Connection, wanted: Sequence[tuple[str, str]]) -> list[Order | Exception | None]:
    """Return the order of each of `wanted` (order id, shopper); None where there is none, or it is somebody else's."""
    ids = [order for order, _ in wanted]
    rows = {row.order_id: row for row in connection.execute(select(reservation).where(reservation.c.order_id.in_(ids)))}
    mine = [rows.get(order) for order, _ in wanted]
    rids = [row.rid for row in rows.values()]
    lines = lines_of(connection, rids)
    attempts = select(payment.c.rid, payment.c.state, payment.c.attempt, payment.c.action_url)
    attempts = attempts.where(payment.c.rid.in_(rids))
    ordered = connection.execute(attempts.order_by(payment.c.attempt))
    last = {one.rid: one for one in ordered}
    return [
        _order(row, lines[row.rid], last[row.rid]) if row is not None and row.shopper == shopper else None
        for row, (_, shopper) in zip(mine, wanted, strict=True)
    ]


def hold(connection: Connection, rid: str, shopper: str) -> Hold | None:
    """Return the hold `rid` of `shopper`; None when there is none, or when it is somebody else's."""
    row = _own(connection, rid, shopper)
    if row is None:
        return None
    return Hold(
        rid=row.rid,
        sale=row.sale,
        lines=tuple(lines_of(connection, [rid])[rid]),
        cost=Money(row.amount, row.currency),
        state=HoldState(row.state),
        held_until_ms=row.held_until_ms,
        order_id=row.order_id,
    )


_NOT_OPEN = {
    HoldState.PAYING: Placed.IN_PROGRESS,
    HoldState.CAPTURING: Placed.IN_PROGRESS,
    HoldState.PAID: Placed.ALREADY_PAID,
    HoldState.EXPIRED: Placed.HOLD_EXPIRED,
    HoldState.CANCELLED: Placed.HOLD_EXPIRED,
    HoldState.REFUND_DUE: Placed.HOLD_EXPIRED,
    HoldState.REFUNDED: Placed.HOLD_EXPIRED,
}
"""What to say about a hold that can be neither paid nor cancelled any more."""


def _order(row: "Row[tuple[Any, ...]]", lines: Sequence[Line], last: Any) -> Order:
    return Order(
        order_id=row.order_id,
        rid=row.rid,
        sale=row.sale,
        lines=tuple(lines),
        cost=Money(row.amount, row.currency),
        hold=HoldState(row.state),
        payment=PaymentState(last.state),
        held_until_ms=row.held_until_ms,
        placed_ms=row.placed_ms,
        paid_ms=row.paid_ms,
        attempts=last.attempt,
        action_url=last.action_url if last.state == PaymentState.INIT else None,
    )


def _own(connection: Connection, rid: str, shopper: str, *, is_locked: bool = False) -> "Row[tuple[Any, ...]] | None":
    wanted = select(reservation).where(reservation.c.rid == rid, reservation.c.shopper == shopper)
    return connection.execute(wanted.with_for_update() if is_locked else wanted).one_or_none()
