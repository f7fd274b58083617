"""One plain request to the store and back: whole, late, broken, refused, given up; in the words of the long way."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.doors import Client, Doors
from tests.hot import EVENT, HEALTHZ, ROOMS, Held, Site, get, heard, site, sure
from tests.origin import OK, Seen, Writer, hang_up
from tests.wire import settle
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.health import Circuit
from waitroom.wire import front_door, listener
from waitroom.wire.front_door import FrontDoor

PAGE = {"Accept": b"text/html"}


@pytest.fixture
async def shop(redis: ScriptRunner, keys: Keys) -> AsyncIterator[Site]:
    async with site(redis, keys) as made:
        yield made


def figure(name: str, **labels: str) -> float:
    """Return a metric of this process."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def carriages(doors: Doors) -> list[Any]:
    """Return what is under way on the fast lane."""
    guests: list[Any] = [seat.guest for seat in doors.connections._seats]
    return [guest._carriage for guest in guests if guest is not None and guest._carriage is not None]


async def until(claim: Any) -> None:
    async with asyncio.timeout(60):
        while not claim():
            await asyncio.sleep(0.001)


async def both(shop: Site, request: bytes) -> tuple[bytes, bytes]:
    """Return all that comes back for a request, by the fast lane and by the long way; without dates."""
    found = []
    for doors in shop.both:
        raw = await heard(await doors.open(), [request, HEALTHZ])
        lines = raw.split(b"\r\n")
        found.append(b"\r\n".join(line for line in lines if not line.startswith(b"Date: ")))
    return found[0], found[1]


async def test_it_goes_by_the_lane_and_leaves_everything_as_it_was(shop: Site) -> None:
    hot, cold = await both(shop, get(b"/drop/a?b", shop.pass_cookie()))

    assert hot == cold
    assert hot.startswith(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    first, second = (one.head for one in shop.seen())
    assert first == second
    assert len(shop.lane()) == 1, "its connection rests"
    assert shop.edge._upstreams["store"].slots.taken == 0


async def test_one_connection_serves_many_visitors(shop: Site) -> None:
    for number in range(20):
        client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie(session=f"s{number}")))
        assert (await client.answer()).endswith(b"ok")

    assert shop.store.connections == 1
    assert len(shop.store.seen) == 20


async def test_a_connection_closed_while_it_rested_costs_nobody_an_answer_and_only_once(shop: Site) -> None:
    """The store hangs up with the second request on a connection: it may have rested for too long."""
    served: dict[int, int] = {}

    async def second_is_too_many(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        served[seen.connection] = served.get(seen.connection, 0) + 1
        if served[seen.connection] == 1:
            writer.write(OK)
        else:
            await hang_up(writer)

    shop.store.scripts[b"/drop/a"] = second_is_too_many
    client = await shop.hot.open()
    for number in range(3):
        client.send(get(b"/drop/a", shop.pass_cookie()))
        assert (await client.answer()).startswith(b"HTTP/1.1 200"), number
    assert served == {1: 2, 2: 2, 3: 1}


async def test_a_new_connection_that_is_closed_at_once_is_not_tried_again(shop: Site) -> None:
    async def gone(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        await hang_up(writer)

    shop.store.scripts[b"/drop/a"] = gone
    answer = await (await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))).answer()

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert len(shop.store.seen) == 1


BROKEN: dict[str, bytes] = {
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nConte",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "another coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nab",
    "a control character": b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 2\r\n\r\nok",
    "a control character in the reason": b"HTTP/1.1 200 a\x01b\r\nContent-Length: 2\r\n\r\nok",
    "a control character in the reason of 100": b"HTTP/1.1 100 Cont\x00inue\r\n\r\n" + OK,
    "a control character in a header of 100": b"HTTP/1.1 100 Continue\r\nX: a\x00b\r\n\r\n" + OK,
    "101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "nothing": b"",
    "only 103": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    "no end of 103": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 17 + OK,
    "a head and a chunk of no size at once": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
}


