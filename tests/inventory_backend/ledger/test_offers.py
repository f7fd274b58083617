"""What comes free goes to who waits, in the transaction that frees it: nobody overtakes, nobody sees it free."""

import asyncio
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from sqlalchemy import select, update

from inventory_backend.ledger import holds, offers, orders
from inventory_backend.ledger.holds import Taken
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.schema import audit, outbox, sku
from inventory_backend.sales import HoldState
from tests.bookkeeping import NOW_MS, books, wanted
from tests.fakes import FakeClock
from tests.waiting import OFFER_MS, free, join, offered, sell_out, standing


async def told(ledger: Ledger, *kinds: str) -> Sequence[Any]:
    wanted_rows = select(outbox).where(outbox.c.kind.in_(kinds)).order_by(outbox.c.id)
    return await ledger.read(lambda connection: connection.execute(wanted_rows).all())


async def test_a_unit_that_comes_free_is_offered_to_who_is_next(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    for name in ("ann", "ben"):
        await join(ledger, name)

    await free(ledger, first)

    assert await offered(ledger, "ann", "ben") == ["ann"]
    found = await standing(ledger, "ann")
    hold = await ledger.read(lambda connection: orders.hold(connection, str(found.rid), "ann"))
    assert hold is not None
    assert (hold.state, hold.held_until_ms, hold.cost.amount) == (HoldState.HELD, NOW_MS + OFFER_MS, 12900)
    assert (await books(ledger)).allocated["sneaker"] == 10
    assert (await standing(ledger, "ben")).units_ahead == 0


async def test_a_newcomer_does_not_overtake(ledger: Ledger) -> None:
    rids = await sell_out(ledger)
    await join(ledger, "ann", ("sneaker", 2))

    for rid in rids[:2]:
        await free(ledger, rid)
        assert await ledger.write_together(holds.take, wanted("newcomer")) is Taken.SOLD_OUT

    assert await offered(ledger, "ann") == ["ann"]


async def test_an_offer_that_lapses_goes_to_the_next(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    for name in ("ann", "ben"):
        await join(ledger, name)
    await free(ledger, first)

    assert await ledger.write(lambda connection: holds.expire(connection, NOW_MS + OFFER_MS - 1)) == []
    await ledger.write(lambda connection: holds.expire(connection, NOW_MS + OFFER_MS))

    assert await offered(ledger, "ann", "ben") == ["ben"]


async def test_an_offer_let_go_of_goes_to_the_next(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    for name in ("ann", "ben"):
        await join(ledger, name)
    await free(ledger, first)
    rid = str((await standing(ledger, "ann")).rid)

    await ledger.write(lambda connection: orders.cancel(connection, rid, "ann", NOW_MS))

    assert await offered(ledger, "ann", "ben") == ["ben"]


async def test_redis_hears_of_units_that_nobody_waits_for_only(ledger: Ledger) -> None:
    rids = await sell_out(ledger)
    await join(ledger, "ann")

    await free(ledger, *rids[:3])

    kept = [json.loads(row.payload)["kept"] for row in await told(ledger, "release")]
    assert sorted(kept, key=bool) == [{}, {}, {"sneaker": 1}]
    (offer,) = await told(ledger, "offer")
    assert json.loads(offer.payload) == {
        "sale": "drop",
        "shopper": "ann",
        "units": {"sneaker": {"qty": 1, "seen": 0}},
    }


async def test_the_world_hears_of_an_offer(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    await join(ledger, "ann")

    await free(ledger, first)

    (news,) = await told(ledger, "waitlist.offered")
    assert news.rid == (await standing(ledger, "ann")).rid
    assert json.loads(news.payload)["facts"] == {"expires_at": "2023-11-14T22:18:20Z"}


async def test_the_audit_gives_back_before_it_hands_over(ledger: Ledger) -> None:
    first, *_ = await sell_out(ledger)
    await join(ledger, "ann")

    await free(ledger, first)

    last = select(audit).order_by(audit.c.seq.desc()).limit(2)
    rows = await ledger.read(lambda connection: connection.execute(last).all())
    assert [(row.to_state, row.delta, row.actor) for row in rows] == [
        ("held", 1, "waitlist"),
        ("expired", -1, "expiry"),
    ]


async def test_units_are_gathered_for_who_is_first(ledger: Ledger) -> None:
    rids = await sell_out(ledger)
    await join(ledger, "ann", ("sneaker", 2))
    await join(ledger, "ben")

    await free(ledger, rids[0])
    assert await offered(ledger, "ann", "ben") == []
    assert (await books(ledger)).allocated["sneaker"] == 10
    await free(ledger, rids[1])
    assert await offered(ledger, "ann", "ben") == ["ann"]
    await free(ledger, rids[2])
    assert await offered(ledger, "ann", "ben") == ["ann", "ben"]

    assert (await books(ledger)).allocated["sneaker"] == 10


async def test_several_skus_are_offered_together(ledger: Ledger) -> None:
    rids = await sell_out(ledger, ("sneaker", 1), ("laces", 1))
    await join(ledger, "ann", ("sneaker", 1), ("laces", 1))
    await join(ledger, "ben", ("laces", 1))

    await free(ledger, rids[0])
    assert await offered(ledger, "ann", "ben") == ["ann"]
    await free(ledger, rids[1])

    assert await offered(ledger, "ann", "ben") == ["ann", "ben"]
    assert (await books(ledger)).allocated == {"sneaker": 9, "laces": 10}


async def test_who_bought_in_another_way_gives_the_place_up(ledger: Ledger) -> None:
    rids = await sell_out(ledger)
    await join(ledger, "ann", ("sneaker", 2))
    await join(ledger, "ben")
    assert await ledger.write_together(holds.take, wanted("ann", ("laces", 1))) is Taken.HELD

    await free(ledger, *rids[:2])

    assert await offered(ledger, "ben") == []
    await free(ledger, rids[2])
    assert await offered(ledger, "ben") == ["ben"]
    found = await books(ledger)
    assert found.allocated == {"sneaker": 8, "laces": 1}


async def test_units_added_go_to_who_waits_first(ledger: Ledger) -> None:
    """Whoever raises a total hands the new units out in the same transaction, and tells Redis of all of them."""
    await sell_out(ledger)
    for name in ("ann", "ben", "cat"):
        await join(ledger, name)

    def raised(connection: Any) -> Counter[str]:
        connection.execute(update(sku).where(sku.c.sku == "sneaker").values(total=sku.c.total + 5))
        return offers.hand_out(connection, "drop", Counter({"sneaker": 0}), NOW_MS)

    assert not +(await ledger.write(raised))
    seen = [json.loads(row.payload)["units"]["sneaker"] for row in await told(ledger, "offer")]
    assert seen == [{"qty": 1, "seen": 1}] * 3
    assert await offered(ledger, "ann", "ben", "cat") == ["ann", "ben", "cat"]
    assert (await books(ledger)).allocated["sneaker"] == 13


async def test_units_that_everybody_saw_free_are_taken_off_in_redis(ledger: Ledger) -> None:
    rids = await sell_out(ledger, total=9)
    await join(ledger, "ann", ("sneaker", 2))

    await free(ledger, rids[0])

    (offer,) = await told(ledger, "offer")
    assert json.loads(offer.payload)["units"] == {"sneaker": {"qty": 2, "seen": 1}}


async def test_many_wait_and_everything_comes_back_at_once(ledger: Ledger) -> None:
    rids = await sell_out(ledger)
    for n in range(230):
        await join(ledger, f"s{n}", ("sneaker", 1 + (n == 4)))

    await free(ledger, *rids)

    names = [f"s{n}" for n in range(230)]
    assert await offered(ledger, *names[:12]) == names[:9]
    assert (await books(ledger)).allocated["sneaker"] == 10


async def test_two_tills_free_at_the_same_time_and_the_order_holds(
    ledger: Ledger, ledger_url: str, clock: FakeClock
) -> None:
    if not ledger_url.startswith("postgresql"):
        pytest.skip("SQLite has one writer")
    rids = await sell_out(ledger, ("sneaker", 1), ("laces", 1))
    names = [f"s{n}" for n in range(14)]
    for n, name in enumerate(names):
        await join(ledger, name, *([("sneaker", 1), ("laces", 1)] if n % 3 == 0 else [("sneaker", 1)]))
    async with opened(LedgerSettings(ledger_url, group_delay_ms=0), clock) as other:
        await asyncio.gather(*(free(ledger if n % 2 else other, rid) for n, rid in enumerate(rids)))

        assert await offered(ledger, *names) == names[:10]
        assert (await books(ledger)).allocated["sneaker"] == 10
