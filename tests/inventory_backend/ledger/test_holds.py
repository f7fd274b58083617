"""Holds in the ledger: the guard, the limit, the audit."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, select

from inventory_backend.ledger import holds
from inventory_backend.ledger.holds import Note, Taken, Wanted
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import audit, outbox, sku
from inventory_backend.sales import HoldState
from tests.bookkeeping import NOW_MS, books, wanted
from waitroom.kernel.errors import ForbiddenMove


async def take(ledger: Ledger, *asked: Wanted) -> Sequence[Taken | BaseException]:
    return await asyncio.gather(*(ledger.write_together(holds.take, one) for one in asked), return_exceptions=True)


async def test_a_batch_that_fits_is_taken_whole(ledger: Ledger) -> None:
    assert await take(ledger, *(wanted(f"s{n}") for n in range(10))) == [Taken.HELD] * 10
    assert (await books(ledger)).allocated == {"sneaker": 10, "laces": 0}


async def test_a_batch_that_does_not_fit_is_taken_in_the_order_of_arrival(ledger: Ledger) -> None:
    answers = await take(ledger, *(wanted(f"s{n}", ("sneaker", 2)) for n in range(7)))

    assert answers == [Taken.HELD] * 5 + [Taken.SOLD_OUT] * 2
    assert (await books(ledger)).allocated == {"sneaker": 10, "laces": 0}


async def test_one_over_the_limit_does_not_spoil_the_others(ledger: Ledger) -> None:
    answers = await take(ledger, wanted("a", ("sneaker", 2)), wanted("a", key="again"), wanted("b"))

    assert answers == [Taken.HELD, Taken.LIMIT_REACHED, Taken.HELD]
    assert (await books(ledger)).allocated == {"sneaker": 3, "laces": 0}


async def test_the_limit_counts_over_all_skus_of_the_sale(ledger: Ledger) -> None:
    assert await take(ledger, wanted("a", ("sneaker", 1), ("laces", 1))) == [Taken.HELD]

    assert await take(ledger, wanted("a", ("laces", 1), key="again")) == [Taken.LIMIT_REACHED]
    assert (await books(ledger)).allocated == {"sneaker": 1, "laces": 1}


async def test_several_skus_are_held_together_or_not_at_all(ledger: Ledger) -> None:
    await take(ledger, *(wanted(f"s{n}") for n in range(10)))

    assert await take(ledger, wanted("late", ("laces", 1), ("sneaker", 1))) == [Taken.SOLD_OUT]
    assert (await books(ledger)).allocated == {"sneaker": 10, "laces": 0}


async def test_the_same_request_twice_is_one_hold(ledger: Ledger) -> None:
    assert await take(ledger, wanted("a"), wanted("b"), wanted("a")) == [Taken.HELD, Taken.HELD, Taken.KNOWN]
    assert await take(ledger, wanted("a")) == [Taken.KNOWN]
    assert (await books(ledger)).allocated == {"sneaker": 2, "laces": 0}


async def test_nobody_is_told_that_their_own_hold_took_the_last_unit_or_all_they_may_have(ledger: Ledger) -> None:
    await take(ledger, *(wanted(f"s{n}", limit=1) for n in range(10)))
    await take(ledger, wanted("greedy", ("laces", 2)))

    assert await take(ledger, wanted("s9", limit=1), wanted("late")) == [Taken.KNOWN, Taken.SOLD_OUT]
    assert await take(ledger, wanted("greedy", ("laces", 2))) == [Taken.KNOWN]
    assert await take(ledger, wanted("greedy", ("laces", 2), key="other")) == [Taken.LIMIT_REACHED]


async def test_without_the_guard_the_check_of_the_database_still_refuses(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant: the guarded UPDATE forgets its condition; not one unit too many is sold all the same."""

    def unguarded(connection: Connection, units: Counter[tuple[str, str]]) -> bool:
        for (_, name), qty in units.items():
            connection.execute(sku.update().where(sku.c.sku == name).values(allocated=sku.c.allocated + qty))
        return True

    monkeypatch.setattr(holds, "allocate", unguarded)
    answers = await take(ledger, *(wanted(f"s{n}") for n in range(12)))

    assert sum(answer is Taken.HELD for answer in answers) <= 10
    assert (await books(ledger)).allocated["sneaker"] <= 10


