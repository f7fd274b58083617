"""What is for sale, from memory."""

import json
from dataclasses import replace
from typing import Any

import pytest

from inventory_backend.catalogue import Catalogue
from inventory_backend.ledger import holds, supply
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.sales import SaleState, Wave
from tests.bookkeeping import NOW_MS, wanted
from tests.fakes import FakeClock
from tests.till import sale
from waitroom.kernel.errors import ConfigFault, Refused


async def document(catalogue: Catalogue) -> dict[str, Any]:
    await catalogue.refresh()
    found = catalogue.document("drop")
    assert found is not None
    return dict(json.loads(found.body))


async def test_a_sale_is_told_as_shoppers_read_it(ledger: Ledger) -> None:
    catalogue = Catalogue(ledger, [sale(starts_ms=NOW_MS, ends_ms=NOW_MS + 3_600_000)])
    await ledger.write_together(holds.take, wanted("alice", ("sneaker", 2)))

    found = await document(catalogue)

    assert {key: found[key] for key in ("sale", "state", "starts_at", "ends_at")} == {
        "sale": "drop",
        "state": "ACTIVE",
        "starts_at": "2023-11-14T22:13:20Z",
        "ends_at": "2023-11-14T23:13:20Z",
    }
    assert [(one["sku"], one["available"], one["total"]) for one in found["skus"]] == [
        ("laces", 10, 10),
        ("sneaker", 8, 10),
    ]
    assert found["skus"][1]["price"] == {"amount": 12900, "currency": "EUR"}


async def test_the_state_follows_time_and_stock(ledger: Ledger, clock: FakeClock) -> None:
    catalogue = Catalogue(ledger, [sale(starts_ms=NOW_MS + 1000, ends_ms=NOW_MS + 9000)])

    assert (await document(catalogue))["state"] == SaleState.NOT_STARTED
    await clock.advance(1)
    assert (await document(catalogue))["state"] == SaleState.ACTIVE
    for n in range(10):
        await ledger.write_together(holds.take, wanted(f"s{n}", ("sneaker", 1), ("laces", 1)))
    assert (await document(catalogue))["state"] == SaleState.SOLD_OUT
    await clock.advance(8)
    assert (await document(catalogue))["state"] == SaleState.ENDED


async def test_a_sale_tells_when_more_comes_and_counts_what_came(ledger: Ledger, clock: FakeClock) -> None:
    waves = (Wave(NOW_MS + 1000, 5), Wave(NOW_MS + 9000, 5))
    one = sale()
    catalogue = Catalogue(ledger, [replace(one, skus={"sneaker": replace(one.skus["sneaker"], waves=waves)})])

    async def told() -> tuple[object, object, object]:
        found = (await document(catalogue))["skus"][0]
        return found["next_wave_at"], found["available"], found["total"]

    assert await told() == ("2023-11-14T22:13:21Z", 10, 10)
    await clock.advance(1)
    await ledger.write(lambda c: supply.arrive(c, ("drop", "sneaker"), waves[0], NOW_MS))
    assert await told() == ("2023-11-14T22:13:29Z", 15, 15)
    await clock.advance(8)
    assert (await told())[0] is None


async def test_a_document_that_did_not_change_is_not_made_again(ledger: Ledger) -> None:
    catalogue = Catalogue(ledger, [sale()])
    await catalogue.refresh()
    before = catalogue.document("drop")
    await catalogue.refresh()

    assert catalogue.document("drop") is before
    assert catalogue.document("other") is None


async def test_a_catalogue_that_was_not_read_for_a_while_says_so(ledger: Ledger, clock: FakeClock) -> None:
    catalogue = Catalogue(ledger, [sale()])
    assert not catalogue.is_fresh
    await catalogue.refresh()
    assert catalogue.is_fresh
    await clock.advance(5)
    assert not catalogue.is_fresh


async def test_stock_may_be_raised_and_lowered_down_to_what_is_taken(ledger: Ledger) -> None:
    for n in range(6):
        await ledger.write_together(holds.take, wanted(f"s{n}"))

    for total in (12, 6):
        catalogue = Catalogue(ledger, [sale(total)])
        await catalogue.seed()
        assert (await document(catalogue))["skus"][1]["available"] == total - 6
    with pytest.raises(ConfigFault, match="6 are held or sold"):
        await Catalogue(ledger, [sale(5)]).seed()
    assert (await document(Catalogue(ledger, [sale(6)])))["skus"][1]["available"] == 0


async def test_an_order_is_checked_against_what_is_for_sale(ledger: Ledger) -> None:
    catalogue = Catalogue(ledger, [sale(ends_ms=NOW_MS + 1)])

    one, lines = catalogue.ordered("drop", "drop", [("sneaker", 1), ("sneaker", 1)])
    assert (one.name, [(line.sku, line.qty) for line in lines]) == ("drop", [("sneaker", 2)])
    for room, name, wanted_lines, kind in (
        ("drop", "other", [("sneaker", 1)], "unknown-sale"),
        ("staff", "drop", [("sneaker", 1)], "no-pass"),
        ("drop", "drop", [("boots", 1)], "unknown-sku"),
        ("drop", "drop", [("sneaker", 2), ("laces", 1)], "limit-reached"),
    ):
        with pytest.raises(Refused) as refusal:
            catalogue.ordered(room, name, wanted_lines)
        assert refusal.value.kind == kind


async def test_somebody_may_wait_only_where_something_is_sold_out(ledger: Ledger) -> None:
    catalogue = Catalogue(ledger, [sale()])
    await catalogue.refresh()
    assert not catalogue.is_short("drop")

    for n in range(10):
        await ledger.write_together(holds.take, wanted(f"s{n}"))
    await catalogue.refresh()

    assert catalogue.is_short("drop")
