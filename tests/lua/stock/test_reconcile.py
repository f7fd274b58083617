"""stock/reconcile on a real Valkey."""

from tests.stock_line import StockLine


async def seen(line: StockLine) -> int:
    return int((await line.reconcile(-1, 0))[1])


async def test_what_agrees_stays(line: StockLine) -> None:
    assert await line.reconcile(await seen(line), 10) == ["agreed", 10]


async def test_what_drifted_is_set_right_and_the_drift_is_told(line: StockLine) -> None:
    assert await line.reconcile(await seen(line), 7) == ["mended", 3]
    assert await line.avail() == 7
    assert await line.reconcile(await seen(line), 9) == ["mended", -2]
    assert await line.avail() == 9


async def test_nothing_is_set_when_something_moved_meanwhile(line: StockLine) -> None:
    before = await seen(line)
    await line.hold("r1")

    assert await line.reconcile(before, 3) == ["moved", before + 1]
    assert await line.avail() == 9


async def test_nothing_is_set_while_a_soft_hold_is_on_its_way(line: StockLine) -> None:
    await line.hold("r1")

    assert (await line.reconcile(await seen(line), 10))[0] == "busy"
    await line.confirm("r1")
    assert await line.reconcile(await seen(line), 9) == ["agreed", 9]


async def test_unknown_stock_and_foreign_epochs_are_refused(line: StockLine) -> None:
    assert await line.reconcile(-1, 0, epoch=2) == ["fenced"]
    await line.redis.client.flushdb()
    assert await line.reconcile(-1, 0) == ["unloaded"]


async def test_a_total_that_is_new_to_redis_is_taken_over_and_no_drift(line: StockLine) -> None:
    assert await line.reconcile(await seen(line), 15, total=15, version=7) == ["agreed", 15]

    assert await line.resize(15, version=7) == ["known"], "what came this way does not come twice"
    assert await line.avail() == 15


async def test_a_drift_beside_a_new_total_is_told_as_it_is(line: StockLine) -> None:
    assert await line.reconcile(await seen(line), 12, total=15, version=7) == ["mended", 3]
    assert await line.avail() == 12
