"""Every change of stock is on record, with who made it and why."""

from sqlalchemy import select

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import stock_change
from inventory_backend.ledger.stock_changes import Change, Origin, write_down
from tests.bookkeeping import NOW_MS


async def test_a_change_is_written_down(ledger: Ledger) -> None:
    asked = Change(-3, Origin.OPS, "ada", "a box was wet", NOW_MS)

    await ledger.write(lambda connection: write_down(connection, ("drop", "sneaker"), asked))

    last = select(stock_change).order_by(stock_change.c.seq.desc()).limit(1)
    row = await ledger.read(lambda connection: connection.execute(last).one())
    assert (row.sku, row.delta, row.origin, row.actor, row.why) == ("sneaker", -3, "ops", "ada", "a box was wet")
    assert (row.at_ms, row.wave_ms) == (NOW_MS, None)
