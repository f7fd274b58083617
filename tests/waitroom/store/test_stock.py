"""Reports of what is left, on a real server: what one worker hears, every worker's next tick heeds."""

from dataclasses import replace

import pytest

from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, StockReport
from waitroom.rules.rooms import Phase, RoomRules, Schedule
from waitroom.rules.stock import Stock, StockRules
from waitroom.store.rooms import Rooms, Wait
from waitroom.store.stock import Stocks

REPORT = StockReport("drop", 0, 0, 1000)


@pytest.fixture
def rooms(redis: ScriptRunner, keys: Keys) -> Rooms:
    return Rooms(redis, [RoomRules("drop"), RoomRules("other")], keys, SystemClock())


async def test_a_room_that_has_no_state_yet_hears_nothing(redis: ScriptRunner) -> None:
    with pytest.raises(StoreUnavailable):
        await Stocks(redis).hear(REPORT)


async def test_every_worker_heeds_it_and_no_other_room(redis: ScriptRunner, rooms: Rooms, keys: Keys) -> None:
    for room in ("drop", "other"):
        await rooms.tick(room)

    assert await Stocks(redis).hear(REPORT)
    another = Rooms(redis, [RoomRules("drop")], keys, SystemClock())
    assert [(await one.tick("drop")).phase for one in (rooms, another)] == [Phase.SOLD_OUT] * 2
    assert await rooms.enter("drop") == Wait("sold_out")
    assert (await rooms.tick("other")).stock is None


async def test_a_report_counts_once(redis: ScriptRunner, rooms: Rooms) -> None:
    await rooms.tick("drop")
    stocks = Stocks(redis)

    assert [await stocks.hear(REPORT), await stocks.hear(replace(REPORT, left=5))] == [True, False]
    assert await stocks.hear(replace(REPORT, left=5, said_ms=1001))
    assert (await rooms.tick("drop")).stock == Stock(5, 0, 5)


async def test_it_is_said_of_the_room_whatever_event_counts(redis: ScriptRunner, keys: Keys) -> None:
    event = Schedule("opening", 0, 1, 2**53)
    rooms = Rooms(redis, [RoomRules("drop", events=(event,))], keys, SystemClock())
    await rooms.tick("drop")
    await Stocks(redis).hear(REPORT)

    assert (await rooms.tick("drop")).phase is Phase.SOLD_OUT


async def test_a_room_that_heeds_none_goes_on_as_without(redis: ScriptRunner, keys: Keys) -> None:
    rooms = Rooms(redis, [RoomRules("drop", stock=StockRules(lasts_ms=0))], keys, SystemClock())
    await rooms.tick("drop")
    await Stocks(redis).hear(REPORT)

    assert (await rooms.tick("drop")).phase is Phase.IDLE
