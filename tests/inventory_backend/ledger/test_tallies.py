"""The ledger, added up, and where it contradicts itself."""

from dataclasses import replace

from sqlalchemy import text

from inventory_backend.ledger import holds
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.orders import place
from inventory_backend.ledger.settlement import authorised, captured
from inventory_backend.ledger.tallies import Tallies, tally
from inventory_backend.sales import HoldState, Money, PaymentState
from tests.bookkeeping import NOW_MS, wanted
from tests.inventory_backend.ledger.test_orders import placing
from tests.waiting import free, join, sell_out

NOTE = Note("test", NOW_MS)


async def bought(ledger: Ledger, shopper: str) -> str:
    """Return the payment of a shopper who has a sneaker."""
    one = wanted(shopper)
    await ledger.write_together(holds.take, one)
    _, pid = await ledger.write(lambda connection: place(connection, placing(one.rid, shopper)))
    await ledger.write(lambda connection: authorised(connection, pid, f"pi_{shopper}", NOTE, is_captured=False))
    await ledger.write(lambda connection: captured(connection, pid, NOTE))
    return pid


async def added_up(ledger: Ledger) -> Tallies:
    return await ledger.read(tally)


async def broken(ledger: Ledger, statement: str) -> tuple[str, ...]:
    """Return the faults after somebody wrote into the ledger by hand."""
    await ledger.write(lambda connection: connection.execute(text(statement)).rowcount)
    return (await added_up(ledger)).faults


async def test_units_are_sold_held_or_free(ledger: Ledger) -> None:
    await bought(ledger, "alice")
    await ledger.write_together(holds.take, wanted("bob", ("laces", 2)))
    gone = wanted("eve")
    await ledger.write_together(holds.take, gone)
    await ledger.write(lambda c: holds.release(c, [gone.rid], HoldState.HELD, HoldState.EXPIRED, NOTE))

    found = await added_up(ledger)

    counts = {name: (one.total, one.allocated, one.sold, one.held, one.free) for name, one in found.units.items()}
    assert counts == {("drop", "laces"): (10, 2, 0, 2, 8), ("drop", "sneaker"): (10, 1, 1, 0, 9)}
    assert (found.faults, found.is_quiet, found.epochs) == ((), False, {"drop": 0})


async def test_a_payment_is_settled_once_nobody_asks_about_it_any_more(ledger: Ledger) -> None:
    pid = await bought(ledger, "alice")
    await ledger.write_together(holds.take, one := wanted("bob"))
    _, moving = await ledger.write(lambda connection: place(connection, placing(one.rid, "bob")))

    found = (await added_up(ledger)).payments

    assert (found[pid].state, found[pid].hold, found[pid].is_settled) == (PaymentState.CAPTURED, HoldState.PAID, True)
    assert (found[pid].kept, found[pid].cost) == (12900, Money(12900, "EUR"))
    assert (found[moving].is_settled, found[moving].kept) == (False, 0)


async def test_what_waits_for_more_is_set_aside_and_accounts_are_counted_like_shoppers(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    await ledger.write_together(holds.take, replace(wanted("eve", ("laces", 1)), identity="acc", limit_per_identity=2))
    await join(ledger, "ann", ("sneaker", 2))
    await free(ledger, first)

    found = await added_up(ledger)

    assert (found.units["drop", "sneaker"].aside, found.units["drop", "sneaker"].free) == (1, 0)
    assert found.faults == ()


async def test_what_contradicts_itself_is_told(ledger: Ledger) -> None:
    pid = await bought(ledger, "alice")
    rid = wanted("alice").rid

    assert await broken(ledger, "UPDATE sku SET allocated = 3 WHERE sku = 'sneaker'") == (
        "drop sneaker: 3 are allocated, and 1 are held, sold or set aside",
    )
    await broken(ledger, "UPDATE sku SET allocated = 1 WHERE sku = 'sneaker'")
    assert await broken(ledger, "UPDATE shopper_qty SET qty = 2") == (
        "drop: 1 shoppers are counted with more, or fewer, units than their holds have",
    )
    await broken(ledger, "UPDATE shopper_qty SET qty = 1")
    assert await broken(ledger, "UPDATE payment SET amount = 100") == (
        f"reservation {rid} costs 12900, and 100 were captured",
    )
    assert await broken(ledger, f"UPDATE payment SET state = 'declined' WHERE pid = '{pid}'") == (
        f"reservation {rid} is an order, and no payment for it was captured",
    )
    await broken(ledger, "UPDATE payment SET state = 'captured'")
    assert await broken(ledger, "UPDATE reservation SET state = 'capturing'") == (
        f"reservation {rid} is paid for, and no order",
    )
