"""A sku counted in several rows: units move between them, and are never more or fewer for it."""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, select

from inventory_backend.catalogue import Catalogue
from inventory_backend.ledger import holds, shards, supply
from inventory_backend.ledger.holds import Taken
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.schema import sku, stock_change
from inventory_backend.ledger.stock_changes import Origin
from inventory_backend.sales import HoldState, Wave
from tests.bookkeeping import NOW_MS, books, wanted
from tests.fakes import FakeClock
from tests.inventory_backend.ledger.test_supply import by_ops
from tests.till import sale
from tests.waiting import free, join, offered
from waitroom.kernel.errors import ConfigFault

NAME = ("drop", "sneaker")
SPLIT = ["sneaker", "sneaker#1", "sneaker#2"]


@pytest.fixture
async def split(ledger: Ledger) -> Ledger:
    """Give a ledger with ten sneakers on three shards: all on the first, to begin with."""
    await Catalogue(ledger, [sale(shards=3)]).seed()
    return ledger


async def units(ledger: Ledger) -> list[tuple[int, int]]:
    """Return total and free units of each shard of the sneakers, once they agree with what is on record."""
    found = await ledger.read(supply.supplies)
    rows = await ledger.read(lambda connection: connection.execute(select(stock_change)).all())
    recorded, moved = Counter[str](), Counter[str]()
    for row in rows:
        recorded[row.sku] += row.delta
        moved[row.sku.partition("#")[0]] += row.delta if row.origin == Origin.SHARDS else 0
    assert +recorded == +Counter({name: one.total for (_, name), one in found.items()})
    assert not any(moved.values())
    return [(found["drop", name].total, found["drop", name].free) for name in SPLIT]


async def gather(ledger: Ledger, **needs: int) -> dict[str, int]:
    named = {name.replace("_", "#"): need for name, need in needs.items()}
    return await ledger.write(lambda connection: shards.gather(connection, "drop", named, NOW_MS))


async def test_a_new_sku_is_spread_evenly(ledger_url: str, clock: FakeClock) -> None:
    async with opened(LedgerSettings(ledger_url), clock) as ledger:
        await Catalogue(ledger, [sale(shards=3)]).seed()

        assert await units(ledger) == [(4, 4), (3, 3), (3, 3)]


async def test_shards_can_be_added_to_what_is_being_sold_and_not_taken_away(split: Ledger) -> None:
    assert await units(split) == [(10, 10), (0, 0), (0, 0)]

    with pytest.raises(ConfigFault, match=r"sales\.drop\.sneaker: shards would be 2, but there are 3"):
        await Catalogue(split, [sale(shards=2)]).seed()
    await Catalogue(split, [sale(14, shards=3)]).seed()

    assert await units(split) == [(12, 12), (1, 1), (1, 1)]


async def test_half_of_the_richest_comes_over_while_it_is_worth_the_way(split: Ledger) -> None:
    async def refill(name: str, least: int) -> bool:
        return await split.write(lambda connection: shards.refill(connection, "drop", name, least, NOW_MS))

    assert await refill("sneaker#1", 5)
    assert await units(split) == [(5, 5), (5, 5), (0, 0)]
    assert not await refill("sneaker#2", 3)
    assert await refill("sneaker#2", 2)
    assert await units(split) == [(3, 3), (5, 5), (2, 2)]
    assert not await refill("sneaker#3", 9)


async def test_what_lies_scattered_comes_together_richest_first(split: Ledger) -> None:
    await gather(split, sneaker_1=3, sneaker_2=2)
    assert await units(split) == [(5, 5), (3, 3), (2, 2)]

    assert await gather(split, sneaker_1=9) == {"sneaker": 0, "sneaker#1": 9, "sneaker#2": 1}
    assert await gather(split, sneaker=99) == {"sneaker": 10, "sneaker#1": 0, "sneaker#2": 0}
    assert await gather(split, sneaker=1) == {"sneaker": 10, "sneaker#1": 0, "sneaker#2": 0}
    assert await units(split) == [(10, 10), (0, 0), (0, 0)]


async def test_what_is_held_does_not_move(split: Ledger) -> None:
    await gather(split, sneaker_1=5)
    for n in range(4):
        assert await split.write_together(holds.take, wanted(f"s{n}", shard=1)) is Taken.HELD

    await gather(split, sneaker_2=99)

    assert await units(split) == [(0, 0), (4, 0), (6, 6)]
    assert await split.write_together(holds.take, wanted("eve", shard=1)) is Taken.SOLD_OUT
    assert (await books(split)).allocated == {"laces": 0, "laces#1": 0, "laces#2": 0} | dict(
        zip(SPLIT, (0, 4, 0), strict=True)
    )


async def test_other_skus_are_no_shards_whatever_they_are_called(split: Ledger) -> None:
    def like_it(connection: Connection) -> None:
        rows = [
            {"sale": "drop", "sku": name, "total": 50, "allocated": 0, "version": 0}
            for name in ("sneaker-1", "sneakers", "sneake_#1", "a-sneaker")
        ]
        connection.execute(sku.insert(), rows)

    await split.write(like_it)

    assert await split.read(lambda c: shards.free_units(c, "drop", ["sneaker"])) == {
        "sneaker": 10,
        "sneaker#1": 0,
        "sneaker#2": 0,
    }
    assert await split.read(lambda c: shards.free_units(c, "drop", [])) == {}


