"""A follower that a handler waits for."""

from tests.snapshots import snapshot
from waitroom.gate.awaiting import Awaiting
from waitroom.gate.pulses import Told


async def test_who_is_slow_gets_the_newest_and_nothing_between() -> None:
    follower, first, second = Awaiting(), Told(snapshot(), {"n": 1}), Told(snapshot(), {"n": 2})
    follower.tell(first)
    follower.tell(second)
    news = follower.news()

    assert await anext(news) is second
    follower.beat()
    assert await anext(news) is None
    follower.tell(first)
    follower.beat()
    assert await anext(news) is first


async def test_a_farewell_ends_it_whatever_is_left() -> None:
    follower = Awaiting()
    follower.tell(Told(snapshot(), {}))
    follower.farewell()

    assert [news async for news in follower.news()] == []