async def test_units_given_back_are_free_and_redis_hears_of_it_once(ledger: Ledger) -> None:
    one = wanted("a", ("sneaker", 2))
    await take(ledger, one)
    note = Note("expiry", NOW_MS, "expired")

    def expire(connection: Connection) -> list[str]:
        return holds.release(connection, [one.rid, "unknown"], HoldState.HELD, HoldState.EXPIRED, note)

    assert await ledger.write(expire) == [one.rid]
    assert await ledger.write(expire) == []
    assert (await books(ledger)).allocated == {"sneaker": 0, "laces": 0}
    told = await ledger.read(lambda connection: connection.execute(select(outbox)).all())
    assert [(row.kind, row.rid) for row in told] == [("reservation.expired", one.rid), ("release", one.rid)]


async def test_many_are_given_back_together(ledger: Ledger) -> None:
    asked = [wanted(f"s{n}", ("sneaker", 1), ("laces", 1)) for n in range(10)]
    await take(ledger, *asked)
    note = Note("expiry", NOW_MS, "expired")

    gone = await ledger.write(
        lambda c: holds.release(c, [one.rid for one in asked], HoldState.HELD, HoldState.EXPIRED, note)
    )

    assert sorted(gone) == sorted(one.rid for one in asked)
    assert (await books(ledger)).allocated == {"sneaker": 0, "laces": 0}


async def test_a_shopper_may_hold_again_what_expired(ledger: Ledger) -> None:
    one = wanted("a", ("sneaker", 2))
    await take(ledger, one)
    note = Note("expiry", NOW_MS, "expired")
    await ledger.write(lambda c: holds.release(c, [one.rid], HoldState.HELD, HoldState.EXPIRED, note))

    assert await take(ledger, wanted("a", ("sneaker", 2), key="next")) == [Taken.HELD]


async def test_a_move_is_made_from_its_state_only(ledger: Ledger) -> None:
    one = wanted("a")
    await take(ledger, one)

    assert await ledger.write(lambda c: holds.move(c, one.rid, HoldState.HELD, HoldState.PAYING))
    assert not await ledger.write(lambda c: holds.move(c, one.rid, HoldState.HELD, HoldState.PAYING))
    with pytest.raises(ForbiddenMove):
        await ledger.write(lambda c: holds.move(c, one.rid, HoldState.PAYING, HoldState.PAID))


async def test_only_unpaid_holds_whose_time_ran_out_are_overdue(ledger: Ledger) -> None:
    early, paying = wanted("a"), wanted("b")
    await take(ledger, early, paying)
    await ledger.write(lambda c: holds.move(c, paying.rid, HoldState.HELD, HoldState.PAYING))

    assert await ledger.read(lambda c: holds.overdue(c, NOW_MS + 599_999)) == []
    assert await ledger.read(lambda c: holds.overdue(c, NOW_MS + 600_000)) == [early.rid]


async def test_the_audit_tells_the_whole_story(ledger: Ledger) -> None:
    one = wanted("a", ("sneaker", 2))
    await take(ledger, one)
    note = Note("expiry", NOW_MS + 5, "expired")
    await ledger.write(lambda c: holds.release(c, [one.rid], HoldState.HELD, HoldState.EXPIRED, note))

    rows = await ledger.read(lambda c: c.execute(select(audit).order_by(audit.c.seq)).all())
    assert [(r.from_state, r.to_state, r.delta, r.at_ms, r.actor) for r in rows] == [
        (None, "held", 2, NOW_MS, "shopper"),
        ("held", "expired", -2, NOW_MS + 5, "expiry"),
    ]
