"""stock/confirm on a real Valkey."""

from tests.stock_line import StockLine


async def test_a_confirmed_hold_does_not_lapse(line: StockLine) -> None:
    await line.hold("r1")

    assert await line.confirm("r1") == ["confirmed", 1]
    assert await line.sweep(1_800_000_000_000) == ["swept", 0]
    assert (await line.everything())["h"] == {"r1": "1|durable|alice"}


async def test_confirming_again_changes_nothing(line: StockLine) -> None:
    await line.hold("r1")
    await line.confirm("r1")
    before = await line.everything()

    assert await line.confirm("r1") == ["confirmed", 1]
    assert await line.everything() == before


async def test_a_hold_that_lapsed_is_gone(line: StockLine) -> None:
    await line.hold("r1")
    await line.sweep(1_700_000_010_000)

    assert await line.confirm("r1") == ["confirmed", 0]
    assert await line.avail() == 10


async def test_what_one_commit_promised_is_confirmed_in_one_call(line: StockLine) -> None:
    for rid in ("r1", "r2", "r3"):
        await line.hold(rid, shopper=rid)
    await line.release("r2")
    before = int((await line.everything())["st"]["mut"])

    assert await line.confirm("r1", "r2", "r3") == ["confirmed", 2]
    everything = await line.everything()
    assert everything["h"] == {"r1": "1|durable|r1", "r3": "1|durable|r3"}
    assert everything["x"] == []
    assert int(everything["st"]["mut"]) == before + 2


async def test_nothing_to_confirm_changes_nothing(line: StockLine) -> None:
    await line.hold("r1")
    before = await line.everything()

    assert await line.confirm() == ["confirmed", 0]
    assert await line.everything() == before


async def test_a_shopper_may_be_called_anything(line: StockLine) -> None:
    await line.hold("r1", shopper="1|soft|x%d")
    await line.confirm("r1")

    assert (await line.everything())["h"] == {"r1": "1|durable|1|soft|x%d"}
    assert await line.release("r1") == ["released", 1]
    assert (await line.everything())["u"] == {}


async def test_unknown_stock_and_foreign_epochs_are_refused(line: StockLine) -> None:
    await line.hold("r1")

    assert await line.confirm("r1", epoch=2) == ["fenced"]
    await line.redis.client.flushdb()
    assert await line.confirm("r1") == ["unloaded"]