@pytest.mark.parametrize("why", BROKEN)
@pytest.mark.parametrize("accept", [b"Accept: text/html", b"Accept: application/json"])
async def test_what_the_store_breaks_is_told_as_on_the_long_way(shop: Site, why: str, accept: bytes) -> None:
    async def breaks(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        for line in [BROKEN[why]] if why.endswith("at once") else BROKEN[why].splitlines(keepends=True):
            writer.write(line)
            await settle()
        await hang_up(writer)

    shop.store.scripts[b"/drop/a"] = breaks
    hot, cold = await both(shop, get(b"/drop/a", shop.pass_cookie(), accept))

    assert sure(hot) == sure(cold)
    assert b"HTTP/1.1 502 Bad Gateway" in hot
    assert b'"status":"alive"' in hot, "the connection goes on"
    assert shop.edge._upstreams["store"].slots.taken == 0


@pytest.mark.parametrize(
    "said",
    [
        b"HTTP/1.1 200 a\x01b\r\nWaitroom-Command: revoke\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nWaitroom-Command: revoke\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nWaitroom-Command: revoke\r\nTransfer-Encoding: gzip\r\n\r\nok",
    ],
)
async def test_the_command_of_an_answer_that_is_none_is_not_obeyed(shop: Site, said: bytes) -> None:
    shop.store.scripts[b"/drop/a"] = said
    hot, cold = await both(shop, get(b"/drop/a", shop.pass_cookie()))

    assert hot == cold
    assert hot.startswith(b"HTTP/1.1 502 ")
    assert not shop.edge.sessions.is_revoked("drop", "s" * 20)


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 a\tb", b"HTTP/1.1 304 Not Modified"])
@pytest.mark.parametrize("length", [b"2", b"0002", b"2\t"])
async def test_what_comes_after_an_answer_is_left_out_as_on_the_long_way(
    shop: Site, method: bytes, first: bytes, length: bytes
) -> None:
    shop.store.scripts[b"/drop/a"] = first + b"\r\nContent-Length: " + length + b"\r\n\r\nokmore"
    hot, cold = await both(shop, get(b"/drop/a", shop.pass_cookie(), method=method))

    assert hot == cold
    assert hot.startswith(first)
    assert b"more" not in hot
    assert b'"status":"alive"' in hot, "the connection goes on"


async def test_a_store_that_is_not_there_is_told_as_on_the_long_way(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys, upstream={"url": f"http://{free_loopback()}"}) as shop:
        hot, cold = await both(shop, get(b"/drop/a", shop.pass_cookie()))

        assert hot == cold
        assert hot.startswith(b"HTTP/1.1 502 ")


async def test_whoever_is_inside_stays_so_when_the_store_breaks(shop: Site) -> None:
    shop.store.scripts[b"/drop/a"] = b"nothing\r\n\r\nConnection: close"
    hot, cold = await both(shop, get(b"/drop/a", shop.pass_cookie(expires_in_s=100)))

    assert hot == cold
    assert hot.startswith(b"HTTP/1.1 502 ")
    assert hot.count(b"Set-Cookie: wr_drop_pass=") == 1


async def test_a_store_that_is_silent_is_waited_for_so_long_and_no_longer(shop: Site) -> None:
    shop.store.scripts[b"/drop/a"] = Held()
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: shop.store.seen)
    await shop.advance(29)
    assert len(carriages(shop.hot)) == 1
    await shop.advance(2)
    answer = await client.answer()

    assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\n")
    assert shop.edge._upstreams["store"].slots.taken == 0
    assert len(shop.lane()) == 0


