"""What every move writes beside the hold: the guard, the limit, the audit; test_holds sees them at work."""

from collections import Counter

from sqlalchemy import select

from inventory_backend.ledger import entries
from inventory_backend.ledger.entries import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import audit
from inventory_backend.sales import HoldState
from tests.bookkeeping import NOW_MS


async def test_not_one_unit_more_is_counted_than_there_are(ledger: Ledger) -> None:
    assert await ledger.write(lambda c: entries.allocate(c, Counter({("drop", "sneaker"): 10})))
    assert not await ledger.write(lambda c: entries.allocate(c, Counter({("drop", "sneaker"): 1})))


async def test_a_move_is_written_down_with_who_and_when(ledger: Ledger) -> None:
    note = Note("saga", NOW_MS)

    await ledger.write(lambda c: entries.record(c, [("r", HoldState.HELD, HoldState.PAYING, 0)], note))

    (row,) = await ledger.read(lambda c: c.execute(select(audit)).all())
    assert (row.rid, row.from_state, row.to_state, row.delta, row.at_ms, row.actor) == (
        "r",
        "held",
        "paying",
        0,
        NOW_MS,
        "saga",
    )
