"""A till sells a split sku from a shard of its own, and from the others when that runs dry."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from inventory_backend.catalogue import Catalogue
from inventory_backend.ledger import holds, shards, supply
from inventory_backend.ledger.holds import Taken
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.sales import Line
from inventory_backend.stock.counter import Counter
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.restock import Restock
from inventory_backend.stock.shards import Shards
from inventory_backend.stock.stock import Hold, Stock
from tests.bookkeeping import NOW_MS, wanted
from tests.fakes import FakeClock
from tests.till import sale
from waitroom.kernel.redis import ScriptRunner

SPLIT = sale(30, limit=30, shards=3)
SNEAKER = SPLIT.skus["sneaker"]


@dataclass
class Till:
    """What one till knows of shards."""

    ledger: Ledger
    stock: Stock
    rebuild: Rebuild
    shards: Shards
    counter: Counter

    async def hold(self, rid: str, qty: int = 1) -> tuple[Hold, int]:
        """Return the word for so many sneakers, and the shard they are on."""
        passed = await self.counter.hold(SPLIT, SPLIT.priced([("sneaker", qty)]), rid, f"shopper of {rid}")
        await self.shards.close()
        return passed.word, passed.lines[0].shard if passed.lines else -1

    async def move(self, **needs: int) -> None:
        """Let units move in the ledger; Redis hears of it."""
        named = {name.replace("_", "#"): need for name, need in needs.items()}
        await self.ledger.write(lambda connection: shards.gather(connection, "drop", named, NOW_MS))
        await Restock(self.ledger, self.stock, self.rebuild, [SPLIT]).step()


@pytest.fixture
async def tills(ledger: Ledger, stock: Stock) -> AsyncIterator[list[Till]]:
    """Give three tills that sell thirty sneakers, ten on each shard."""
    await Catalogue(ledger, [SPLIT]).seed()
    for name in ("sneaker#1", "sneaker#2"):
        await ledger.write(lambda c, name=name: shards.gather(c, "drop", {name: 10}, NOW_MS))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    found = []
    for _ in range(3):
        rebuild = Rebuild(ledger, stock, [SPLIT])
        await rebuild.step()
        own = Shards(ledger, stock, rebuild, [SPLIT], least=2)
        found.append(Till(ledger, stock, rebuild, own, Counter(stock, rebuild, own)))
    yield found
    for one in found:
        await one.counter.close()


async def avail(redis: ScriptRunner) -> list[int]:
    return [int(await redis.client.hget(f"inv:{{drop:{name}}}:st", "avail") or 0) for name in SNEAKER.shard_names]


async def test_each_till_has_a_home_of_its_own_and_keeps_it(tills: list[Till], clock: FakeClock) -> None:
    for _ in range(4):
        for one in tills:
            await one.shards.step()
        assert [list(one.shards.in_order(SNEAKER)) for one in tills] == [[0, 1, 2], [1, 2, 0], [2, 0, 1]]
        await clock.advance(10)


async def test_a_dead_tills_home_is_the_next_ones(tills: list[Till], clock: FakeClock) -> None:
    first, second, third = tills
    for one in (first, second):
        await one.shards.step()
    await clock.advance(10)
    await second.shards.step()
    await clock.advance(10)

    await third.shards.step()  # the first was not seen for twenty seconds

    assert [next(iter(one.shards.in_order(SNEAKER))) for one in (second, third)] == [1, 0]
    await (
        first.shards.step()
    )  # only slow: its home is somebody else's, so it sells on from there until it finds another
    await first.shards.step()
    assert next(iter(first.shards.in_order(SNEAKER))) == 2


async def test_more_tills_than_shards_share_them(tills: list[Till], ledger: Ledger) -> None:
    more = [*tills, Till(ledger, tills[0].stock, tills[0].rebuild, tills[0].shards, tills[0].counter)]
    more[3].shards = Shards(ledger, tills[0].stock, tills[0].rebuild, [SPLIT])
    for one in more:
        await one.shards.step()

    assert list(more[3].shards.in_order(SNEAKER)) == [0, 1, 2]


async def test_a_sale_that_is_not_split_needs_no_job(ledger: Ledger, stock: Stock, rebuild: Rebuild) -> None:
    assert list(Shards(ledger, stock, rebuild, [sale()]).loops()) == []
    assert [one.name for one in Shards(ledger, stock, rebuild, [SPLIT]).loops()] == ["home"]


async def test_a_till_sells_from_home(tills: list[Till], redis: ScriptRunner) -> None:
    for one in tills:
        await one.shards.step()

    assert [await one.hold(f"r{n}", 2 + n) for n, one in enumerate(tills)] == [(Hold.HELD, n) for n in range(3)]
    assert await avail(redis) == [8, 7, 6]


async def test_units_come_home_when_it_runs_dry(tills: list[Till], ledger: Ledger, redis: ScriptRunner) -> None:
    own, _, other = tills
    for one in tills:
        await one.shards.step()
    assert await own.hold("all", 10) == (Hold.HELD, 0)

    assert await own.hold("next", 2) == (Hold.HELD, 1), "meanwhile they are taken where they lie"

    assert await avail(redis) == [5, 3, 10], "half of the richest has come"
    assert await own.hold("one more", 3) == (Hold.HELD, 0)
    assert await other.hold("r", 3) == (Hold.HELD, 2)
    found = await ledger.read(supply.supplies)
    assert [found["drop", name].total for name in SNEAKER.shard_names] == [15, 5, 10]


async def test_a_shard_that_has_too_few_is_not_asked_for_them(tills: list[Till], redis: ScriptRunner) -> None:
    async def holds_asked() -> int:
        stats: Any = await redis.client.info("commandstats")
        return int(stats["cmdstat_evalsha"]["calls"])

    own = tills[0]
    assert await own.hold("all", 10) == (Hold.HELD, 0)
    await own.hold("most of it", 9)
    before = await holds_asked()

    for number in range(5):
        assert (await own.hold(f"r{number}", 28))[0] is Hold.SOLD_OUT

    assert await holds_asked() == before + 5


async def test_the_last_ones_are_sold_where_they_lie(tills: list[Till], redis: ScriptRunner) -> None:
    own = tills[0]
    await own.move(sneaker=27)
    assert await own.hold("all", 27) == (Hold.HELD, 0)

    assert [await own.hold(f"r{n}") for n in range(4)] == [(Hold.HELD, 2)] * 3 + [(Hold.SOLD_OUT, -1)]
    assert await avail(redis) == [0, 0, 0]


async def test_what_lies_scattered_is_gathered_for_who_wants_several(tills: list[Till], redis: ScriptRunner) -> None:
    own = tills[0]
    for number, name in enumerate(SNEAKER.shard_names):
        line = Line("sneaker", 9, 12900, number)
        await own.ledger.write_together(holds.take, wanted(f"s{name}", ("sneaker", 9), limit=9, shard=number))
        key = own.rebuild.key("drop", name)
        assert await own.stock.hold(key, rid=name, shopper=name, qty=line.qty, limit=30) is Hold.HELD

    assert await own.hold("too many", 4) == (Hold.SOLD_OUT, -1)
    assert await avail(redis) == [1, 1, 1], "and nothing was moved for it"
    assert await own.hold("three", 3) == (Hold.HELD, 0)
    assert await avail(redis) == [0, 0, 0]
    assert await own.ledger.write_together(holds.take, wanted("ann", ("sneaker", 3), limit=3)) is Taken.HELD


@pytest.mark.parametrize("qty", [1, 2])
async def test_the_same_request_at_another_till_meets_the_hold_of_the_first(tills: list[Till], qty: int) -> None:
    """A balancer sent it twice: whoever comes second, as the last unit goes, is not told that all is gone."""
    for one in tills:
        await one.shards.step()
    await tills[0].move(sneaker=30)
    assert await tills[0].hold("all but the last", 30 - qty) == (Hold.HELD, 0)
    assert await tills[0].hold("twice", qty) == (Hold.HELD, 0)

    assert [await one.hold("twice", qty) for one in tills] == [(Hold.AGAIN, 0)] * 3
    assert await tills[1].hold("somebody else", qty) == (Hold.SOLD_OUT, -1)


async def test_redis_that_is_gone_keeps_no_unit_from_moving_and_hears_of_it_later(
    tills: list[Till], ledger: Ledger, redis: ScriptRunner
) -> None:
    own = tills[0]
    assert await own.hold("all", 10) == (Hold.HELD, 0)
    own.shards.runs_dry(SPLIT, "sneaker")
    await redis.client.flushdb()  # the ledger has not been asked yet
    await own.shards.close()

    assert not own.rebuild.is_loaded
    await own.rebuild.step()
    assert await avail(redis) == [15, 5, 10], "and the soft hold, which nobody was promised, is gone"


async def test_nobody_has_units_and_nothing_moves(tills: list[Till], ledger: Ledger) -> None:
    own = tills[0]
    before = await ledger.read(supply.supplies)

    assert not await own.shards.gather(SPLIT, SPLIT.priced([("sneaker", 31)]))

    after = await ledger.read(supply.supplies)
    assert sum(one.total for one in after.values()) == sum(one.total for one in before.values())
