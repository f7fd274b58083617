"""The promises of the till: nothing oversold, no acknowledged hold lost, all money accounted for."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from inventory_backend.ledger import holds
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.payments.simulated_cards import Behaviour
from inventory_backend.stock.stock import Stock
from tests.bookkeeping import Books, books
from tests.fakes import FakeClock
from tests.till import Answer, Shop, config, gateway, shop
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.units import spell_instant


async def balanced(drop: Shop) -> Books:
    return await books(drop.till.jobs.ledger)


async def buy(drop: Shop, name: str) -> dict[str, Any] | Answer:
    """Reserve and pay like a shopper does: 503 is tried again, sold out is not."""
    shopper = drop.shopper(name)
    while (held := await shopper.reserve()).status == 503:
        await asyncio.sleep(0.05)
    if held.status != 201:
        return held
    while (placed := await shopper.commit(held.body["reservation_id"], key=f"pay {name}")).status == 503:
        await asyncio.sleep(0.05)
    return await shopper.settled(placed.body["order_id"], within_s=60)


def outcomes(found: list[dict[str, Any] | Answer]) -> Counter[str]:
    return Counter(one.kind if isinstance(one, Answer) else str(one["status"]) for one in found)


async def test_a_thousand_buyers_for_a_hundred_units(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url, total=100)) as drop:
        found = await asyncio.gather(*(buy(drop, f"s{n}") for n in range(1000)))

        assert outcomes(found) == {"paid": 100, "sold-out": 900}
        assert (await balanced(drop)).allocated["sneaker"] == 100
        assert await drop.available() == 0


async def test_a_split_sku_is_sold_to_the_last_unit_and_nobody_sees_that_it_is_split(
    tmp_path: Path, redis_url: str
) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url, total=50, shards=4)) as drop:
        two = await asyncio.gather(*(drop.shopper(f"t{n}").reserve(2) for n in range(15)))
        found = await asyncio.gather(*(buy(drop, f"s{n}") for n in range(200)))
        for one in two:
            assert (one.status, [each["sku"] for each in one.body["lines"]]) == (201, ["sneaker"])
        order = await drop.shopper("t0").commit(two[0].body["reservation_id"])
        paid = await drop.shopper("t0").settled(order.body["order_id"])
        shown = (await drop.shopper().get("/sales/drop")).body

        assert outcomes(found) == {"paid": 20, "sold-out": 180}
        assert paid["lines"] == [{"sku": "sneaker", "qty": 2, "price": {"amount": 12900, "currency": "EUR"}}]
        assert [(each["sku"], each["total"]) for each in shown["skus"]] == [("laces", 50), ("sneaker", 50)]
        kept = (await balanced(drop)).allocated
        assert sum(units for name, units in kept.items() if name.startswith("sneaker")) == 50


async def test_who_waits_for_a_split_sku_is_offered_what_any_shard_gets_back(
    tmp_path: Path, redis_url: str, redis: ScriptRunner
) -> None:
    async with shop(config(tmp_path, redis_url, total=4, shards=2), with_jobs=False) as drop:
        jobs, ann = drop.till.jobs, drop.shopper("ann")
        owners = [drop.shopper(name) for name in ("o1", "o2")]
        held = [await one.reserve(2) for one in owners]
        assert (await drop.shopper("late").reserve()).kind == "sold-out"
        assert (await ann.post("/sales/drop/waitlist", {"lines": [{"sku": "sneaker", "qty": 2}]})).status == 201

        assert (await owners[1].cancel(held[1].body["reservation_id"])).status == 200
        for step in (jobs.restock.step, jobs.outbox.deliver, jobs.reconciler.step):
            await step()

        offered = (await ann.get("/sales/drop/waitlist")).body
        assert (offered["status"], offered["offer"]["lines"][0]["sku"]) == ("offered", "sneaker")
        avail = [await redis.client.hget(f"inv:{{drop:{name}}}:st", "avail") for name in ("sneaker", "sneaker#1")]
        assert avail == ["0", "0"]
        assert (await drop.shopper("late").reserve(key="again")).kind == "sold-out"
        assert sorted((await balanced(drop)).allocated.items())[2:] == [("sneaker", 4), ("sneaker#1", 0)]


async def test_redis_that_knows_nothing_right_oversells_nothing(
    tmp_path: Path, redis_url: str, redis: ScriptRunner
) -> None:
    """Rolled back or corrupted without anybody noticing: the guard of the ledger decides."""
    async with gateway() as url, shop(config(tmp_path, redis_url, url), with_jobs=False) as drop:
        await redis.client.hincrby("inv:{drop:sneaker}:st", "avail", 50)
        answers = await asyncio.gather(*(drop.shopper(f"s{n}").reserve() for n in range(40)))
        await redis.client.delete("inv:{drop:sneaker}:u")
        greedy = await drop.shopper("s0").reserve(2, key="more")

        assert Counter(one.status for one in answers) == {201: 10, 409: 30}
        assert {one.kind for one in answers if one.status == 409} == {"sold-out"}
        assert greedy.status == 409
        assert (await balanced(drop)).allocated["sneaker"] == 10


async def test_without_the_guard_redis_alone_would_oversell(
    tmp_path: Path, redis_url: str, redis: ScriptRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mutant, to show what the tests above are worth: without the guarded UPDATE the database breaks whole groups."""

    def unguarded(connection: Connection, units: Counter[tuple[str, str]]) -> bool:
        for (_, name), qty in units.items():
            connection.exec_driver_sql(f"UPDATE sku SET allocated = allocated + {qty} WHERE sku = '{name}'")
        return True

    async with gateway() as url, shop(config(tmp_path, redis_url, url), with_jobs=False) as drop:
        await redis.client.hincrby("inv:{drop:sneaker}:st", "avail", 50)
        monkeypatch.setattr(holds, "allocate", unguarded)
        answers = await asyncio.gather(*(drop.shopper(f"s{n}").reserve() for n in range(40)))

        assert 503 in {one.status for one in answers}, "the mutant is caught: what should be sold out breaks"
        assert (await balanced(drop)).allocated["sneaker"] <= 10


