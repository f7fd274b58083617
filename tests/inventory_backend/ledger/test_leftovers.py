"""What was kept long enough goes, oldest first and a little at a time; what waits, and the audit, stay."""

import pytest
from sqlalchemy import Table, func, select

from inventory_backend.ledger import contacts, deliveries, inbox
from inventory_backend.ledger.idempotency import LIFETIME_MS
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.leftovers import Leftover, drop, is_any, leftovers
from inventory_backend.ledger.news import News
from inventory_backend.ledger.schema import audit, contact, delivery, idempotency, outbox
from inventory_backend.ledger.schema import inbox as inbox_table
from tests.bookkeeping import NOW_MS
from tests.inventory_backend.ledger.test_deliveries import claim, news, spread

KEEP_MS, ADDRESS_MS = 2_000, 3_000
OF = {one.since.table: one for one in leftovers(keep_ms=KEEP_MS, keep_addresses_ms=ADDRESS_MS)}
ALL = frozenset(News)


async def rows(ledger: Ledger, table: Table) -> int:
    return await ledger.read(lambda c: c.execute(select(func.count()).select_from(table)).scalar_one())


async def dropped(ledger: Ledger, leftover: Leftover, now_ms: int, most: int = 100) -> int:
    """Drop what may go, and tell how much that was; nothing is found just where nothing goes."""
    is_found = await ledger.read(lambda c: is_any(c, leftover, now_ms))
    found = await ledger.write(lambda c: drop(c, leftover, now_ms, most))
    assert is_found == (found > 0)
    return found


async def kept(ledger: Ledger) -> None:
    """Keep one row of everything, at this moment; the answer is that of the hold."""
    rid = await news(ledger, News.PAID)
    await ledger.write(lambda c: contacts.keep(c, rid, "alice@example.com", NOW_MS))
    await ledger.write(lambda c: inbox.write_down(c, "simulated", "evt_1", "{}", NOW_MS))
    await spread(ledger, erp=ALL)
    (told,) = await claim(ledger)
    await ledger.write(lambda c: deliveries.done(c, told.serial, NOW_MS))


@pytest.mark.parametrize(
    ("table", "keep_ms"),
    [(idempotency, LIFETIME_MS), (contact, ADDRESS_MS), (inbox_table, KEEP_MS), (delivery, KEEP_MS)],
)
async def test_each_is_kept_for_its_time_and_not_longer(ledger: Ledger, table: Table, keep_ms: int) -> None:
    await kept(ledger)

    assert await dropped(ledger, OF[table], NOW_MS + keep_ms) == 0
    assert await dropped(ledger, OF[table], NOW_MS + keep_ms + 1) == 1
    assert await rows(ledger, table) == 0


async def test_what_is_told_of_goes_after_who_was_told_and_the_audit_never(ledger: Ledger) -> None:
    await kept(ledger)
    moves, later_ms = await rows(ledger, audit), NOW_MS + KEEP_MS + 1

    assert await dropped(ledger, OF[outbox], later_ms) == 0
    assert await dropped(ledger, OF[delivery], later_ms) == 1
    assert await dropped(ledger, OF[outbox], later_ms) == 1
    assert await rows(ledger, audit) == moves > 0


async def test_what_waits_and_what_is_dead_stays(ledger: Ledger) -> None:
    for shopper in ("alice", "bob"):
        await news(ledger, News.PAID, shopper=shopper)
    await spread(ledger, erp=ALL)
    dead, _ = await claim(ledger)
    await ledger.write(lambda c: deliveries.bury(c, dead.serial, NOW_MS, "status 500"))

    for leftover in OF.values():
        await dropped(ledger, leftover, NOW_MS + LIFETIME_MS * 1000)

    assert (await rows(ledger, delivery), await rows(ledger, outbox)) == (2, 2)
    assert await ledger.write(lambda c: deliveries.retry(c, dead.serial, NOW_MS))


async def test_news_are_done_when_the_last_of_their_sinks_has_them(ledger: Ledger) -> None:
    async def done_ms() -> list[int | None]:
        return list(await ledger.read(lambda c: c.execute(select(outbox.c.done_ms).order_by(outbox.c.id)).scalars()))

    await news(ledger, News.PAID)
    await spread(ledger, erp=ALL, mail=ALL)
    (first,), (second,) = await claim(ledger, "erp"), await claim(ledger, "mail")
    await ledger.write(lambda c: deliveries.done(c, first.serial, NOW_MS + 1))
    assert await done_ms() == [None]
    await ledger.write(lambda c: deliveries.bury(c, second.serial, NOW_MS + 2, "status 500"))
    assert await done_ms() == [None], "ops may send it yet"
    await ledger.write(lambda c: deliveries.retry(c, second.serial, NOW_MS + 3))
    (again,) = await claim(ledger, "mail", NOW_MS + 3)
    await ledger.write(lambda c: deliveries.done(c, again.serial, NOW_MS + 4))
    assert await done_ms() == [NOW_MS + 4]

    await news(ledger, News.EXPIRED, shopper="bob")
    await spread(ledger, none=frozenset())
    assert await done_ms() == [NOW_MS + 4, NOW_MS], "nobody wants to hear of it"


async def test_the_oldest_go_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number in range(5):
        event = f"evt_{number}"
        await ledger.write(lambda c, event=event, at_ms=NOW_MS - number: inbox.write_down(c, "a", event, "{}", at_ms))  # type: ignore[misc]  # mypy cannot see a default in a lambda

    assert [await dropped(ledger, OF[inbox_table], NOW_MS + KEEP_MS + 1, most=2) for _ in range(2)] == [2, 2]
    found = await ledger.read(lambda c: c.execute(select(inbox_table.c.event_id)).scalars().all())
    assert found == ["evt_0"]
