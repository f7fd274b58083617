"""stock/load on a real Valkey."""

import json

from tests.stock_line import StockLine


async def test_a_loaded_stock_is_what_the_ledger_said(unloaded: StockLine) -> None:
    assert await unloaded.load("begin", epoch=3, avail=6, total=9, version=4) == ["loading"]
    holds = json.dumps([["r1", "alice", 2], ["r2", "bob", 1]])
    assert await unloaded.load("add", epoch=3, holds=holds) == ["loading"]
    assert await unloaded.load("add", epoch=3, holds=json.dumps([["r3", "alice", 1]])) == ["loading"]
    assert await unloaded.load("open", epoch=3) == ["open"]

    found = await unloaded.everything()
    assert found["st"] == {
        "epoch": "3",
        "state": "open",
        "avail": "6",
        "mut": "0",
        "total": "9",
        "version": "4",
    }
    assert found["h"] == {"r1": "2|durable|alice", "r2": "1|durable|bob", "r3": "1|durable|alice"}
    assert found["u"] == {"alice": "3", "bob": "1"}


async def test_a_chunk_that_comes_twice_counts_once(unloaded: StockLine) -> None:
    await unloaded.load("begin", avail=8)
    for _ in range(2):
        await unloaded.load("add", holds=json.dumps([["r1", "alice", 2]]))

    assert (await unloaded.everything())["u"] == {"alice": "2"}


async def test_an_earlier_life_is_forgotten_whole(line: StockLine) -> None:
    await line.hold("r1")
    await line.load("begin", epoch=2, avail=10)
    await line.load("open", epoch=2)

    found = await line.everything()
    assert (found["h"], found["x"], found["u"], found["st"]["avail"]) == ({}, [], {}, "10")


async def test_an_older_loader_is_fenced(line: StockLine) -> None:
    await line.load("begin", epoch=2)

    assert await line.load("begin", epoch=1) == ["fenced"]
    assert await line.load("add", epoch=1) == ["fenced"]
    assert await line.load("open", epoch=1) == ["fenced"]


async def test_nothing_opens_that_was_not_begun(unloaded: StockLine) -> None:
    assert await unloaded.load("open") == ["unloaded"]
    assert await unloaded.load("add") == ["unloaded"]
    assert await unloaded.redis.client.dbsize() == 0


async def test_an_open_stock_is_not_loaded_again(line: StockLine) -> None:
    await line.hold("r9")
    before = await line.everything()

    for stage in ("begin", "add", "open"):
        assert await line.load(stage, avail=99, holds=json.dumps([["r8", "eve", 1]])) == ["open"]

    assert await line.everything() == before


async def test_a_life_that_is_no_number_is_followed_by_any(line: StockLine) -> None:
    await line.redis.client.hset("inv:{drop:sneaker}:st", "epoch", "?")

    assert await line.load("begin", epoch=2, avail=10) == ["loading"]
    assert await line.load("open", epoch=2) == ["open"]