async def test_a_flush_in_the_middle_of_a_sale_loses_no_hold(
    tmp_path: Path, redis_url: str, redis: ScriptRunner
) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url, total=60)) as drop:
        crowd = asyncio.gather(*(buy(drop, f"s{n}") for n in range(200)))
        for _ in range(3):
            await asyncio.sleep(0.15)
            await redis.client.flushdb()

        assert outcomes(await crowd) == {"paid": 60, "sold-out": 140}
        assert (await balanced(drop)).allocated["sneaker"] == 60


async def test_an_expired_hold_is_free_for_the_next(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url, total=1, hold="1s")) as drop:
        first = await drop.shopper("alice").reserve()
        assert (await drop.shopper("bob").reserve()).kind == "sold-out"

        async with asyncio.timeout(60):
            while (second := await drop.shopper("bob").reserve()).status != 201:
                await asyncio.sleep(0.05)

        gone = await drop.shopper("alice").commit(first.body["reservation_id"])
        assert (gone.status, gone.kind, second.status) == (410, "hold-expired", 201)
        assert (await balanced(drop)).allocated["sneaker"] == 1


@pytest.mark.parametrize(("others", "end"), [(False, "paid"), (True, "refunded")])
async def test_late_money_buys_or_goes_back(tmp_path: Path, redis_url: str, others: bool, end: str) -> None:
    terms: dict[str, Any] = {"total": 1, "hold": "1s", "window": "1s", "grace": "200ms"}
    async with (
        gateway(behaviour=Behaviour(late_ms=2500)) as url,
        shop(config(tmp_path, redis_url, url, **terms)) as drop,
    ):
        alice = drop.shopper("alice")
        rid = (await alice.reserve()).body["reservation_id"]
        order = (await alice.commit(rid, "card_late")).body["order_id"]
        await alice.settled(order, "expired")
        if others:
            bob = drop.shopper("bob")
            async with asyncio.timeout(60):
                while (held := await bob.reserve()).status != 201:
                    await asyncio.sleep(0.01)
            await bob.settled((await bob.commit(held.body["reservation_id"])).body["order_id"])

        assert (await alice.settled(order, "paid", "refunded"))["status"] == end
        assert (await balanced(drop)).allocated["sneaker"] == 1


async def test_a_till_that_was_killed_opens_with_every_hold_and_every_payment(tmp_path: Path, redis_url: str) -> None:
    chosen = config(tmp_path, redis_url, "http://127.0.0.1:9")
    async with shop(chosen, with_jobs=False) as drop:  # the gateway is not there: the payment stays under way
        alice = drop.shopper("alice")
        rid = (await alice.reserve()).body["reservation_id"]
        order = (await alice.commit(rid)).body["order_id"]
        held = await drop.shopper("bob").reserve(2)

    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as drop:
        assert (await drop.shopper("alice").settled(order, "paid"))["status"] == "paid"
        assert (await drop.shopper("bob").reserve(2)).body == held.body
        assert await drop.available() == 7


