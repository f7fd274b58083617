"""What the world shall hear is written in the transaction that makes it true, once for each move."""

import json

from sqlalchemy import Connection, select

from inventory_backend.ledger import holds
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.news import News, tell
from inventory_backend.ledger.schema import outbox
from inventory_backend.sales import HoldState
from tests.bookkeeping import NOW_MS, wanted
from waitroom.kernel.errors import Refused

NOTE = Note("test", NOW_MS)


async def told(ledger: Ledger) -> list[tuple[str, str, int]]:
    wanted = select(outbox).where(outbox.c.kind.in_(list(News))).order_by(outbox.c.id)
    rows = await ledger.read(lambda connection: connection.execute(wanted).all())
    return [(row.kind, row.rid, row.version) for row in rows]


async def held(ledger: Ledger, shopper: str = "alice") -> str:
    one = wanted(shopper, ("sneaker", 1))
    await ledger.write_together(holds.take, one)
    return one.rid


async def test_an_expiry_is_told_once_for_each_hold_and_a_cancel_is_not(ledger: Ledger) -> None:
    rids = [await held(ledger, name) for name in ("alice", "bob")]
    gone = await held(ledger, "carol")

    for _ in range(2):
        await ledger.write(lambda c: holds.release(c, rids, HoldState.HELD, HoldState.EXPIRED, NOTE))
    await ledger.write(lambda c: holds.release(c, [gone], HoldState.HELD, HoldState.CANCELLED, NOTE))

    assert sorted(await told(ledger)) == sorted((News.EXPIRED, rid, 2) for rid in rids)


async def test_paid_is_told_with_the_move_and_not_without_it(ledger: Ledger) -> None:
    rid = await held(ledger)

    def pay(connection: Connection, *, is_lost: bool) -> None:
        holds.move(connection, rid, HoldState.HELD, HoldState.PAYING)
        holds.move(connection, rid, HoldState.PAYING, HoldState.CAPTURING)
        holds.move(connection, rid, HoldState.CAPTURING, HoldState.PAID)
        holds.record(connection, [(rid, HoldState.CAPTURING, HoldState.PAID, 0)], NOTE)
        if is_lost:
            raise Refused(409, "lost", "The transaction is rolled back.")

    try:
        await ledger.write(lambda c: pay(c, is_lost=True))
    except Refused:
        assert await told(ledger) == []
    await ledger.write(lambda c: pay(c, is_lost=False))

    assert await told(ledger) == [(News.PAID, rid, 4)]


async def test_facts_go_with_it(ledger: Ledger) -> None:
    rid = await held(ledger)

    await ledger.write(lambda c: tell(c, News.PAID, [rid], NOW_MS, receipt="r-1"))

    row = await ledger.read(lambda c: c.execute(select(outbox).where(outbox.c.kind == News.PAID)).one())
    assert json.loads(row.payload) == {"at_ms": NOW_MS, "facts": {"receipt": "r-1"}}
