"""Attacks on the waitlist: be first, be there twice, overtake, block."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bookkeeping import books
from tests.till import Shop, config, shop
from waitroom.kernel.redis import ScriptRunner

LIST = "/sales/drop/waitlist"


def wish(qty: int = 1) -> dict[str, object]:
    return {"lines": [{"sku": "sneaker", "qty": qty}]}


@pytest.fixture
async def till(tmp_path: Path, redis: ScriptRunner, valkey_url: str) -> AsyncIterator[Shop]:
    """Give a sale of three pairs that `owner0` to `owner2` hold."""
    assert await redis.client.dbsize() == 0
    async with shop(config(tmp_path, f"{valkey_url}?db=1", total=3, waitlist_offer="1s")) as found:
        for n in range(3):
            assert (await found.shopper(f"owner{n}").reserve()).status == 201
        yield found


async def give_back(till: Shop, name: str) -> None:
    rid = (await till.shopper(name).reserve()).body["reservation_id"]
    assert (await till.shopper(name).cancel(rid)).status == 200


async def until(till: Shop, name: str, status: str) -> None:
    async with asyncio.timeout(60):
        while (await till.shopper(name).get(LIST)).body["status"] != status:
            await asyncio.sleep(0.02)


async def test_a_hundred_ways_to_join_are_one_place(till: Shop) -> None:
    await till.shopper("ann").post(LIST, wish())
    eve = till.shopper("eve")

    answers = await asyncio.gather(
        *(eve.post(LIST, wish()) for _ in range(40)),
        *(eve.post(LIST, wish(), key=f"k{n}") for n in range(40)),
        *(eve.post(LIST, {"lines": [{"sku": "sneaker", "qty": 2}]}) for _ in range(20)),
    )
    await till.shopper("ben").post(LIST, wish())

    assert Counter(one.status for one in answers) == {201: 1, 200: 79, 409: 20}
    assert (await eve.get(LIST)).body["units_ahead"] == 1
    assert (await till.shopper("ben").get(LIST)).body["units_ahead"] == 2


async def test_joining_and_leaving_in_turn_gains_no_place(till: Shop) -> None:
    eve, ann = till.shopper("eve"), till.shopper("ann")
    await eve.post(LIST, wish())
    await ann.post(LIST, wish())
    for _ in range(5):
        async with eve.session.delete(eve.url + LIST, headers=eve.headers()) as answer:
            assert answer.status == 200
        await eve.post(LIST, wish())

    assert (await ann.get(LIST)).body["units_ahead"] == 0
    assert (await eve.get(LIST)).body["units_ahead"] == 1


async def test_a_storm_of_newcomers_gets_nothing_of_what_comes_back(till: Shop) -> None:
    for n in range(3):
        await till.shopper(f"ann{n}").post(LIST, wish())
    is_over = asyncio.Event()

    async def storm(name: str) -> set[str]:
        kinds = set()
        while not is_over.is_set():
            kinds.add((await till.shopper(name).reserve(key="k")).kind)
        return kinds

    async def pass_on() -> None:
        try:
            await asyncio.gather(*(give_back(till, f"owner{n}") for n in range(3)))
            for n in range(3):
                await until(till, f"ann{n}", "offered")
        finally:
            is_over.set()

    *kinds, _ = await asyncio.gather(*(storm(f"eve{n}") for n in range(10)), pass_on())

    assert set[str]().union(*(one for one in kinds if one)) == {"sold-out"}
    assert (await books(till.till.jobs.ledger)).allocated["sneaker"] == 3


async def test_a_wish_too_big_blocks_nobody_for_long(till: Shop) -> None:
    await till.shopper("eve").post(LIST, wish(2))
    await till.shopper("ann").post(LIST, wish())

    await give_back(till, "owner0")

    await until(till, "ann", "offered")
    assert (await till.shopper("eve").get(LIST)).body["status"] == "waiting"
    assert (await books(till.till.jobs.ledger)).allocated["sneaker"] == 3


async def test_nobody_reads_or_leaves_the_place_of_another(till: Shop) -> None:
    await till.shopper("ann").post(LIST, wish())
    eve = till.shopper("eve")
    async with eve.session.delete(eve.url + LIST, headers=eve.headers(), json={"shopper": "ann"}) as answer:
        assert answer.status == 200

    assert (await eve.get(LIST)).body == {"sale": "drop", "status": "none"}
    await give_back(till, "owner0")
    await until(till, "ann", "offered")
    rid = (await till.shopper("ann").get(LIST)).body["offer"]["reservation_id"]
    assert (await eve.cancel(rid)).status == 404
    assert (await eve.commit(rid)).status == 404
