"""The reply of a tick, read."""

from tests.edges import Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, StockReport
from waitroom.rules.rooms import Change, ChangeKind, Phase
from waitroom.rules.stock import Stock
from waitroom.store.stock import Stocks


async def test_what_the_script_replies_is_what_everybody_sees(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60, total_active_users=7) as shop:
        await shop.join()
        await shop.edge.rooms.control("drop", Change(ChangeKind.CLOSE), who="ann")
        seen = await shop.edge.rooms.control("drop", Change(ChangeKind.OPEN_ALL, "5000"), who="ann")

    assert (seen.room, seen.event, seen.phase, seen.main.waiting) == ("drop", "opening", Phase.PREQUEUE, 1)
    assert (seen.total_active_users, seen.revision, seen.main.serving) == (7, 2, None)
    assert (seen.is_closed, seen.revoked_before_ms) == (True, 0)
    assert seen.stock is None
    assert seen.is_open_to_all(seen.now_ms)
    assert not seen.is_open_to_all(seen.now_ms + 5000)


async def test_the_stock_is_told_where_the_store_reports_it(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store) as shop:
        await Stocks(redis).hear(StockReport("drop", 40, 3, 1))

        assert (await shop.edge.rooms.tick("drop")).stock == Stock(40, 3, 40)
