"""stock/release on a real Valkey."""

import pytest

from tests.stock_line import StockLine


@pytest.mark.parametrize("is_durable", [True, False])
async def test_units_come_back_once(line: StockLine, is_durable: bool) -> None:
    await line.hold("r1", qty=2)
    if is_durable:
        await line.confirm("r1")

    assert await line.release("r1") == ["released", 2]
    assert await line.release("r1") == ["gone"]
    found = await line.everything()
    assert (found["st"]["avail"], found["h"], found["x"], found["u"]) == ("10", {}, [], {})


@pytest.mark.parametrize(("kept", "free"), [(1, 9), (2, 8), (3, 8)])
async def test_units_that_are_spoken_for_do_not_become_free(line: StockLine, kept: int, free: int) -> None:
    await line.hold("r1", qty=2)

    assert await line.release("r1", kept=kept) == ["released", 2]
    assert await line.release("r1", kept=kept) == ["gone"]
    found = await line.everything()
    assert (found["st"]["avail"], found["h"], found["u"]) == (str(free), {}, {})


async def test_the_shopper_keeps_what_other_holds_have(line: StockLine) -> None:
    await line.hold("r1")
    await line.hold("r2")

    await line.release("r1")

    assert (await line.everything())["u"] == {"alice": "1"}


async def test_a_message_of_an_earlier_life_inflates_nothing(line: StockLine) -> None:
    await line.hold("r1")
    await line.load("begin", epoch=2, avail=9)
    await line.load("open", epoch=2)

    assert await line.release("r1") == ["fenced"]
    assert await line.release("r1", epoch=2) == ["gone"]
    assert await line.avail() == 9


async def test_nothing_is_released_while_the_stock_is_loaded(line: StockLine) -> None:
    await line.load("begin", epoch=2, avail=9)

    assert await line.release("r1", epoch=2) == ["unloaded"]
