"""A hold becomes an order when somebody begins to pay."""

import asyncio
from functools import partial

import pytest

from inventory_backend.ids import order_id
from inventory_backend.ledger import holds, orders
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.idempotency import Kept
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.orders import MOST_ATTEMPTS, Order, Placed, Placing
from inventory_backend.ledger.settlement import Attempt, attempt, authorised, captured, declined
from inventory_backend.sales import HoldState, Money, PaymentState
from tests.bookkeeping import NOW_MS, books, wanted
from waitroom.kernel.errors import Refused

HELD = wanted("alice")


@pytest.fixture
async def held(ledger: Ledger) -> str:
    await ledger.write_together(holds.take, HELD)
    return HELD.rid


def placing(rid: str = HELD.rid, shopper: str = "alice", *, now_ms: int = NOW_MS, key: str = "c") -> Placing:
    kept = Kept(f"commit {shopper}", key, "f", 202, "{}")
    return Placing(rid, shopper, "simulated", "card_ok", now_ms, window_ms=60_000, grace_ms=10_000, kept=kept)


async def place(ledger: Ledger, asked: Placing) -> tuple[Placed, str]:
    return await ledger.write(lambda connection: orders.place(connection, asked))


async def seen(ledger: Ledger, order: str, shopper: str) -> Order | None:
    return await ledger.read_together(orders.find, (order, shopper))


async def told(ledger: Ledger, pid: str) -> Attempt:
    return await ledger.read(partial(attempt, pid=pid))


@pytest.mark.usefixtures("held")
async def test_paying_puts_the_intent_on_record_and_makes_the_hold_outlast_it(ledger: Ledger) -> None:
    word, pid = await place(ledger, placing())

    found = await told(ledger, pid)
    assert word is Placed.PAYING
    assert (found.state, found.hold, found.next_ms) == (PaymentState.INIT, HoldState.PAYING, NOW_MS)
    assert found.deadline_ms == HELD.expires_ms
    assert found.expires_ms == found.deadline_ms + 10_000
    assert (found.key, found.cost, found.order_id) == (f"pay:{pid}", Money(12900, "EUR"), order_id(HELD.rid))


async def test_one_key_pays_for_one_hold(ledger: Ledger, held: str) -> None:
    other = wanted("alice", ("laces", 1), key="other")
    await ledger.write_together(holds.take, other)
    await place(ledger, placing(held))

    with pytest.raises(Refused) as refusal:
        await place(ledger, placing(other.rid))

    assert (refusal.value.status, refusal.value.kind) == (422, "idempotency-key-reused")
    assert (await books(ledger)).holds == {HoldState.PAYING: 1, HoldState.HELD: 1}


@pytest.mark.usefixtures("held")
async def test_who_pays_in_the_last_second_has_the_whole_window(ledger: Ledger) -> None:
    late_ms = HELD.expires_ms - 1

    _, pid = await place(ledger, placing(now_ms=late_ms))

    assert (await told(ledger, pid)).deadline_ms == late_ms + 60_000


@pytest.mark.usefixtures("held")
async def test_who_pays_too_late_is_told_so_and_nothing_changes(ledger: Ledger) -> None:
    assert await place(ledger, placing(now_ms=HELD.expires_ms)) == (Placed.HOLD_EXPIRED, "")
    assert (await books(ledger)).payments.total() == 0


@pytest.mark.usefixtures("held")
async def test_other_peoples_holds_do_not_exist(ledger: Ledger) -> None:
    assert await place(ledger, placing(shopper="bob")) == (Placed.NOT_FOUND, "")
    assert await place(ledger, placing("no-such-hold")) == (Placed.NOT_FOUND, "")
    assert await ledger.read(lambda c: orders.hold(c, HELD.rid, "bob")) is None
    assert await ledger.read(lambda c: orders.find(c, [(order_id(HELD.rid), "bob")])) == [None]
    assert await ledger.write(lambda c: orders.cancel(c, HELD.rid, "bob", NOW_MS)) is Placed.NOT_FOUND


@pytest.mark.usefixtures("held")
async def test_a_hold_is_paid_once(ledger: Ledger) -> None:
    await place(ledger, placing())

    assert (await place(ledger, placing(key="other")))[0] is Placed.IN_PROGRESS


@pytest.mark.usefixtures("held")
async def test_a_declined_hold_may_be_tried_again_but_not_for_ever(ledger: Ledger) -> None:
    for number in range(MOST_ATTEMPTS):
        word, pid = await place(ledger, placing(key=f"c{number}"))
        assert word is Placed.PAYING
        await ledger.write(partial(declined, pid=pid, ref=f"pi_{number}", note=Note("saga", NOW_MS, "declined")))
        assert (await told(ledger, pid)).expires_ms == HELD.expires_ms, "paying again makes no hold longer"

    assert (await place(ledger, placing(key="again")))[0] is Placed.TOO_MANY_ATTEMPTS
    found = await seen(ledger, order_id(HELD.rid), "alice")
    assert found is not None
    assert (found.payment, found.attempts, found.hold) == (PaymentState.DECLINED, MOST_ATTEMPTS, HoldState.HELD)


@pytest.mark.usefixtures("held")
async def test_a_hold_is_let_go_once_and_the_answer_stays(ledger: Ledger) -> None:
    for _ in range(2):
        assert await ledger.write(lambda c: orders.cancel(c, HELD.rid, "alice", NOW_MS)) is Placed.CANCELLED

    assert (await books(ledger)).allocated["sneaker"] == 0
    assert await place(ledger, placing()) == (Placed.HOLD_EXPIRED, "")


@pytest.mark.usefixtures("held")
async def test_what_is_being_paid_or_paid_cannot_be_let_go(ledger: Ledger) -> None:
    _, pid = await place(ledger, placing())
    assert await ledger.write(lambda c: orders.cancel(c, HELD.rid, "alice", NOW_MS)) is Placed.IN_PROGRESS
    note = Note("saga", NOW_MS)
    await ledger.write(partial(authorised, pid=pid, ref="pi", note=note, is_captured=False))
    await ledger.write(partial(captured, pid=pid, note=note))
    assert await ledger.write(lambda c: orders.cancel(c, HELD.rid, "alice", NOW_MS)) is Placed.ALREADY_PAID
    assert (await place(ledger, placing(key="x")))[0] is Placed.ALREADY_PAID
    assert (await books(ledger)).allocated["sneaker"] == 1


@pytest.mark.usefixtures("held")
async def test_a_shopper_sees_the_hold_and_the_order(ledger: Ledger) -> None:
    before = await ledger.read(lambda c: orders.hold(c, HELD.rid, "alice"))
    await place(ledger, placing())
    after = await seen(ledger, order_id(HELD.rid), "alice")

    assert before is not None
    assert after is not None
    assert (before.state, before.order_id, before.lines) == (HoldState.HELD, None, HELD.lines)
    assert (after.hold, after.placed_ms, after.paid_ms) == (HoldState.PAYING, NOW_MS, None)


async def test_many_orders_are_looked_up_together(ledger: Ledger) -> None:
    mine = []
    for shopper in ("a", "b", "c"):
        one = wanted(shopper, ("sneaker", 1), ("laces", 1))
        await ledger.write_together(holds.take, one)
        await place(ledger, placing(one.rid, shopper))
        mine.append((order_id(one.rid), shopper))

    found = await asyncio.gather(*(seen(ledger, *name) for name in [*mine, ("unknown", "a"), (mine[0][0], "b")]))

    assert [one and one.order_id for one in found] == [order for order, _ in mine] + [None, None]
    assert all(one is None or len(one.lines) == 2 for one in found)
