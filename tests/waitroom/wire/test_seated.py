"""Bounds of a connection in time and bytes, on a clock that the test turns."""

import asyncio
from contextlib import suppress
from typing import Any

from aiohttp import web

from tests.doors import GET, LAST_GET, Doors, cut, doors
from tests.fakes import FakeClock
from tests.wire import whole_reply


async def test_a_header_that_does_not_end_is_not_waited_for() -> None:
    clock = FakeClock()
    async with doors(clock=clock) as found:
        slow = await found.open(b"GET / HTTP/1.1\r\nHost: a\r\n")
        await found.until(lambda: len(found.connections) == 1 and begun(found))
        for _ in range(9):
            await clock.advance(1)
            slow.send(b"X: y\r\n")
            assert b"hello" in await found.says(), "nobody else suffers"
        await clock.advance(3)

        reply = whole_reply(await slow.rest())

    assert (reply.status, reply.kind) == (408, "header-stalled")


async def test_a_header_in_pieces_that_ends_in_time_is_served_and_so_is_the_next() -> None:
    clock = FakeClock()
    async with doors(clock=clock) as found:
        client = await found.open()
        for _ in range(3):
            for piece in (b"GET / HTTP/1.1\r\n", b"Host: a\r\n", b"\r\n"):
                await clock.advance(4)
                client.send(piece)
                await asyncio.sleep(0.01)
            assert b"hello" in await client.answer()
            await clock.advance(60)


async def test_a_body_is_no_header_however_slow() -> None:
    clock = FakeClock()

    async def read(request: web.Request) -> web.StreamResponse:
        return web.Response(body=await request.read())

    async with doors(read, clock=clock) as found:
        client = await found.open(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n")
        for piece in (b"a", b"b", b"c"):
            await clock.advance(20)
            client.send(piece)
            await asyncio.sleep(0.01)

        assert (await client.answer()).endswith(b"abc")


async def test_a_header_that_grows_without_end_is_refused() -> None:
    async with doors() as found:
        greedy = await found.open(b"GET / HTTP/1.1\r\nHost: a\r\n")
        with suppress(ConnectionError):
            for number in range(100):
                greedy.send(b"X-%d: " % number + b"a" * 1000 + b"\r\n")
                await asyncio.sleep(0)
                await greedy.writer.drain()

        reply = whole_reply(await greedy.rest())

    assert (reply.status, reply.kind) == (431, "header-too-large")


async def test_who_takes_nothing_of_an_answer_is_cut_off_and_the_work_for_it_ends() -> None:
    clock, ended = FakeClock(), asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        if request.path == "/hello":
            return web.Response(text="hello")
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            while True:
                await answer.write(b"x" * 65536)
        finally:
            ended.set()

    before = cut("slow-reader")
    async with doors(endless, clock=clock) as found:
        await found.open(LAST_GET)
        await found.until(lambda: stuck(found))
        await clock.advance(29)
        assert not ended.is_set()
        assert b"hello" in await found.says(LAST_GET.replace(b" / ", b" /hello "))
        await clock.advance(3)

        async with asyncio.timeout(60):
            await ended.wait()
    assert cut("slow-reader") == before + 1


async def test_who_takes_nothing_of_the_last_answer_is_cut_off_too() -> None:
    """A connection that is closing stays open for what was written, for ever, if nobody looks."""
    clock = FakeClock()

    async def large(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.set_write_buffer_limits(high=1 << 30)  # as if the last of the answer were small
        return web.Response(body=b"x" * (16 << 20))

    async with doors(large, clock=clock) as found:
        await found.open(LAST_GET)
        await found.until(lambda: any(guest is not None and guest.transport.is_closing() for guest in guests(found)))
        await clock.advance(20)
        assert len(found.connections) == 1
        async with asyncio.timeout(60):
            while len(found.connections):  # the system may still take a little in between
                await clock.advance(10)
                await asyncio.sleep(0.005)


async def test_what_was_taken_at_once_earns_no_rest() -> None:
    clock = FakeClock()

    async def large(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.set_write_buffer_limits(high=1 << 30)
        return web.Response(body=b"x" * (32 << 20))

    async with doors(large, clock=clock) as found:
        client = await found.open(LAST_GET)
        await found.until(lambda: any(guest is not None and guest.transport.is_closing() for guest in guests(found)))
        await clock.advance(2)  # it was looked at
        for _ in range(8):
            await client.reader.readexactly(1 << 20)
        async with asyncio.timeout(60):
            for _ in range(12):  # eight mebibytes were hours' worth, if all of an answer's time were one
                await clock.advance(10)
                await asyncio.sleep(0.005)
            while len(found.connections):
                await asyncio.sleep(0.005)


async def test_who_reads_slowly_but_steadily_is_served() -> None:
    clock = FakeClock()

    async def large(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * (16 << 20))

    async with doors(large, clock=clock) as found:
        client = await found.open(GET)
        await found.until(lambda: stuck(found))
        got = 0
        for _ in range(100):  # of the clock's seconds: for much longer than may be waited for who takes nothing
            got += len(await client.reader.read(65536))
            await found.until(lambda: True)
            await clock.advance(1)
        while got < 16 << 20:
            piece = await client.reader.read(1 << 20)
            assert piece, "cut off"
            got += len(piece)


def guests(found: Doors) -> list[Any]:
    return [seat.guest for seat in found.connections._seats]


def begun(found: Doors) -> bool:
    """Whether somebody's header has begun to come."""
    return any(guest is not None and guest._inner and guest._inner._head_since_s is not None for guest in guests(found))


def stuck(found: Doors) -> bool:
    """Whether somebody takes nothing of what was written."""
    return any(guest is not None and guest._is_paused for guest in guests(found))
