"""Every answer of the gateway moves the payment and its hold together, once."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger import claims, holds, settlement
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.idempotency import Kept
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.orders import Placing, place
from inventory_backend.ledger.schema import sku
from inventory_backend.ledger.settlement import Attempt
from inventory_backend.sales import HoldState, PaymentState
from tests.bookkeeping import NOW_MS, books, wanted

Stand = tuple[PaymentState, HoldState]

NOTE = Note("saga", NOW_MS + 1000, "why")
LATE = Note("saga", NOW_MS + 700_000, "why")


async def paying(ledger: Ledger, shopper: str = "alice", qty: int = 1, identity: str | None = None) -> str:
    """Return a payment under way."""
    one = replace(wanted(shopper, ("sneaker", qty)), identity=identity, limit_per_identity=qty)
    await ledger.write_together(holds.take, one)
    kept = Kept(f"commit {shopper}", "c", "f", 202, "{}")
    asked = Placing(one.rid, shopper, "simulated", "card_ok", NOW_MS, window_ms=60_000, grace_ms=0, kept=kept)
    return (await ledger.write(lambda connection: place(connection, asked)))[1]


async def did(
    ledger: Ledger, move: Callable[..., Attempt], pid: str, **facts: object
) -> tuple[PaymentState, HoldState]:
    found = await ledger.write(partial(move, pid=pid, **facts))
    return found.state, found.hold


async def lapse(ledger: Ledger, pid: str) -> None:
    assert await did(ledger, settlement.lapsed, pid, next_ms=NOW_MS, note=LATE) == (
        PaymentState.INIT,
        HoldState.EXPIRED,
    )


async def authorise(ledger: Ledger, pid: str, *, is_captured: bool = False) -> Stand:
    return await did(ledger, settlement.authorised, pid, ref=f"pi_{pid}", note=NOTE, is_captured=is_captured)


async def test_authorised_then_captured_is_an_order(ledger: Ledger) -> None:
    pid = await paying(ledger)

    for _ in range(2):  # a crash between the commit and the next step repeats it
        assert await authorise(ledger, pid) == (PaymentState.AUTHORIZED, HoldState.CAPTURING)
    for _ in range(2):
        assert await did(ledger, settlement.captured, pid, note=NOTE) == (PaymentState.CAPTURED, HoldState.PAID)
    assert (await books(ledger)).allocated["sneaker"] == 1


async def test_a_gateway_that_captures_at_once_makes_the_order_in_one_step(ledger: Ledger) -> None:
    assert await authorise(ledger, await paying(ledger), is_captured=True) == (PaymentState.CAPTURED, HoldState.PAID)
    await books(ledger)


async def test_declined_with_time_left_is_held_again(ledger: Ledger) -> None:
    pid = await paying(ledger)

    for _ in range(2):
        state = await did(ledger, settlement.declined, pid, ref="pi", note=NOTE)
        assert state == (PaymentState.DECLINED, HoldState.HELD)
    assert (await books(ledger)).allocated["sneaker"] == 1


async def test_declined_with_no_time_left_gives_the_units_back(ledger: Ledger) -> None:
    state = await did(ledger, settlement.declined, await paying(ledger), ref="pi", note=LATE)

    assert state == (PaymentState.DECLINED, HoldState.EXPIRED)
    assert (await books(ledger)).allocated["sneaker"] == 0


@pytest.mark.parametrize("is_authorised", [False, True])
async def test_units_go_back_when_the_gateway_confirmed_the_cancel(ledger: Ledger, is_authorised: bool) -> None:
    pid = await paying(ledger)
    if is_authorised:
        await authorise(ledger, pid)

    for _ in range(2):
        state = await did(ledger, settlement.cancelled, pid, note=NOTE)
        assert state == (PaymentState.CANCELLED, HoldState.EXPIRED)
    assert (await books(ledger)).allocated["sneaker"] == 0


async def test_late_money_buys_the_units_if_some_are_free(ledger: Ledger) -> None:
    pid = await paying(ledger)
    await lapse(ledger, pid)

    assert await authorise(ledger, pid) == (PaymentState.AUTHORIZED, HoldState.CAPTURING)
    assert await did(ledger, settlement.captured, pid, note=LATE) == (PaymentState.CAPTURED, HoldState.PAID)
    assert (await books(ledger)).allocated["sneaker"] == 1


@pytest.mark.parametrize(
    ("is_captured", "due", "end"),
    [
        (False, PaymentState.VOID_DUE, PaymentState.VOIDED),
        (True, PaymentState.REFUND_DUE, PaymentState.REFUNDED),
    ],
)
async def test_late_money_for_what_others_have_goes_back(
    ledger: Ledger, is_captured: bool, due: PaymentState, end: PaymentState
) -> None:
    pid = await paying(ledger)
    await lapse(ledger, pid)
    for n in range(10):
        await ledger.write_together(holds.take, wanted(f"s{n}"))

    assert await authorise(ledger, pid, is_captured=is_captured) == (due, HoldState.REFUND_DUE)
    for _ in range(2):
        assert await did(ledger, settlement.returned, pid, note=LATE) == (end, HoldState.REFUNDED)
    assert (await books(ledger)).allocated["sneaker"] == 10


async def test_late_money_of_who_has_the_limit_already_goes_back(ledger: Ledger) -> None:
    pid = await paying(ledger, qty=2)
    await lapse(ledger, pid)
    await ledger.write_together(holds.take, wanted("alice", key="another"))

    assert await authorise(ledger, pid) == (PaymentState.VOID_DUE, HoldState.REFUND_DUE)
    assert (await books(ledger)).allocated["sneaker"] == 1


@pytest.mark.parametrize("account", ["ada", "bob"])
async def test_late_money_buys_for_an_account_only_within_its_limit(ledger: Ledger, account: str) -> None:
    """Its other device has taken the unit that the first let lapse."""
    pid = await paying(ledger, "phone", identity="ada")
    await lapse(ledger, pid)
    await ledger.write_together(holds.take, replace(wanted("laptop"), identity=account, limit_per_identity=1))

    kept = (PaymentState.AUTHORIZED, HoldState.CAPTURING)
    assert await authorise(ledger, pid) == (kept if account == "bob" else (PaymentState.VOID_DUE, HoldState.REFUND_DUE))
    assert (await books(ledger)).allocated["sneaker"] == (2 if account == "bob" else 1)


async def test_late_money_without_the_guard_is_still_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant: late money is taken without asking whether units are free; the CHECK ends the transaction."""
    pid = await paying(ledger)
    await lapse(ledger, pid)
    for n in range(10):
        await ledger.write_together(holds.take, wanted(f"s{n}"))

    def unguarded(connection: Connection, _units: object) -> bool:
        connection.execute(sku.update().where(sku.c.sku == "sneaker").values(allocated=sku.c.allocated + 1))
        return True

    monkeypatch.setattr(settlement, "allocate", unguarded)
    with pytest.raises(IntegrityError):
        await authorise(ledger, pid)

    assert (await books(ledger)).allocated["sneaker"] == 10


