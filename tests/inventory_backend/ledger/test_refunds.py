"""Money that was taken goes back once, and the units are free from the moment it is decided."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import Connection, select

from inventory_backend.ids import order_id
from inventory_backend.ledger import holds, settlement
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.refunds import Refunding, give_back, refund
from inventory_backend.ledger.schema import audit, outbox
from inventory_backend.sales import HoldState, PaymentState
from tests.bookkeeping import NOW_MS, books, wanted
from tests.inventory_backend.ledger.test_settlement import NOTE, authorise, did, paying

OPS = Note("ops:ann", NOW_MS + 5000, "refunded", "sent the wrong size")


async def paid(ledger: Ledger) -> tuple[str, str]:
    """Return a paid order and its payment."""
    pid = await paying(ledger)
    await authorise(ledger, pid, is_captured=True)
    return order_id((await ledger.read(partial(settlement.attempt, pid=pid))).rid), pid


async def test_a_refund_is_due_and_its_unit_free_in_one_step(ledger: Ledger) -> None:
    order, pid = await paid(ledger)

    assert await ledger.write(partial(refund, order=order, note=OPS)) == (Refunding.BEGUN, pid)

    found = await ledger.read(partial(settlement.attempt, pid=pid))
    assert (found.state, found.hold, found.next_ms) == (PaymentState.REFUND_DUE, HoldState.REFUND_DUE, OPS.now_ms)
    assert (await books(ledger)).allocated["sneaker"] == 0
    assert await did(ledger, settlement.returned, pid, note=NOTE) == (PaymentState.REFUNDED, HoldState.REFUNDED)
    kinds = await ledger.read(lambda c: list(c.execute(select(outbox.c.kind).order_by(outbox.c.id)).scalars()))
    assert kinds == ["order.paid", "release", "order.refunded"]


async def test_a_refund_says_who_and_why_for_ever(ledger: Ledger) -> None:
    order, _ = await paid(ledger)
    await ledger.write(partial(refund, order=order, note=OPS))

    last = select(audit.c.actor, audit.c.why, audit.c.delta).order_by(audit.c.seq.desc()).limit(1)
    assert (await ledger.read(lambda c: tuple(c.execute(last).one()))) == ("ops:ann", "sent the wrong size", -1)


async def test_refunding_twice_is_refunding_once(ledger: Ledger) -> None:
    order, pid = await paid(ledger)
    await ledger.write(partial(refund, order=order, note=OPS))

    assert await ledger.write(partial(refund, order=order, note=OPS)) == (Refunding.KNOWN, "")
    await did(ledger, settlement.returned, pid, note=NOTE)
    assert await ledger.write(partial(refund, order=order, note=OPS)) == (Refunding.KNOWN, "")
    assert (await books(ledger)).payments == {PaymentState.REFUNDED: 1}


async def test_what_is_not_paid_or_not_there_is_not_refunded(ledger: Ledger) -> None:
    pid = await paying(ledger)
    order = (await ledger.read(partial(settlement.attempt, pid=pid))).order_id

    assert (await ledger.write(partial(refund, order=order, note=OPS)))[0] is Refunding.NOT_PAID
    assert (await ledger.write(partial(refund, order="nothing", note=OPS)))[0] is Refunding.NOT_FOUND
    assert (await books(ledger)).allocated["sneaker"] == 1


async def test_who_was_refunded_may_buy_again_and_so_may_others(ledger: Ledger) -> None:
    order, _ = await paid(ledger)
    await ledger.write_together(holds.take, wanted("alice", key="second"))
    await ledger.write(partial(refund, order=order, note=OPS))

    assert await ledger.write_together(holds.take, wanted("alice", key="third")) is holds.Taken.HELD
    assert (await books(ledger)).allocated["sneaker"] == 2


def decline(connection: Connection, pid: str) -> None:
    settlement.declined(connection, pid, "pi_1", NOTE)


def cancel(connection: Connection, pid: str) -> None:
    settlement.cancelled(connection, pid, NOTE)


@pytest.mark.parametrize("over", [decline, cancel])
@pytest.mark.parametrize("is_captured", [False, True])
async def test_money_for_what_was_over_goes_back_and_leaves_the_hold(
    ledger: Ledger, over: Callable[[Connection, str], None], is_captured: bool
) -> None:
    pid = await paying(ledger)
    await ledger.write(lambda c: over(c, pid))
    before = await books(ledger)
    giving = partial(give_back, pid=pid, ref="pi_9", now_ms=NOW_MS, is_captured=is_captured)

    assert await ledger.write(giving)
    assert not await ledger.write(giving)
    state, hold = await did(ledger, settlement.returned, pid, note=NOTE)

    assert state is (PaymentState.REFUNDED if is_captured else PaymentState.VOIDED)
    assert (await books(ledger)).holds == before.holds == {hold: 1}


async def test_money_that_is_expected_is_not_given_back(ledger: Ledger) -> None:
    _, pid = await paid(ledger)

    assert not await ledger.write(partial(give_back, pid=pid, ref="pi_9", now_ms=NOW_MS, is_captured=True))
    assert (await books(ledger)).payments == {PaymentState.CAPTURED: 1}
