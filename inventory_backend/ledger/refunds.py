"""Send money back that was taken: on record, and the units free again, before the gateway hears of it (W9, W6).

Units that come back are sold again while their sale is open, and stay unsold after it: whoever must not sell one again
lowers the stock of its sku.
"""

from enum import StrEnum

from sqlalchemy import Connection, select, update

from inventory_backend.ledger.holds import Note, release
from inventory_backend.ledger.schema import payment, reservation
from inventory_backend.ledger.settlement import UNEXPECTED, attempt
from inventory_backend.sales import PAYMENT_MOVES, HoldState, PaymentState, check_move


class Refunding(StrEnum):
    """What the ledger says to somebody who wants an order's money sent back."""

    BEGUN = "begun"
    KNOWN = "known"
    NOT_FOUND = "not-found"
    NOT_PAID = "not-paid"


def refund(connection: Connection, order: str, note: Note) -> tuple[Refunding, str]:
    """Begin to send the money of a paid order back; the id of the payment comes with the word.

    The saga of any till carries it on (REFUND_DUE), under one key: begun twice, it is sent once.
    """
    row = connection.execute(
        select(reservation.c.rid, reservation.c.state).where(reservation.c.order_id == order).with_for_update()
    ).one_or_none()
    if row is None:
        return Refunding.NOT_FOUND, ""
    if row.state in {HoldState.REFUND_DUE, HoldState.REFUNDED}:
        return Refunding.KNOWN, ""
    if row.state != HoldState.PAID:
        return Refunding.NOT_PAID, ""
    paid = (payment.c.rid == row.rid, payment.c.state == PaymentState.CAPTURED)
    pid: str = connection.execute(select(payment.c.pid).where(*paid)).scalar_one()
    check_move(PAYMENT_MOVES, PaymentState.CAPTURED, PaymentState.REFUND_DUE)
    connection.execute(
        update(payment).where(*paid).values(state=PaymentState.REFUND_DUE, next_ms=note.now_ms, tries=0)  # (W9)
    )
    release(connection, [row.rid], HoldState.PAID, HoldState.REFUND_DUE, note)  # (W6)
    return Refunding.BEGUN, pid


def give_back(connection: Connection, pid: str, ref: str, now_ms: int, *, is_captured: bool) -> bool:
    """Begin to give back what the gateway has for a payment that was over; False when it is not over, or given back.

    Nobody waits for such money any more: the shopper was told no, and may have paid otherwise since.
    """
    found = attempt(connection, pid, is_locked=True)
    if found.state not in UNEXPECTED:
        return False
    due = PaymentState.REFUND_DUE if is_captured else PaymentState.VOID_DUE
    check_move(PAYMENT_MOVES, found.state, due)
    moved = update(payment).where(payment.c.pid == pid, payment.c.state == found.state)
    connection.execute(moved.values(state=due, provider_ref=ref, next_ms=now_ms, tries=0))
    return True