async def test_ops_and_waves_change_a_sku_and_its_shards_share_it(split: Ledger) -> None:
    await gather(split, sneaker_1=3, sneaker_2=3)

    assert await split.write(lambda c: supply.change(c, NAME, by_ops(-5)))
    assert await units(split) == [(0, 0), (2, 2), (3, 3)]
    assert await split.write(lambda c: supply.arrive(c, NAME, Wave(NOW_MS, 2), NOW_MS))
    assert not await split.write(lambda c: supply.arrive(c, NAME, Wave(NOW_MS, 2), NOW_MS))
    assert await units(split) == [(1, 1), (3, 3), (3, 3)]
    await split.write_together(holds.take, wanted("ann", ("sneaker", 2), shard=2))
    assert not await split.write(lambda c: supply.set_total(c, NAME, 1, by_ops(0)))
    assert await split.write(lambda c: supply.set_total(c, NAME, 2, by_ops(0)))
    assert await units(split) == [(0, 0), (0, 0), (2, 0)]
    assert await split.read(lambda c: supply.taken(c, NAME)) == (2, 0)


@given(st.integers(-60, 60), st.lists(st.integers(0, 20), min_size=1, max_size=5))
def test_a_change_is_shared_whole_and_takes_nothing_that_is_not_there(delta: int, free: list[int]) -> None:
    named = {f"s{place}": units for place, units in enumerate(free)}
    found = shards.parts(max(delta, -sum(free)), named)

    assert sum(found.values()) == max(delta, -sum(free))
    assert all(named[name] + part >= 0 for name, part in found.items())
    assert delta < 0 or max(found.values()) - min(found.values()) <= 1


async def test_who_waits_is_served_from_whichever_shard_comes_free(split: Ledger) -> None:
    await gather(split, sneaker_1=3, sneaker_2=3)
    owners = [wanted(f"o{n}", shard=n % 3) for n in range(9)]
    for one in [*owners, wanted("o9")]:
        assert await split.write_together(holds.take, one) is Taken.HELD
    await join(split, "ann", ("sneaker", 2))
    await join(split, "ben")

    await free(split, owners[1].rid)
    assert await offered(split, "ann", "ben") == []
    await free(split, owners[2].rid)
    assert await offered(split, "ann", "ben") == ["ann"]
    await free(split, owners[5].rid)
    assert await offered(split, "ann", "ben") == ["ann", "ben"]

    assert await units(split) == [(7, 0), (2, 0), (1, 0)]
    assert (await books(split)).holds[HoldState.HELD] == 9


async def test_nobody_waits_while_units_lie_on_any_shard(split: Ledger) -> None:
    await gather(split, sneaker_1=5)
    for n in range(9):
        await split.write_together(holds.take, wanted(f"o{n}", shard=n % 2))

    assert await join(split, "ann") == "not-sold-out"
    assert await join(split, "ann", ("sneaker", 2)) == "joined"


async def test_tills_that_reach_for_the_same_units_crosswise_lose_none(
    split: Ledger, ledger_url: str, clock: FakeClock
) -> None:
    async with opened(LedgerSettings(ledger_url, group_delay_ms=0), clock) as other:
        for place in range(6):
            tasks = [gather(split, sneaker_1=9), gather(other, sneaker_2=9), gather(split, sneaker=5 + place)]
            asks = [wanted(f"s{place}-{n}", shard=n) for n in range(3)]
            await asyncio.gather(*tasks, *(other.write_together(holds.take, one) for one in asks))
            await free(split, *(one.rid for one in asks))

        assert sum(total for total, _ in await units(split)) == 10
        assert not any((await books(split)).allocated.values())


async def test_tills_that_lock_much_crosswise_are_refused_nothing(ledger_url: str, clock: FakeClock) -> None:
    """PostgreSQL takes groups back for each other's sake; done again piece by piece they come through."""
    if not ledger_url.startswith("postgresql"):
        pytest.skip("SQLite has one writer")
    one, chance = sale(12, limit=9, shards=4), Random(1)
    lines = [[("sneaker", 1)], [("laces", 1)], [("laces", 2), ("sneaker", 1)]]
    async with AsyncExitStack() as stack:
        settings = LedgerSettings(ledger_url, group_delay_ms=0)
        tills = [await stack.enter_async_context(opened(settings, clock)) for _ in range(3)]
        await Catalogue(tills[0], [one]).seed()

        async def shopper(number: int) -> None:
            till, here, mine = tills[number % 3], 1 + number % 3, list[str]()
            for turn in range(30):
                match chance.randrange(5):
                    case 0 | 1:
                        ask = wanted(f"s{number}-{turn}", *chance.choice(lines), shard=chance.randrange(4), limit=9)
                        if await till.write_together(holds.take, ask) is Taken.HELD:
                            mine.append(ask.rid)
                    case 2:
                        await free(till, *(mine.pop() for _ in range(min(2, len(mine)))))
                    case 3:
                        await join(till, f"j{number}-{turn}", *chance.choice(lines), terms=one)
                    case _:
                        await gather(till, **{f"sneaker_{here}": 3, f"laces_{here}": 3})

        await asyncio.gather(*(shopper(number) for number in range(9)))

        await books(tills[0])
