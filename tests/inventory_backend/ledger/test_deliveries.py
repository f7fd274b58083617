"""Each sink hears each piece of news: in the order of its reservation, until it is done or given up."""

from functools import partial

from inventory_backend.ledger import deliveries, holds
from inventory_backend.ledger.deliveries import Notice
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.news import News, tell
from tests.bookkeeping import NOW_MS, wanted

ALL = frozenset(News)


async def news(ledger: Ledger, *kinds: News, shopper: str = "alice") -> str:
    """Tell `kinds` of a fresh hold, as if each had moved it."""
    one = wanted(shopper, ("laces", 1), ("sneaker", 1))
    await ledger.write_together(holds.take, one)
    for kind in kinds:
        await ledger.write(partial(tell, kind=kind, rids=[one.rid], now_ms=NOW_MS))
    return one.rid


async def spread(ledger: Ledger, **sinks: frozenset[News]) -> int:
    return await ledger.write(lambda c: deliveries.spread(c, sinks, NOW_MS, 100))


async def claim(ledger: Ledger, sink: str = "erp", now_ms: int = NOW_MS) -> list[Notice]:
    return await ledger.write(lambda c: deliveries.claim(c, sink, now_ms, now_ms + 1000, 10))


async def test_a_sink_hears_what_it_wants_and_nothing_else(ledger: Ledger) -> None:
    await news(ledger, News.PAID, News.EXPIRED)

    assert await ledger.read(deliveries.is_any_fresh)
    assert await spread(ledger, erp=frozenset({News.PAID}), none=frozenset()) == 2
    assert await spread(ledger, erp=ALL) == 0
    assert not await ledger.read(deliveries.is_any_fresh)
    assert [one.kind for one in await claim(ledger)] == [News.PAID]
    assert await claim(ledger, "none") == []


async def test_the_notice_says_what_was_sold_under_an_id_that_stays(ledger: Ledger) -> None:
    rid = await news(ledger, News.PAID)
    await spread(ledger, erp=ALL)

    [first] = await claim(ledger)
    assert await claim(ledger) == [], "it is claimed"
    assert not await ledger.read(lambda c: deliveries.is_any_due(c, "erp", NOW_MS + 999))
    [again] = await claim(ledger, now_ms=NOW_MS + 1000)

    assert (first.rid, first.sale, first.cost.amount) == (rid, "drop", 13400)
    assert [line.sku for line in first.lines] == ["laces", "sneaker"]
    assert first.message_id == again.message_id
    assert (first.tries, again.tries) == (1, 2)


async def test_what_comes_later_waits_for_what_came_before_of_the_same_reservation(ledger: Ledger) -> None:
    await news(ledger, News.PAID, News.REFUNDED)
    await news(ledger, News.PAID, shopper="bob")
    await spread(ledger, erp=ALL, other=ALL)

    first, bobs = await claim(ledger)
    assert (first.kind, bobs.kind) == (News.PAID, News.PAID)
    await ledger.write(lambda c: deliveries.postpone(c, first.serial, NOW_MS + 5000, "status 500"))
    await ledger.write(lambda c: deliveries.done(c, bobs.serial, NOW_MS))
    assert await claim(ledger) == [], "the refund stays behind the payment"
    assert len(await claim(ledger, "other")) == 2, "another sink waits for nobody"

    await ledger.write(lambda c: deliveries.done(c, first.serial, NOW_MS))
    assert [one.kind for one in await claim(ledger)] == [News.REFUNDED]


async def test_a_dead_letter_is_seen_lets_others_pass_and_can_be_sent_again(ledger: Ledger) -> None:
    rid = await news(ledger, News.PAID, News.REFUNDED)
    await spread(ledger, erp=ALL)
    [first] = await claim(ledger)

    await ledger.write(lambda c: deliveries.bury(c, first.serial, NOW_MS, "status 500" * 100))

    assert [one.kind for one in await claim(ledger)] == [News.REFUNDED]
    [dead] = await ledger.read(deliveries.dead_letters)
    assert (dead.serial, dead.sink, dead.kind, dead.rid, dead.tries) == (first.serial, "erp", News.PAID, rid, 1)
    assert len(dead.fault) == 200
    assert await ledger.read(lambda c: deliveries.counts(c, "erp")) == (1, 1)
    assert await ledger.write(lambda c: deliveries.retry(c, first.serial, NOW_MS))
    assert not await ledger.write(lambda c: deliveries.retry(c, first.serial, NOW_MS))
    assert [one.serial for one in await claim(ledger)] == [first.serial]


async def test_a_sink_that_is_gone_gets_nothing_until_ops_try_it_again(ledger: Ledger) -> None:
    await news(ledger, News.PAID)
    await news(ledger, News.PAID, shopper="bob")
    await spread(ledger, erp=ALL)

    for _ in range(2):
        await ledger.write(lambda c: deliveries.stop(c, "erp", NOW_MS, "status 410"))
    await news(ledger, News.PAID, shopper="carol")
    await spread(ledger, erp=ALL, other=ALL)

    assert (await claim(ledger), len(await claim(ledger, "other"))) == ([], 1)
    dead = await ledger.read(deliveries.dead_letters)
    assert [one.fault for one in dead] == ["status 410"] * 2
    await ledger.write(lambda c: deliveries.retry(c, dead[0].serial, NOW_MS))
    await news(ledger, News.PAID, shopper="dave")
    await spread(ledger, erp=ALL)
    assert len(await claim(ledger)) == 2
