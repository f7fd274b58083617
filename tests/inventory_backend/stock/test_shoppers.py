"""Who has nothing may buy, whatever Redis remembers of them; who has their limit is counted so again."""

from typing import Any

import pytest

from inventory_backend.ledger import holds
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.outbox import Outbox
from inventory_backend.sales import HoldState
from inventory_backend.stock import shoppers
from inventory_backend.stock.comparison import compared
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.reconciler import Reconciler
from inventory_backend.stock.stock import Hold, Stock
from tests.bookkeeping import NOW_MS, wanted
from tests.fakes import FakeClock
from tests.till import sale
from waitroom.kernel.redis import ScriptRunner

U, H, ST = (f"inv:{{drop:sneaker}}:{part}" for part in ("u", "h", "st"))


async def hold(ledger: Ledger, stock: Stock, rebuild: Rebuild, name: str, qty: int = 2) -> str:
    """Let somebody have `qty` sneakers, and return the reservation."""
    one, key = wanted(name, ("sneaker", qty)), rebuild.key("drop", "sneaker")
    assert await stock.hold(key, rid=one.rid, shopper=name, qty=qty, limit=2) is Hold.HELD
    await ledger.write_together(holds.take, one)
    await stock.confirm(key, [one.rid])
    return one.rid


async def let_go(ledger: Ledger, stock: Stock, rebuild: Rebuild, rid: str) -> None:
    note = Note("shopper", NOW_MS)
    await ledger.write(lambda c: holds.release(c, [rid], HoldState.HELD, HoldState.CANCELLED, note))
    await Outbox(ledger, stock, rebuild).deliver()


async def copy_of(redis: ScriptRunner) -> dict[str, Any]:
    return {name: await redis.client.hgetall(name) for name in (U, H, ST)}


async def roll_back(redis: ScriptRunner, copy: dict[str, Any]) -> None:
    """Put what was there back, without a word to anybody."""
    await redis.client.delete(U, H, ST)
    for name, found in copy.items():
        if found:
            await redis.client.hset(name, mapping=found)


async def is_let_in(stock: Stock, rebuild: Rebuild, name: str) -> Hold:
    return await stock.hold(rebuild.key("drop", "sneaker"), rid=f"try {name}", shopper=name, qty=2, limit=2)


async def test_who_let_go_before_an_unnoticed_rollback_may_buy_again(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner, caplog: pytest.LogCaptureFixture
) -> None:
    rid = await hold(ledger, stock, rebuild, "alice")
    await hold(ledger, stock, rebuild, "bob")
    copy = await copy_of(redis)
    await let_go(ledger, stock, rebuild, rid)
    await roll_back(redis, copy)
    assert await is_let_in(stock, rebuild, "alice") is Hold.LIMIT_REACHED

    await Reconciler(ledger, stock, rebuild, [sale()]).step()

    assert "shoppers' counts mended" in caplog.text
    assert await redis.client.hgetall(U) == {"bob": "2"}
    assert await redis.client.hget(ST, "avail") == "8"
    assert await is_let_in(stock, rebuild, "alice") is Hold.HELD
    assert await is_let_in(stock, rebuild, "bob") is Hold.LIMIT_REACHED


async def test_it_is_found_without_a_drift_within_a_minute(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner, clock: FakeClock
) -> None:
    reconciler = Reconciler(ledger, stock, rebuild, [sale()])
    await reconciler.step()
    rid = await hold(ledger, stock, rebuild, "alice")
    copy = await copy_of(redis)
    await let_go(ledger, stock, rebuild, rid)
    await roll_back(redis, copy)
    await redis.client.hset(ST, "avail", 10)  # whoever mended the free units did not look at the shoppers

    await reconciler.step()
    assert await redis.client.hgetall(U) == {"alice": "2"}
    await clock.advance(60)
    await reconciler.step()

    assert await redis.client.hgetall(U) == {}
    assert await redis.client.hget(ST, "avail") == "10"


async def test_a_hold_that_is_over_is_found_while_others_come_and_go(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    rid = await hold(ledger, stock, rebuild, "alice")
    copy = await copy_of(redis)
    await let_go(ledger, stock, rebuild, rid)
    await roll_back(redis, copy)
    assert await is_let_in(stock, rebuild, "carol") is Hold.HELD, "softly: it is on its way"

    await Reconciler(ledger, stock, rebuild, [sale()]).step()

    assert await redis.client.hgetall(U) == {"carol": "2"}


@pytest.mark.parametrize("lost", [[U], [H], [U, H]])
async def test_lost_counts_are_what_the_ledger_says_again(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner, lost: list[str]
) -> None:
    await hold(ledger, stock, rebuild, "alice")
    await hold(ledger, stock, rebuild, "bob", qty=1)
    await redis.client.delete(*lost)

    await Reconciler(ledger, stock, rebuild, [sale()]).step()

    assert await redis.client.hgetall(U) == {"alice": "2", "bob": "1"}


async def test_a_count_that_is_no_number_is_one_again(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    await hold(ledger, stock, rebuild, "alice")
    await redis.client.hset(U, mapping={"alice": "?", "eve": ""})

    await Reconciler(ledger, stock, rebuild, [sale()]).step()

    assert await redis.client.hgetall(U) == {"alice": "2"}


async def test_what_is_on_its_way_is_no_difference(ledger: Ledger, stock: Stock, rebuild: Rebuild) -> None:
    key, rid = rebuild.key("drop", "sneaker"), await hold(ledger, stock, rebuild, "alice")
    assert not (await shoppers.differing(ledger, stock, key)).shoppers

    note = Note("shopper", NOW_MS)
    await ledger.write(lambda c: holds.release(c, [rid], HoldState.HELD, HoldState.CANCELLED, note))
    assert not (await shoppers.differing(ledger, stock, key)).shoppers, "Redis has yet to hear of it"
    await Outbox(ledger, stock, rebuild).deliver()
    await is_let_in(stock, rebuild, "eve")
    assert not (await shoppers.differing(ledger, stock, key)).shoppers, "the ledger has yet to hear of it"


async def test_nothing_is_set_when_somebody_came_meanwhile(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    key = rebuild.key("drop", "sneaker")
    await redis.client.hset(U, "alice", 2)
    found = await shoppers.differing(ledger, stock, key)
    await hold(ledger, stock, rebuild, "bob")

    assert not await shoppers.mend(stock, key, found)
    assert await redis.client.hgetall(U) == {"alice": "2", "bob": "2"}


async def test_whoever_looks_is_told_and_mends_it_only_when_they_say_so(
    ledger: Ledger, stock: Stock, rebuild: Rebuild, redis: ScriptRunner
) -> None:
    assert rebuild.is_loaded
    await redis.client.hset(U, "alice", 2)

    for is_mended in (False, True):
        [told] = await compared(ledger, stock, [sale()], is_mended=is_mended)
        assert (told.kind, told.subject, told.repair) == ("shopper-counts", "drop/sneaker", "mend")
    assert await compared(ledger, stock, [sale()]) == []
