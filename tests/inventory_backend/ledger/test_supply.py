"""How many units there are: each change on record, none below what is held or sold, none undone by a start."""

import asyncio

import pytest
from sqlalchemy import Connection, delete, func, select, text, update

from inventory_backend.ledger import holds, supply
from inventory_backend.ledger.engines import database_at
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, migrated, opened
from inventory_backend.ledger.schema import sku, stock_change
from inventory_backend.ledger.stock_changes import Change, Origin
from inventory_backend.sales import MOST_UNITS, HoldState, Wave
from tests.bookkeeping import NOW_MS, books, wanted
from tests.fakes import FakeClock
from tests.till import sale
from tests.waiting import join, offered, sell_out
from waitroom.kernel.errors import ConfigFault

NAME = ("drop", "sneaker")
UNTOUCHED = {"allocated": 0, "version": 0}


def by_ops(delta: int) -> Change:
    return Change(delta, Origin.OPS, "ada", "a box was found", NOW_MS)


def totals(connection: Connection) -> tuple[int, int]:
    """Return the total of the sneakers, and what their changes sum up to."""
    recorded = select(func.sum(stock_change.c.delta)).where(stock_change.c.sku == "sneaker")
    summed = int(connection.execute(recorded).scalar_one())
    return supply.supplies(connection)[NAME].total, summed


async def test_the_total_is_the_sum_of_its_changes(ledger: Ledger) -> None:
    for delta in (5, -7, 1):
        assert await ledger.write(lambda c, delta=delta: supply.change(c, NAME, by_ops(delta)))  # type: ignore[misc]  # mypy cannot infer a lambda with a default

    assert await ledger.read(totals) == (9, 9)
    told = await ledger.read(lambda c: supply.entries(c, NAME))
    assert [(one.delta, one.origin, one.actor) for one in told] == [
        (10, "configuration", "configuration"),
        (5, "ops", "ada"),
        (-7, "ops", "ada"),
        (1, "ops", "ada"),
    ]
    assert told[1].why == "a box was found"


async def test_nothing_is_taken_away_that_is_held_or_sold(ledger: Ledger) -> None:
    for shopper in ("alice", "bob"):
        await ledger.write_together(holds.take, wanted(shopper, ("sneaker", 2)))

    assert not await ledger.write(lambda c: supply.change(c, NAME, by_ops(-7)))
    assert not await ledger.write(lambda c: supply.set_total(c, NAME, 3, by_ops(0)))
    assert await ledger.read(totals) == (10, 10)
    assert await ledger.write(lambda c: supply.set_total(c, NAME, 4, by_ops(0)))
    assert await ledger.read(totals) == (4, 4)
    assert await ledger.read(lambda c: supply.taken(c, NAME)) == (4, 0)


async def test_what_is_sold_is_told_apart_from_what_is_held(ledger: Ledger) -> None:
    for shopper in ("alice", "bob"):
        await ledger.write_together(holds.take, wanted(shopper, ("sneaker", 1), ("laces", 1)))
    for move in ((HoldState.HELD, HoldState.PAYING), (HoldState.PAYING, HoldState.CAPTURING)):
        await ledger.write(lambda c, move=move: holds.move(c, wanted("bob").rid, *move))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    await ledger.write(lambda c: holds.move(c, wanted("bob").rid, HoldState.CAPTURING, HoldState.PAID))
    note = Note("shopper", NOW_MS)
    await ledger.write_together(holds.take, wanted("eve"))
    await ledger.write(lambda c: holds.release(c, [wanted("eve").rid], HoldState.HELD, HoldState.CANCELLED, note))

    assert await ledger.read(lambda c: supply.taken(c, NAME)) == (1, 1)


async def test_more_than_can_be_counted_is_refused(ledger: Ledger) -> None:
    assert not await ledger.write(lambda c: supply.change(c, NAME, by_ops(MOST_UNITS)))
    assert await ledger.read(totals) == (10, 10)