async def test_a_ledger_that_does_not_commit_promises_nothing(
    tmp_path: Path, redis_url: str, redis: ScriptRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:

        async def down(*_given: object) -> None:
            raise StoreUnavailable("the disk is full")

        with monkeypatch.context() as broken:
            broken.setattr(Ledger, "write_together", down)
            refused = await drop.shopper().reserve()
        assert (refused.status, refused.kind, "Retry-After" in refused.headers) == (503, "store-unavailable", True)

        again = await drop.shopper().reserve()  # the soft hold of the first try is met again, not doubled
        assert again.status == 201
        assert await redis.client.hget("inv:{drop:sneaker}:st", "avail") == "9"
        assert (await balanced(drop)).allocated["sneaker"] == 1


async def test_a_confirmation_that_is_lost_costs_nobody_anything(
    tmp_path: Path, redis_url: str, redis: ScriptRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lost(*_given: object) -> int:
        raise StoreUnavailable("redis went away")

    async with shop(config(tmp_path, redis_url, total=2), with_jobs=False) as drop:
        with monkeypatch.context() as broken:
            broken.setattr(Stock, "confirm", lost)
            assert (await drop.shopper("alice").reserve(2)).status == 201
            await asyncio.sleep(0)
        key = drop.till.jobs.rebuild.key("drop", "sneaker")
        assert await Stock(redis, now_ms=4_000_000_000_000).sweep(key) == 1  # Redis thinks they are free

        assert (await drop.shopper("bob").reserve()).kind == "sold-out"
        assert (await balanced(drop)).allocated["sneaker"] == 2


async def test_an_answer_before_the_commit_would_be_a_lie(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5: at the moment of the 201, the row is there for everybody to read."""
    async with shop(config(tmp_path, redis_url), with_jobs=False) as drop:
        held = await drop.shopper().reserve()

        async with shop(config(tmp_path, redis_url), with_jobs=False) as other:
            found = await other.shopper().get(f"/checkout/reservations/{held.body['reservation_id']}")
        assert found.status == 200


@pytest.mark.parametrize(
    ("starts_s", "ends_s", "state"), [(10, 20, "NOT_STARTED"), (-20, -10, "ENDED"), (-10, 10, None)]
)
async def test_a_sale_sells_in_its_time_only(
    tmp_path: Path, redis_url: str, clock: FakeClock, starts_s: int, ends_s: int, state: str | None
) -> None:
    times: dict[str, Any] = {
        "starts_at": spell_instant(clock.now_ms() + starts_s * 1000),
        "ends_at": spell_instant(clock.now_ms() + ends_s * 1000),
    }
    async with shop(config(tmp_path, redis_url, **times), clock=clock, with_jobs=False) as drop:
        answer = await drop.shopper().reserve()

        if state is None:
            assert answer.status == 201
        else:
            assert (answer.status, answer.kind, answer.body["state"]) == (409, "sale-not-active", state)
            assert await drop.available() == 10


async def test_a_pass_of_another_room_opens_nothing(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url, room="vip"), with_jobs=False) as drop:
        assert (await drop.shopper().reserve()).kind == "no-pass"


async def test_a_double_click_is_one_hold_and_one_payment(tmp_path: Path, redis_url: str) -> None:
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as drop:
        alice = drop.shopper()
        held = await asyncio.gather(*(alice.reserve() for _ in range(10)))
        rid = next(one.body["reservation_id"] for one in held if one.status == 201)
        placed = await asyncio.gather(*(alice.commit(rid) for _ in range(10)))
        order = await alice.settled(next(one.body["order_id"] for one in placed if one.status == 202))

        for answers, good in ((held, 201), (placed, 202)):
            assert {(one.status, one.kind) for one in answers} <= {(good, ""), (409, "request-in-flight")}
            assert all("Retry-After" in one.headers for one in answers if one.status == 409)
            assert len({str(one.body) for one in answers if one.status == good}) == 1
        assert (order["status"], order["attempts"]) == ("paid", 1)
        found = await balanced(drop)
        assert (found.allocated["sneaker"], found.payments.total()) == (1, 1)


async def test_a_greedy_shopper_gets_the_limit_and_no_more(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url, total=50), with_jobs=False) as drop:
        alice = drop.shopper()

        answers = await asyncio.gather(*(alice.reserve(key=f"k{n}") for n in range(20)))

        assert Counter(one.status for one in answers) == {201: 2, 409: 18}
        assert (await balanced(drop)).allocated["sneaker"] == 2
