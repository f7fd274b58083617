"""How much one upstream does at once, seen from both sides."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry, Gauge

from tests.origin import OK, Origin, Seen, Writer, request
from tests.origin import edge as make_edge
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import Refused
from waitroom.proxy.exchange import Ask
from waitroom.proxy.slots import Slots
from waitroom.proxy.upstream import UpstreamLimits, connected

ONE = UpstreamLimits(connect_timeout_s=2, max_connections=1)


@pytest.fixture
def gauge() -> Gauge:
    return Gauge("in_flight", "How many.", registry=CollectorRegistry())


def shown(gauge: Gauge) -> float:
    return next(iter(gauge.collect())).samples[0].value


async def test_a_slot_is_given_back_once(gauge: Gauge) -> None:
    slots = Slots(1, patience_s=0.01, in_flight=gauge)
    slot = await slots.take()
    slot.release()
    slot.release()

    await slots.take()
    assert shown(gauge) == 1
    with pytest.raises(Refused):
        await slots.take()


async def test_who_waits_gets_the_slot_that_comes_free(gauge: Gauge) -> None:
    slots = Slots(1, patience_s=30, in_flight=gauge)
    first = await slots.take()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(slots.take())
        await asyncio.sleep(0)
        assert not waiting.done()
        first.release()

    waiting.result().release()
    assert shown(gauge) == 0


async def test_the_slot_is_free_once_the_upstream_is_done_however_slow_the_visitor(origin: Origin) -> None:
    ask = Ask("GET", "/", [(b"Host", b"shop.example")])
    async with connected("store", origin.url, ONE, clock=SystemClock()) as store, store.exchange(ask) as unread:
        await unread.content.wait_eof()

        async with store.exchange(ask) as next_one:
            assert next_one.status == 200
        assert await unread.content.read() == b"ok"


async def test_event_streams_do_not_take_the_slots_of_plain_requests(origin: Origin) -> None:
    async def events(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n\r\n")
        await reader.read(1)
        writer.close()

    origin.scripts[b"/events"] = events
    async with make_edge(origin.url, ONE) as edge:
        assert (await edge.head(request(b"/events"))).startswith(b"HTTP/1.1 200 ")

        assert (await edge.get(b"/next")).endswith(OK[-2:])
        assert (await edge.head(request(b"/events"))).startswith(b"HTTP/1.1 503 ")