async def test_a_wave_arrives_once_however_many_let_it_in(ledger: Ledger) -> None:
    waves = [Wave(NOW_MS, 5), Wave(NOW_MS + 1, 5)]

    came = await asyncio.gather(
        *(ledger.write(lambda c, wave=wave: supply.arrive(c, NAME, wave, NOW_MS)) for wave in waves * 4)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
    )

    assert came.count(True) == 2
    assert await ledger.read(totals) == (20, 20)


async def test_no_start_undoes_what_ops_and_waves_did(ledger: Ledger) -> None:
    await ledger.write(lambda c: supply.change(c, NAME, by_ops(5)))
    await ledger.write(lambda c: supply.arrive(c, NAME, Wave(NOW_MS, 3), NOW_MS))

    for written, total in ((10, 18), (10, 18), (12, 20), (12, 20), (9, 17), (10, 18)):
        await ledger.write(lambda c, written=written: supply.seed(c, [sale(written)], NOW_MS))  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        assert await ledger.read(totals) == (total, total)


async def test_a_configuration_that_takes_away_what_is_sold_is_refused_whole(ledger: Ledger) -> None:
    for n in range(6):
        await ledger.write_together(holds.take, wanted(f"s{n}"))
    await ledger.write(lambda c: supply.change(c, NAME, by_ops(-3)))

    with pytest.raises(ConfigFault, match="total would be 5, but 6 are held or sold"):
        await ledger.write(lambda c: supply.seed(c, [sale(8)], NOW_MS))
    assert await ledger.read(totals) == (7, 7)


async def test_tills_that_start_at_once_write_the_stock_once(ledger_url: str, clock: FakeClock) -> None:
    async with (
        opened(LedgerSettings(ledger_url), clock) as one,
        opened(LedgerSettings(ledger_url), clock) as other,
    ):
        await asyncio.gather(*(each.write(lambda c: supply.seed(c, [sale(7)], NOW_MS)) for each in (one, other) * 3))

        assert await one.read(totals) == (7, 7)


@pytest.mark.parametrize("sin", [update(stock_change).values(delta=0), delete(stock_change)])
async def test_the_record_is_append_only(ledger: Ledger, sin: object) -> None:
    with pytest.raises(Exception, match="append-only"):
        await ledger.write(lambda connection: connection.execute(sin).rowcount)  # type: ignore[call-overload]  # update or delete
    assert await ledger.read(totals) == (10, 10)


async def test_a_ledger_from_before_keeps_its_totals(ledger_url: str, clock: FakeClock) -> None:
    settings = LedgerSettings(ledger_url)
    await migrated(settings, "0003")

    def older(connection: Connection) -> None:
        connection.execute(text("INSERT INTO sale (sale, epoch) VALUES ('drop', 3)"))
        connection.execute(sku.insert(), {"sale": "drop", "sku": "sneaker", "total": 10} | UNTOUCHED)

    database = database_at(ledger_url, connections=1, timeout_ms=5000)
    await database.write(older)
    await database.close()

    async with opened(settings, clock) as ledger:
        assert await ledger.read(totals) == (10, 10)
        await ledger.write(lambda c: supply.seed(c, [sale(12)], NOW_MS))
        assert await ledger.read(totals) == (12, 12)


@pytest.mark.parametrize("is_wave", [True, False])
async def test_new_units_go_to_who_waits_first(ledger: Ledger, is_wave: bool) -> None:
    await sell_out(ledger)
    for name in ("ann", "ben"):
        await join(ledger, name)

    if is_wave:
        assert await ledger.write(lambda c: supply.arrive(c, NAME, Wave(NOW_MS, 3), NOW_MS))
    else:
        assert await ledger.write(lambda c: supply.change(c, NAME, by_ops(3)))

    assert await offered(ledger, "ann", "ben") == ["ann", "ben"]
    assert (await books(ledger)).allocated["sneaker"] == 12
