"""The waitlist of a till that runs: joined, offered, paid; and no newcomer in between."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inventory_backend.payments.simulated_cards import Behaviour
from tests.bookkeeping import books
from tests.conftest import eventually
from tests.till import Answer, Shop, Shopper, config, gateway, shop
from waitroom.kernel.redis import ScriptRunner

WISH = {"lines": [{"sku": "sneaker", "qty": 1}]}
LIST = "/sales/drop/waitlist"


@pytest.fixture
async def drop(tmp_path: Path, redis_url: str) -> AsyncIterator[Shop]:
    """Give a sale of one pair, which the owner holds."""
    async with gateway() as url, shop(config(tmp_path, redis_url, url, total=1, limit_per_shopper=1)) as found:
        held = await found.shopper("owner").reserve(key="k")
        assert held.status == 201
        yield found


async def mine(drop: Shop) -> str:
    """Return the owner's reservation."""
    return str((await drop.shopper("owner").reserve(key="k")).body["reservation_id"])


async def until(shopper: Shopper, status: str) -> Answer:
    """Return the standing once it is `status`."""
    async with asyncio.timeout(60):
        while (found := await shopper.get(LIST)).body["status"] != status:
            await asyncio.sleep(0.02)
    return found


async def test_sold_out_join_offered_paid(drop: Shop) -> None:
    ann, ben = drop.shopper("ann"), drop.shopper("ben")
    joined = [await one.post(LIST, WISH) for one in (ann, ben, ann)]
    await drop.shopper("owner").cancel(await mine(drop))

    offer = (await until(ann, "offered")).body["offer"]
    newcomer = await drop.shopper("new").reserve()
    placed = await ann.commit(offer["reservation_id"])
    order = await ann.settled(placed.body["order_id"])

    assert [one.status for one in joined] == [201, 201, 200]
    assert [one.body["units_ahead"] for one in joined] == [0, 1, 0]
    assert (offer["status"], offer["total"]) == ("held", {"amount": 12900, "currency": "EUR"})
    assert (newcomer.status, newcomer.kind) == (409, "sold-out")
    assert order["status"] == "paid"
    assert (await ann.get(LIST)).body["status"] == "bought"
    assert (await ben.get(LIST)).body | {"joined_at": ""} == {
        "sale": "drop",
        "status": "waiting",
        "lines": [{"sku": "sneaker", "qty": 1, "price": {"amount": 12900, "currency": "EUR"}}],
        "joined_at": "",
        "units_ahead": 0,
        "may_return": 0,
        "offer": None,
    }
    assert (await books(drop.till.jobs.ledger)).allocated["sneaker"] == 1


async def test_the_unit_is_never_seen_free_between_its_owners(drop: Shop, redis: ScriptRunner) -> None:
    names = [f"s{n}" for n in range(5)]
    for name in names:
        await drop.shopper(name).post(LIST, WISH)
    seen, owners = set[object](), ["owner", *names]

    async def look() -> None:
        while owners:
            seen.add(await redis.client.hget("inv:{drop:sneaker}:st", "avail"))

    async def pass_on() -> None:
        await drop.shopper(owners.pop(0)).cancel(await mine(drop))
        while len(owners) > 1:
            owner = drop.shopper(owners[0])
            offer = (await until(owner, "offered")).body["offer"]
            await owner.cancel(offer["reservation_id"])
            del owners[0]
        await until(drop.shopper(owners.pop()), "offered")

    async with asyncio.TaskGroup() as group:
        group.create_task(look())
        group.create_task(pass_on())

    assert seen == {"0"}
    await delete(drop.shopper(names[-1]))
    async with asyncio.timeout(60):  # nobody waits any more: it is free for everybody
        while (await drop.shopper("new").reserve()).status != 201:
            await asyncio.sleep(0.02)


async def test_a_payment_that_fails_past_its_time_goes_to_the_next(tmp_path: Path, redis_url: str) -> None:
    slow = gateway(behaviour=Behaviour(pause_ms=60_000))
    async with slow as url, shop(config(tmp_path, redis_url, url, total=1, hold="5s", window="1s")) as drop:
        owner, ann = drop.shopper("owner"), drop.shopper("ann")
        held = await owner.reserve()
        await ann.post(LIST, WISH)
        placed = await owner.commit(held.body["reservation_id"], "card_3ds")

        await until(ann, "offered")

        assert (await owner.order(placed.body["order_id"]))["status"] != "paid"
        assert (await books(drop.till.jobs.ledger)).allocated["sneaker"] == 1


async def test_an_offer_nobody_takes_goes_to_the_next(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url, total=1, waitlist_offer="1s")) as drop:
        held = await drop.shopper("owner").reserve()
        ann, ben = drop.shopper("ann"), drop.shopper("ben")
        for one in (ann, ben):
            await one.post(LIST, WISH)
        await drop.shopper("owner").cancel(held.body["reservation_id"])

        await until(ben, "offered")

        assert (await ann.get(LIST)).body["status"] == "lapsed"


async def test_who_leaves_gives_up_the_place_or_the_offer(drop: Shop) -> None:
    ann, ben = drop.shopper("ann"), drop.shopper("ben")
    for one in (ann, ben):
        await one.post(LIST, WISH)
    await drop.shopper("owner").cancel(await mine(drop))
    await until(ann, "offered")

    gone = await delete(ann)
    await until(ben, "offered")

    assert (gone.status, gone.body) == (200, {"sale": "drop", "status": "none"})
    assert (await delete(ann)).status == 200
    assert (await delete(drop.shopper("nobody"))).status == 200
    assert (await drop.shopper("nobody").get(LIST)).body == {"sale": "drop", "status": "none"}


async def test_who_pays_does_not_leave(drop: Shop) -> None:
    ann = drop.shopper("ann")
    await ann.post(LIST, WISH)
    await drop.shopper("owner").cancel(await mine(drop))
    offer = (await until(ann, "offered")).body["offer"]
    await ann.commit(offer["reservation_id"], "card_slow")

    refused = await delete(ann)

    assert (refused.status, refused.kind) == (409, "payment-in-progress")


async def test_redis_flushed_keeps_offers_and_places(drop: Shop, redis: ScriptRunner) -> None:
    ann, ben = drop.shopper("ann"), drop.shopper("ben")
    for one in (ann, ben):
        await one.post(LIST, WISH)
    await drop.shopper("owner").cancel(await mine(drop))
    offer = (await until(ann, "offered")).body["offer"]

    await redis.client.flushdb()
    await eventually(lambda: drop.till.jobs.rebuild.is_loaded)
    while (newcomer := await drop.shopper("new").reserve()).status == 503:
        await asyncio.sleep(0.05)

    assert newcomer.kind == "sold-out"
    await ann.cancel(offer["reservation_id"])
    await until(ben, "offered")
    assert await drop.available() == 0


async def test_the_sale_says_how_many_units_are_waited_for(drop: Shop) -> None:
    await drop.shopper("ann").post(LIST, WISH)
    await drop.till.jobs.catalogue.refresh()

    found = (await drop.shopper().get("/sales/drop")).body

    assert found["has_waitlist"] is True
    assert {one["sku"]: one["waited_for"] for one in found["skus"]} == {"laces": 0, "sneaker": 1}


async def delete(shopper: Shopper) -> Answer:
    async with shopper.session.delete(shopper.url + LIST, headers=shopper.headers()) as answer:
        return Answer(answer.status, await answer.json(content_type=None), answer.headers)
