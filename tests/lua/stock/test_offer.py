"""stock/offer on a real Valkey."""

from tests.stock_line import StockLine


async def test_a_unit_that_goes_to_who_waits_is_never_seen_free(line: StockLine) -> None:
    for n in range(5):
        await line.hold(f"r{n}", shopper=f"s{n}", qty=2)

    assert await line.release("r0", kept=2) == ["released", 2]
    assert await line.avail() == 0
    assert await line.offer("next", shopper="bob", qty=2) == ["offered"]
    assert await line.avail() == 0

    found = await line.everything()
    assert (found["h"]["next"], found["u"]["bob"]) == ("2|durable|bob", "2")
    assert "s0" not in found["u"]


async def test_an_offer_comes_before_the_release_as_well_as_after(line: StockLine) -> None:
    await line.hold("r1", qty=2)

    await line.offer("next", qty=2)
    await line.release("r1", kept=2)

    found = await line.everything()
    assert (found["st"]["avail"], found["h"], found["u"]) == ("8", {"next": "2|durable|bob"}, {"bob": "2"})


async def test_units_that_were_seen_free_are_taken_off(line: StockLine) -> None:
    assert await line.offer("next", qty=2, seen=1) == ["offered"]

    assert await line.avail() == 9


async def test_an_offer_told_again_changes_nothing(line: StockLine) -> None:
    await line.offer("next", qty=2, seen=2)
    before = await line.everything()

    assert await line.offer("next", qty=2, seen=2) == ["again"]
    assert await line.everything() == before


async def test_an_offer_given_up_is_free_like_any_hold(line: StockLine) -> None:
    await line.offer("next", qty=2, seen=2)

    assert await line.release("next") == ["released", 2]
    assert (await line.avail(), (await line.everything())["u"]) == (10, {})


async def test_unknown_stock_and_foreign_epochs_are_refused(line: StockLine) -> None:
    assert await line.offer("next", epoch=2) == ["fenced"]
    await line.redis.client.flushdb()
    assert await line.offer("next") == ["unloaded"]