async def test_a_body_that_stalls_is_broken_off(shop: Site) -> None:
    async def stalls(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
        await reader.read(1)

    shop.store.scripts[b"/drop/a"] = stalls
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    assert (await client.reader.readuntil(b"abc")).endswith(b"abc")
    await shop.advance(59)
    assert len(carriages(shop.hot)) == 1
    await shop.advance(2)

    assert await client.rest() == b""
    assert shop.edge._upstreams["store"].slots.taken == 0


@pytest.mark.parametrize(
    "half",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: \xe9\r\nContent-Length: 9\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ],
)
async def test_half_an_answer_is_known_as_half(shop: Site, half: bytes) -> None:
    async def cut(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(half)
        await settle(50)
        await hang_up(writer)

    shop.store.scripts[b"/drop/a"] = cut
    raw = await heard(await shop.hot.open(), [get(b"/drop/a", shop.pass_cookie()) + HEALTHZ])

    assert raw.startswith(b"HTTP/1.1 200 OK")
    assert b"abc" in raw
    assert not raw.endswith(b"0\r\n\r\n")
    assert b"alive" not in raw, "what follows would be taken for the rest"


async def test_who_leaves_is_not_worked_for(shop: Site) -> None:
    held = shop.store.scripts[b"/drop/a"] = Held()
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: shop.store.seen)
    client.writer.transport.abort()
    await until(lambda: not len(shop.hot.connections))

    assert shop.edge._upstreams["store"].slots.taken == 0
    held.may_answer.set()
    await until(lambda: shop.store.closed)
    assert len(shop.lane()) == 0


async def test_who_leaves_while_we_dial_leaves_nothing_behind(shop: Site) -> None:
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    while not carriages(shop.hot):
        await asyncio.sleep(0)
    client.writer.transport.abort()
    await until(lambda: not len(shop.hot.connections))
    await settle(20)

    assert shop.edge._upstreams["store"].slots.taken == 0
    assert (await (await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))).answer()).endswith(b"ok")


async def test_who_sends_no_more_is_answered(shop: Site) -> None:
    held = shop.store.scripts[b"/drop/a"] = Held()
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: shop.store.seen)
    client.writer.write_eof()
    await settle(20)
    held.may_answer.set()

    assert (await client.rest()).endswith(b"\r\n\r\nok")


async def test_each_of_several_requests_is_answered_when_no_more_follow(shop: Site) -> None:
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()) * 3)
    client.writer.write_eof()

    assert (await client.rest()).count(b"HTTP/1.1 200 OK") == 3


async def test_who_sends_no_more_hears_of_a_store_that_breaks_and_then_it_is_over(
    shop: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HALF_CLOSED_S", 0.05)
    held = shop.store.scripts[b"/drop/a"] = Held(b"no HTTP\r\n\r\n")
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: shop.store.seen)
    client.writer.write_eof()
    await settle(20)
    held.may_answer.set()

    assert (await client.rest()).startswith(b"HTTP/1.1 502 ")


async def test_who_sends_no_more_may_have_left(shop: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_door, "HALF_CLOSED_S", 0.05)
    shop.store.scripts[b"/drop/a"] = Held()
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: shop.store.seen)
    client.writer.write_eof()

    assert await client.rest() == b""
    assert shop.edge._upstreams["store"].slots.taken == 0


