"""Who waits in the ledger: one place a shopper, kept; bounded; told honestly."""

import asyncio

import pytest

from inventory_backend.ledger import holds, waitlist
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.waitlist import Joined
from inventory_backend.sales import HoldState, WaitlistState
from tests.bookkeeping import NOW_MS, books, wanted
from tests.fakes import FakeClock
from tests.till import sale
from tests.waiting import OFFER_MS, free, join, offered, sell_out, standing


async def leave(ledger: Ledger, shopper: str) -> bool:
    return await ledger.write(lambda connection: waitlist.leave(connection, "drop", shopper, NOW_MS))


async def test_who_joins_twice_keeps_the_first_place(ledger: Ledger) -> None:
    await sell_out(ledger)

    assert [await join(ledger, name) for name in ("ann", "ben", "ann")] == [Joined.JOINED, Joined.JOINED, Joined.KNOWN]
    assert [(await standing(ledger, name)).units_ahead for name in ("ann", "ben")] == [0, 1]


async def test_at_the_same_time_too(ledger: Ledger) -> None:
    await sell_out(ledger)

    words = await asyncio.gather(*(join(ledger, "ann") for _ in range(20)))

    assert sorted(words) == [Joined.JOINED] + [Joined.KNOWN] * 19


async def test_another_wish_must_be_made_anew(ledger: Ledger) -> None:
    await sell_out(ledger, ("sneaker", 1), ("laces", 1))
    await join(ledger, "ann")

    assert await join(ledger, "ann", ("laces", 1)) is Joined.OTHER_WISH
    assert [line.sku for line in (await standing(ledger, "ann")).lines] == ["sneaker"]


async def test_nobody_waits_for_what_is_there(ledger: Ledger) -> None:
    await sell_out(ledger, total=9)

    assert await join(ledger, "ann") is Joined.NOT_SOLD_OUT
    assert await join(ledger, "ann", ("sneaker", 2)) is Joined.JOINED


async def test_nobody_waits_for_more_than_they_may_have(ledger: Ledger) -> None:
    await sell_out(ledger, ("sneaker", 2), total=5)

    assert await join(ledger, "owner0") is Joined.LIMIT_REACHED
    assert await join(ledger, "ann", ("sneaker", 2)) is Joined.JOINED


async def test_an_account_of_the_store_has_one_limit_however_many_wait_for_it(ledger: Ledger) -> None:
    rids = await sell_out(ledger)
    one_each = sale(limit_per_identity=1)
    for name in ("ann", "anns phone"):
        assert await join(ledger, name, terms=one_each, identity="identity:ann") is Joined.JOINED
    await join(ledger, "ben", terms=one_each, identity="identity:ben")

    await free(ledger, *rids[:3])

    assert await offered(ledger, "ann", "ben") == ["ann", "ben"]
    assert await ledger.read_together(waitlist.standing, ("drop", "anns phone")) is None
    assert await join(ledger, "anns phone", terms=one_each, identity="identity:ann") is Joined.LIMIT_REACHED
    assert (await books(ledger)).allocated["sneaker"] == 9


async def test_the_list_has_an_end(ledger: Ledger) -> None:
    await sell_out(ledger)
    short = sale(max_waitlist=3)

    words = await asyncio.gather(*(join(ledger, f"s{n}", terms=short) for n in range(6)))

    assert sorted(words) == [Joined.JOINED] * 3 + [Joined.FULL] * 3


async def test_who_leaves_stands_at_the_end_afterwards(ledger: Ledger) -> None:
    await sell_out(ledger)
    for name in ("ann", "ben"):
        await join(ledger, name)

    assert await leave(ledger, "ann")
    assert not await leave(ledger, "ann")
    assert (await standing(ledger, "ben")).units_ahead == 0
    await join(ledger, "ann")
    assert (await standing(ledger, "ann")).units_ahead == 1


