"""stock/recount on a real Valkey."""

import json

from tests.stock_line import StockLine


async def recount(line: StockLine, seen: int, *counts: tuple[str, int], epoch: int = 1) -> list[object]:
    return await line.run("recount", "st x u", epoch, seen, json.dumps(counts))


async def seen(line: StockLine) -> int:
    return int((await line.reconcile(-1, 0))[1])


async def test_counts_become_what_the_ledger_says(line: StockLine) -> None:
    await line.hold("r1")
    await line.confirm("r1")
    before = await line.everything()

    at = await seen(line)
    assert await recount(line, at, ("alice", 2), ("bob", 1), ("carol", 0)) == ["recounted", at + 1]
    assert await recount(line, at + 1, ("bob", 0)) == ["recounted", at + 2]

    after = await line.everything()
    assert after["u"] == {"alice": "2"}
    assert {part: after[part] for part in "hx"} == {part: before[part] for part in "hx"}
    assert await line.avail() == 9


async def test_nothing_is_counted_while_something_moves(line: StockLine) -> None:
    at = await seen(line)
    await line.hold("r1")

    assert await recount(line, at, ("alice", 0)) == ["moved", at + 1]
    assert await recount(line, at + 1, ("alice", 0)) == ["busy", at + 1]
    assert (await line.everything())["u"] == {"alice": "1"}


async def test_unknown_stock_and_foreign_epochs_are_refused(line: StockLine) -> None:
    assert await recount(line, 0, ("alice", 1), epoch=2) == ["fenced"]
    await line.redis.client.flushdb()
    assert await recount(line, 0, ("alice", 1)) == ["unloaded"]
