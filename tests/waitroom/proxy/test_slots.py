"""How much one upstream does at once, seen from both sides."""

import asyncio

import pytest

from tests.origin import OK, Origin, Seen, Writer, request
from tests.origin import edge as make_edge
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import Refused
from waitroom.proxy.exchange import Ask
from waitroom.proxy.slots import Slots
from waitroom.proxy.upstream import UpstreamLimits, connected

ONE = UpstreamLimits(connect_timeout_s=2, max_connections=1)


async def test_a_slot_is_given_back_once() -> None:
    slots = Slots(1, patience_s=0.01)
    slot = await slots.take()
    slot.release()
    slot.release()

    await slots.take()
    assert slots.taken == 1
    with pytest.raises(Refused):
        await slots.take()


async def test_a_slot_that_is_free_is_taken_now_unless_somebody_waits_for_it() -> None:
    slots = Slots(1, patience_s=30)
    first = slots.take_now()
    assert first is not None
    assert slots.take_now() is None
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(slots.take())
        await asyncio.sleep(0)
        first.release()
        assert slots.take_now() is None, "it is promised"

    waiting.result().release()
    assert slots.take_now() is not None


async def test_who_stopped_waiting_gets_no_slot_and_the_next_does() -> None:
    slots = Slots(1, patience_s=30)
    first = await slots.take()
    async with asyncio.TaskGroup() as group:
        gone, next_one = (group.create_task(slots.take()) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        first.release()

    assert slots.taken == 1
    next_one.result().release()
    assert slots.taken == 0


async def test_a_slot_given_to_somebody_who_leaves_at_that_moment_goes_on() -> None:
    slots = Slots(1, patience_s=30)
    first = await slots.take()
    async with asyncio.TaskGroup() as group:
        gone, next_one = (group.create_task(slots.take()) for _ in range(2))
        await asyncio.sleep(0)
        first.release()
        gone.cancel()  # it was given the slot, and has not run since

    assert slots.taken == 1
    next_one.result().release()
    assert slots.taken == 0


async def test_who_waits_gets_the_slot_that_comes_free() -> None:
    slots = Slots(1, patience_s=30)
    first = await slots.take()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(slots.take())
        await asyncio.sleep(0)
        assert not waiting.done()
        first.release()

    waiting.result().release()
    assert slots.taken == 0


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