async def test_a_slow_reader_holds_up_the_store_and_not_our_memory(shop: Site) -> None:
    sent = 0

    async def endless(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 900000000\r\n\r\n")
        with suppress(OSError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

    shop.store.scripts[b"/drop/a"] = endless
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", shop.hot.port))
    reader, writer = await asyncio.open_connection(sock=sock, limit=16_384)
    client = Client(reader, writer)
    shop.hot.clients.append(client)
    client.send(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: any(one._is_paused for one in carriages(shop.hot)))
    before = -1
    while before != sent:
        before = sent
        await settle(500)
    held = [seat.guest.transport.get_write_buffer_size() for seat in shop.hot.connections._seats if seat.guest]  # type: ignore[attr-defined]  # our own door

    assert max(held) < 256 * 1024
    await shop.advance(0.5)
    async with asyncio.timeout(60):
        while sent <= before:  # the kernel keeps some megabytes of it
            await client.reader.readexactly(65_536)


async def test_an_answer_whose_end_had_to_wait_leaves_a_connection_that_reads(shop: Site) -> None:
    """The last piece of an answer makes the visitor's side full: the store's side is free by then."""
    shop.store.scripts[b"/drop/page"] = b"HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n" + b"x" * 30_000
    slow = await shop.hot.open()
    slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport reads too
    await until(lambda: any(seat.guest for seat in shop.hot.connections._seats))
    (door,) = [seat.guest for seat in shop.hot.connections._seats]
    assert isinstance(door, FrontDoor)
    door.transport.set_write_buffer_limits(high=0)
    while not door._is_paused:
        shop.store.seen.clear()
        slow.send(get(b"/drop/page", shop.pass_cookie()))
        await until(lambda: shop.store.seen and not carriages(shop.hot))

    other = await shop.hot.open(get(b"/drop/a", shop.pass_cookie(session="other")))
    assert (await other.answer()).endswith(b"ok")
    assert shop.store.connections == 1, "over the same connection"


async def test_where_every_slot_is_taken_the_long_way_waits_for_one(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys, upstream={"max_connections": 1}) as shop:
        held = shop.store.scripts[b"/drop/held"] = Held()
        first = await shop.hot.open(get(b"/drop/held", shop.pass_cookie()))
        await until(lambda: shop.store.seen)
        second = await shop.hot.open(get(b"/drop/a", shop.pass_cookie(session="two")))
        await until(lambda: len(shop.edge._upstreams["store"].slots._waiting) == 1)
        assert len(shop.store.seen) == 1
        held.may_answer.set()

        assert (await first.answer()).endswith(b"ok")
        assert (await second.answer()).endswith(b"ok")
        assert shop.edge._upstreams["store"].slots.taken == 0


HEALTH: dict[str, Any] = {"target_ttfb": "1s", "min_requests": 1}


async def test_the_watch_of_a_room_sees_what_is_carried(redis: ScriptRunner, keys: Keys) -> None:
    rooms = [ROOMS[0] | {"health": HEALTH}, *ROOMS[1:]]
    async with site(redis, keys, rooms=rooms) as shop:
        shop.store.scripts[b"/drop/fails"] = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
        for door in shop.both:
            client = await door.open()
            for path in (b"/drop/a", b"/drop/fails"):
                client.send(get(path, shop.pass_cookie()))
                await client.answer()
            sample = shop.edge._watches["drop"].sample(shop.clock.tick_s())
            assert (sample.requests, sample.failed) == (2, 1), "hot" if door is shop.hot else "cold"


async def test_while_the_circuit_is_open_nothing_is_carried(redis: ScriptRunner, keys: Keys) -> None:
    rooms = [ROOMS[0] | {"health": HEALTH}, *ROOMS[1:]]
    async with site(redis, keys, rooms=rooms) as shop:
        shop.edge._watches["drop"].heed(Circuit.OPEN)
        hot, cold = await both(shop, get(b"/drop/a", shop.pass_cookie()))

        assert hot == cold
        assert b"upstream-down" in hot
        assert shop.store.seen == []
        assert shop.edge._upstreams["store"].slots.taken == 0


async def test_an_event_stream_takes_a_long_slot(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys, upstream={"max_connections": 1}) as shop:
        go_on = asyncio.Event()

        async def events(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            await go_on.wait()
            writer.write(b"data: 2\n\n")
            await hang_up(writer)

        shop.store.scripts[b"/drop/events"] = events
        upstream = shop.edge._upstreams["store"]
        stream = await shop.hot.open(get(b"/drop/events", shop.pass_cookie()))
        await stream.reader.readuntil(b"data: 1\n\n")
        assert (upstream.slots.taken, upstream.long_slots.taken) == (0, 1)
        assert len(carriages(shop.hot)) == 1
        other = await shop.hot.open(get(b"/drop/a", shop.pass_cookie(session="two")))
        assert (await other.answer()).endswith(b"ok")

        go_on.set()
        await stream.reader.readuntil(b"data: 2\n\n")
        await stream.reader.readuntil(b"0\r\n\r\n")
        assert (upstream.slots.taken, upstream.long_slots.taken) == (0, 0)


async def test_a_command_of_the_store_ends_the_session(shop: Site) -> None:
    shop.store.scripts[b"/drop/done"] = b"HTTP/1.1 200 OK\r\nWaitroom-Command: revoke\r\nContent-Length: 2\r\n\r\nok"
    client = await shop.hot.open(get(b"/drop/done", shop.pass_cookie()))
    answer = await client.answer()

    assert b"Waitroom-Command" not in answer
    assert b"\r\nSet-Cookie: wr_drop_pass=; Max-Age=0;" in answer
    assert b"\r\nCache-Control: private\r\n" in answer
    await until(lambda: shop.edge.sessions.is_revoked("drop", "s" * 20))
    client.send(get(b"/drop/a", shop.pass_cookie()))
    assert (await client.answer()).startswith(b"HTTP/1.1 503 "), "also for who asks with the same bytes"


@pytest.mark.parametrize("odd", [b"", b"X: \xe9\r\n"], ids=["plain", "parsed"])
async def test_a_pass_that_grows_old_is_renewed_and_no_cache_keeps_it(shop: Site, odd: bytes) -> None:
    page = (
        b"HTTP/1.1 200 OK\r\nCache-Control: public\r\nCDN-Cache-Control: x\r\n" + odd + b"Content-Length: 2\r\n\r\nok"
    )
    shop.store.scripts[b"/drop/a"] = page
    hot, cold = await both(shop, get(b"/drop/a", shop.pass_cookie(expires_in_s=100)))

    assert hot == cold
    assert hot.count(b"\r\nSet-Cookie: wr_drop_pass=") == 1
    assert b"\r\nCache-Control: private\r\n" in hot
    assert b"CDN-Cache-Control" not in hot


async def test_answers_of_the_store_are_counted_alike(shop: Site) -> None:
    shop.store.scripts[b"/drop/no"] = b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n"
    shop.store.scripts[b"/drop/broken"] = b"no HTTP\r\n\r\nConnection: close"
    counts = []
    for doors in shop.both:
        await shop.edge.pour()
        names = [
            ("waitroom_upstream_answers_total", {"upstream": "store", "status_class": one})
            for one in ("2xx", "4xx", "error")
        ]
        verdicts = ("waitroom_requests_total", {"room": "drop", "outcome": "forward"})
        before = [figure(name, **labels) for name, labels in [*names, verdicts]]
        client = await doors.open()
        for path in (b"/drop/a", b"/drop/no", b"/drop/broken", b"/drop/a"):
            client.send(get(path, shop.pass_cookie()))
            await client.answer()
        await shop.forget()
        await shop.edge.pour()
        after = [figure(name, **labels) for name, labels in [*names, verdicts]]
        counts.append([now - then for now, then in zip(after, before, strict=True)])

    assert counts[0] == counts[1]
    assert counts[0] == [2, 1, 1, 4]


async def test_a_fault_that_was_not_told_is_not_told_to_the_next_request(shop: Site) -> None:
    """The room closed while the store was breaking: who asks next on that connection asks anew."""
    held = shop.store.scripts[b"/drop/a"] = Held(b"no HTTP\r\n\r\n")
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: shop.store.seen)
    await shop.edge._line.end(shop.edge._line.issue("drop", "s" * 20, shop.edge.rooms.now_ms() + 1000).pass_)
    await until(lambda: shop.edge.sessions.is_revoked("drop", "s" * 20))
    held.may_answer.set()
    assert (await client.answer()).startswith(b"HTTP/1.1 503 "), "they wait, whatever the store did"

    client.send(b"POST /x HTTP/1.1\r\nHost: shop.example\r\nContent-Length: 2\r\n\r\nhi")
    assert (await client.answer()).endswith(b"ok")


async def test_who_leaves_a_worker_that_leaves_is_told_so(shop: Site) -> None:
    held = shop.store.scripts[b"/drop/a"] = Held()
    client = await shop.hot.open(get(b"/drop/a", shop.pass_cookie()))
    await until(lambda: shop.store.seen)
    shop.hot.listener._is_leaving = True
    held.may_answer.set()

    raw = await client.rest()
    assert b"\r\nConnection: close\r\n" in raw
    assert raw.endswith(b"\r\n\r\nok")


def test_the_rooms_of_these_tests_are_as_the_tests_say() -> None:
    assert (ROOMS[0]["name"], ROOMS[0]["events"]) == ("drop", [EVENT])