async def test_what_lay_aside_for_who_leaves_goes_to_the_next(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    await join(ledger, "ann", ("sneaker", 2))
    await join(ledger, "ben")
    await free(ledger, first)
    assert await offered(ledger, "ann", "ben") == []

    await leave(ledger, "ann")

    assert await offered(ledger, "ben") == ["ben"]
    assert (await books(ledger)).allocated["sneaker"] == 10


async def test_one_reads_how_many_units_are_asked_for_before_and_what_may_come_back(ledger: Ledger) -> None:
    first, second, *_ = await sell_out(ledger)
    await join(ledger, "ann", ("sneaker", 2))
    await join(ledger, "ben", ("sneaker", 1))
    await join(ledger, "cat", ("sneaker", 2))
    for rid in (first, second):
        for before, after in ((HoldState.HELD, HoldState.PAYING), (HoldState.PAYING, HoldState.CAPTURING)):
            await ledger.write(lambda c, r=rid, b=before, a=after: holds.move(c, r, b, a))  # type: ignore[misc]  # bound now
    await ledger.write(lambda c: holds.move(c, first, HoldState.CAPTURING, HoldState.PAID))

    found = await standing(ledger, "cat")

    assert (found.state, found.units_ahead, found.may_return) == (WaitlistState.WAITING, 3, 9)


async def test_who_never_joined_stands_nowhere(ledger: Ledger) -> None:
    assert await ledger.read_together(waitlist.standing, ("drop", "ann")) is None


async def test_the_words_follow_the_offer(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    await join(ledger, "ann")
    seen = [(await standing(ledger, "ann")).state]
    await free(ledger, first)
    offer = await standing(ledger, "ann")
    seen.append(offer.state)
    for before, after in ((HoldState.HELD, HoldState.PAYING), (HoldState.PAYING, HoldState.HELD)):
        await ledger.write(lambda c, b=before, a=after: holds.move(c, str(offer.rid), b, a))  # type: ignore[misc]  # bound now
        seen.append((await standing(ledger, "ann")).state)
    await free(ledger, str(offer.rid))
    seen.append((await standing(ledger, "ann")).state)

    assert seen == ["waiting", "offered", "paying", "offered", "lapsed"]
    assert await join(ledger, "ann") is Joined.NOT_SOLD_OUT


async def test_an_offer_is_a_place_already(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    await join(ledger, "ann")
    await free(ledger, first)

    assert await join(ledger, "ann") is Joined.KNOWN


async def test_who_wants_too_much_for_too_long_keeps_the_place_and_not_the_units(ledger: Ledger) -> None:
    first, second, third, *_ = await sell_out(ledger)
    await join(ledger, "ann", ("sneaker", 2))
    await join(ledger, "ben")
    await free(ledger, first)
    early, late = NOW_MS + OFFER_MS - 1, NOW_MS + OFFER_MS

    await ledger.write(lambda connection: waitlist.give_up(connection, early))
    assert await offered(ledger, "ann", "ben") == []
    await ledger.write(lambda connection: waitlist.give_up(connection, late))
    assert await offered(ledger, "ann", "ben") == ["ben"]
    assert await ledger.read(lambda connection: waitlist.impatient(connection, late)) == []

    await free(ledger, second, third, now_ms=late)
    assert await offered(ledger, "ann") == ["ann"]
    assert (await books(ledger)).allocated["sneaker"] == 10


async def test_the_list_ends_with_the_sale(ledger: Ledger) -> None:
    first, second, *_ = await sell_out(ledger)
    ends = sale(ends_ms=NOW_MS + 1000)
    await join(ledger, "ann", ("sneaker", 2), terms=ends)
    await free(ledger, first)

    await free(ledger, second, now_ms=NOW_MS + 1000)
    await ledger.write(lambda connection: waitlist.give_up(connection, NOW_MS + 1000))

    assert await offered(ledger, "ann") == []
    assert (await books(ledger)).allocated["sneaker"] == 8


async def test_new_terms_hold_for_who_waits_already(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    await join(ledger, "ann", terms=sale(ends_ms=NOW_MS + 1000))

    await ledger.write(lambda connection: waitlist.renew(connection, [sale(ends_ms=NOW_MS + 9000)]))
    await free(ledger, first, now_ms=NOW_MS + 5000)

    assert await offered(ledger, "ann") == ["ann"]


async def test_the_units_waited_for_are_counted(ledger: Ledger) -> None:
    await sell_out(ledger, ("sneaker", 1), ("laces", 1))
    await join(ledger, "ann", ("sneaker", 1), ("laces", 1))
    await join(ledger, "ben")

    assert await ledger.read(waitlist.counts) == {("drop", "sneaker"): 2, ("drop", "laces"): 1}


async def test_joining_meets_what_comes_free_at_the_same_time(
    ledger: Ledger, ledger_url: str, clock: FakeClock
) -> None:
    """Two tills: whichever is first, no unit is free beside somebody who waits for it."""
    if not ledger_url.startswith("postgresql"):
        pytest.skip("SQLite has one writer")
    rids = await sell_out(ledger)
    async with opened(LedgerSettings(ledger_url, group_delay_ms=0), clock) as other:
        await asyncio.gather(
            *(join(other if n % 2 else ledger, f"s{n}") for n in range(20)),
            *(free(ledger if n % 2 else other, rid) for n, rid in enumerate(rids)),
        )

    taken = await ledger.write_together(holds.take, wanted("newcomer"))
    found = await books(ledger)
    assert taken is holds.Taken.SOLD_OUT or not await ledger.read(waitlist.counts)
    assert found.allocated["sneaker"] == 10 or not await ledger.read(waitlist.counts)
