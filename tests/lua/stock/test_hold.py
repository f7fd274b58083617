"""stock/hold on a real Valkey."""

import pytest

from tests.stock_line import StockLine
from waitroom.kernel.redis import ScriptRunner


async def test_a_hold_takes_units_and_counts_them_for_the_shopper(line: StockLine) -> None:
    assert await line.hold("r1", qty=2) == ["held", 8]

    found = await line.everything()
    assert found["h"] == {"r1": "2|soft|alice"}
    assert found["u"] == {"alice": "2"}
    assert found["x"] == [("r1", 1_700_000_010_000)]


async def test_the_same_reservation_again_changes_nothing(line: StockLine) -> None:
    await line.hold("r1")
    before = await line.everything()

    assert await line.hold("r1", qty=2) == ["again", 9]
    assert await line.everything() == before


async def test_more_than_the_limit_is_refused_over_several_holds(line: StockLine) -> None:
    await line.hold("r1", qty=2)
    before = await line.everything()

    assert await line.hold("r2") == ["limit-reached", 2]
    assert await line.everything() == before
    assert await line.hold("r3", shopper="bob") == ["held", 7]


async def test_the_last_unit_is_held_once(line: StockLine) -> None:
    replies = [await line.hold(f"r{n}", shopper=f"s{n}") for n in range(12)]

    assert [reply[0] for reply in replies] == ["held"] * 10 + ["sold-out"] * 2
    assert await line.avail() == 0


async def test_two_wanted_and_one_left_is_sold_out_for_them_only(line: StockLine) -> None:
    for n in range(9):
        await line.hold(f"r{n}", shopper=f"s{n}")

    assert await line.hold("r10", shopper="bob", qty=2) == ["sold-out", 1]
    assert await line.hold("r11", shopper="eve") == ["held", 0]


async def test_unknown_stock_and_foreign_epochs_are_refused_unchanged(line: StockLine) -> None:
    before = await line.everything()

    assert await line.hold("r1", epoch=2) == ["fenced"]
    assert await line.everything() == before
    await line.redis.client.flushdb()
    assert await line.hold("r1") == ["unloaded"]
    assert await line.redis.client.dbsize() == 0


@pytest.mark.parametrize("field", ["avail", "mut"])
@pytest.mark.parametrize("found", ["", "nan?", "0x", "1e"])
async def test_a_count_that_is_no_number_is_as_good_as_lost(line: StockLine, field: str, found: str) -> None:
    await line.redis.client.hset("inv:{drop:sneaker}:st", field, found)
    before = await line.everything()

    assert await line.hold("r1") == ["unloaded"]
    assert await line.everything() == before


async def test_nothing_is_held_while_the_stock_is_loaded(line: StockLine) -> None:
    await line.load("begin", epoch=2)

    assert await line.hold("r1", epoch=2) == ["unloaded"]


async def test_zero_as_the_time_means_the_clock_of_redis(line: StockLine, redis: ScriptRunner) -> None:
    keys = [line.keys[key] for key in ("st", "h", "x", "u")]
    await redis.run("stock/hold", keys=keys, args=(1, "r1", "alice", 1, 2, 10_000, 0))

    seconds, micros = await redis.client.time()
    lapses_ms = (await line.everything())["x"][0][1]
    assert lapses_ms == pytest.approx(seconds * 1000 + micros // 1000 + 10_000, abs=5000)


async def test_no_key_has_a_lifetime(line: StockLine) -> None:
    await line.hold("r1")

    assert [await line.redis.client.pttl(key) for key in line.keys.values()] == [-1] * 4