async def test_what_was_taken_before_it_could_be_let_go_is_refunded(ledger: Ledger) -> None:
    pid = await paying(ledger, qty=2)
    await lapse(ledger, pid)
    await ledger.write_together(holds.take, wanted("alice", ("sneaker", 2), key="another"))
    await authorise(ledger, pid)

    assert await did(ledger, settlement.refund_instead, pid) == (PaymentState.REFUND_DUE, HoldState.REFUND_DUE)


async def test_a_postponed_payment_is_due_later(ledger: Ledger) -> None:
    pid = await paying(ledger)
    assert await ledger.read(partial(claims.is_any_due, now_ms=NOW_MS))

    found = await ledger.write(partial(settlement.postpone, pid=pid, next_ms=NOW_MS + 5, ref="pi_7"))

    assert (found.ref, found.tries) == ("pi_7", 1)
    assert not await ledger.read(partial(claims.is_any_due, now_ms=NOW_MS + 4))
    assert await ledger.read(partial(claims.is_any_due, now_ms=NOW_MS + 5))


async def test_a_settled_payment_is_never_due_again(ledger: Ledger) -> None:
    pid = await paying(ledger)
    await authorise(ledger, pid, is_captured=True)

    await ledger.write(partial(settlement.postpone, pid=pid, next_ms=NOW_MS))

    assert not await ledger.read(partial(claims.is_any_due, now_ms=NOW_MS + 10**9))
