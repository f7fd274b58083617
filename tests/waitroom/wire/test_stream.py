"""A connection that follows a room: cheap, bounded, and to the byte what the long way would send."""

import asyncio
import re
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests import certificate
from tests.doors import GET, LIMIT_S, cut
from tests.streams import EVENTS, ODD_EVENTS, Followed, followed, heard, unchunked
from waitroom.gate.awaiting import Awaiting
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.wire.accepting import Doorway
from waitroom.wire.certificates import Certificates
from waitroom.wire.connections import Bounds
from waitroom.wire.front_door import FrontDoor
from waitroom.wire.stream import Stream

PULSE = b"GET /.waitroom/drop/pulse HTTP/1.1\r\nHost: shop.example\r\n\r\n"
HEALTHZ = b"GET /.waitroom/healthz HTTP/1.1\r\nHost: shop.example\r\n\r\n"


@pytest.fixture
async def room(redis: ScriptRunner, keys: Keys) -> AsyncIterator[Followed]:
    async with followed(redis, keys, bounds=Bounds(write_timeout_s=30)) as found:
        yield found


def streams(room: Followed) -> list[Stream]:
    return [seat.guest for seat in room.connections._seats if isinstance(seat.guest, Stream)]


async def test_a_plain_request_becomes_a_stream_and_any_other_goes_the_long_way(room: Followed) -> None:
    await room.follow()
    await room.follow(ODD_EVENTS)
    await room.follow(EVENTS.replace(b"1.1\r\nHost", b"1.1\r\nConnection: close\r\nHost"))

    assert (len(streams(room)), len(room.edge.followers)) == (1, 3)


async def test_both_ways_send_the_same_bytes(room: Followed) -> None:
    clients = [await room.open(request) for request in (EVENTS, ODD_EVENTS)]
    await room.until(lambda: len(room.edge.followers) == 2)
    everybody = list(room.edge.followers._crowds["drop"].everybody)
    slow = next(one for one in everybody if isinstance(one, Awaiting))
    await room.say("soon")
    await room.until(lambda: not slow._called.is_set())
    for follower in everybody:
        follower.beat()
    await room.until(lambda: not slow._called.is_set())
    await room.edge.followers.close()
    short, long = [masked(await client.rest()) for client in clients]

    assert short == long
    body = unchunked(short.partition(b"\r\n\r\n")[2])
    assert re.fullmatch(rb"retry: NNNN\n\n(id: .*\ndata: .*\n\n){2}:\n\nretry: NNNN\n\n", body)


async def test_both_ways_answer_a_head_alike(room: Followed) -> None:
    heads = [request.replace(b"GET", b"HEAD") for request in (EVENTS, ODD_EVENTS)]
    short, long = [masked(await head_of(room, request)) for request in heads]

    assert short == long
    assert b"Transfer-Encoding" not in short and b"text/event-stream" in short
    assert len(room.edge.followers) == 0


async def test_over_http_1_0_it_is_sent_without_chunks(room: Followed) -> None:
    client = await room.open(EVENTS.replace(b"HTTP/1.1", b"HTTP/1.0"))
    await heard(client)
    await room.edge.followers.close()

    assert re.search(rb"^retry: \d{4}\n\n$", await client.rest(), re.MULTILINE)


async def test_a_connection_on_which_aiohttp_answered_before_becomes_a_stream_and_costs_no_more(room: Followed) -> None:
    client = await room.open(HEALTHZ)
    await client.answer()
    tasks = len(asyncio.all_tasks())
    client.send(EVENTS)
    await heard(client)
    await room.say("still there?")

    assert (await heard(client))["message"] == "still there?"
    assert len(streams(room)) == 1
    assert len(asyncio.all_tasks()) == tasks - 1, "aiohttp waits for no request on it any more"


async def test_what_follows_a_request_for_events_is_neither_answered_nor_kept(room: Followed) -> None:
    client = await room.open(EVENTS + PULSE + b"garbage\x00" * 1000)
    await heard(client)
    client.send(PULSE * 200)
    client.send(b"\x16\x03\x01" * 100_000)
    await room.say("go on")

    assert (await heard(client))["message"] == "go on"
    await room.edge.followers.close()
    with suppress(ConnectionError):
        assert b"HTTP/1.1" not in await client.rest()


async def test_who_is_asked_for_something_first_is_answered_first(room: Followed) -> None:
    client = await room.open(PULSE + EVENTS)
    answer = await client.answer()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length" in answer
    assert (await heard(client))["room"] == "drop"


async def test_who_does_not_read_misses_what_is_between_and_hears_the_newest(room: Followed) -> None:
    async with deaf(room) as one:
        number = await fill(room)
        await room.say(f"{number + 1} between")
        await room.say("the newest")
        (stream,) = streams(room)
        assert stream._transport.get_write_buffer_size() < 2_000, "no more is kept than one pulse"
        received = await drained(one, b"the newest")

    told = [int(word) for word in re.findall(rb'"message":"(\d+) ', received)]
    assert told == list(range(number + 1))
    assert received.count(b"the newest") == 1


async def test_who_does_not_read_for_long_is_cut_off(room: Followed) -> None:
    before = cut("slow-reader")
    async with deaf(room):
        await fill(room)
        await room.connections.sweep()
        await room.clock.advance(29)
        await room.connections.sweep()
        assert len(streams(room)) == 1
        await room.clock.advance(2)
        await room.connections.sweep()

        await room.until(lambda: len(room.connections) == 0)
    assert cut("slow-reader") == before + 1
    assert len(room.edge.followers) == 0


async def test_whichever_way_it_came_the_kernel_watches_for_who_vanished(room: Followed) -> None:
    await room.follow()
    (short,) = [stream._transport for stream in streams(room)]
    await room.follow(ODD_EVENTS)
    (long,) = [seat.guest.transport for seat in room.connections._seats if isinstance(seat.guest, FrontDoor)]

    for transport in (short, long):
        kept = transport.get_extra_info("socket")
        assert kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000


async def test_who_goes_leaves_the_seat(room: Followed) -> None:
    clients = [await room.follow() for _ in range(3)]
    clients[0].close()
    clients[1].writer.write_eof()
    clients[2].writer.transport.abort()

    await room.until(lambda: len(room.connections) == 0 and len(room.edge.followers) == 0)


async def test_a_stream_is_not_idle_and_gives_way_to_nobody(redis: ScriptRunner, keys: Keys) -> None:
    async with followed(redis, keys, bounds=Bounds(max_connections=2, max_per_address=2)) as room:
        clients = [await room.follow() for _ in range(2)]
        assert b"503" in await room.says()
        await room.say("still here")

        assert [(await heard(client))["message"] for client in clients] == ["still here"] * 2


async def test_one_too_many_is_told_to_poll_and_can_on_the_same_connection(redis: ScriptRunner, keys: Keys) -> None:
    async with followed(redis, keys, edge={"max_streams": 1}) as room:
        first = await room.follow()
        second = await room.open(EVENTS)
        refused = await second.answer()
        second.send(PULSE)
        pulse = await second.answer()
        first.close()
        await room.until(lambda: len(room.edge.followers) == 0)
        second.send(EVENTS)

        assert refused.startswith(b"HTTP/1.1 503") and b"Retry-After: 30\r\n" in refused
        assert pulse.startswith(b"HTTP/1.1 200")
        assert (await heard(second))["room"] == "drop"


async def test_a_worker_that_leaves_ends_every_stream_with_a_word(room: Followed) -> None:
    clients = [await room.follow() for _ in range(5)]
    slow = await room.open(PULSE)
    await slow.answer()
    await room.listener.take_leave()
    slow.send(EVENTS)
    ends = [unchunked((await client.rest()).removeprefix(b"\n\r\n")) for client in clients]
    late = unchunked((await slow.rest()).partition(b"\r\n\r\n")[2])

    assert all(re.fullmatch(rb"retry: \d{4}\n\n", end) for end in ends)
    assert len(set(ends)) > 1, "not all at once"
    assert re.search(rb"\n\nretry: \d{4}\n\n$", late)


async def test_without_the_hot_path_it_is_the_same(redis: ScriptRunner, keys: Keys) -> None:
    async with followed(redis, keys, edge={"hot_path": False}) as room:
        client = await room.follow()
        await room.say("soon")

        assert (await heard(client))["message"] == "soon"
        assert streams(room) == []


async def test_within_tls_it_is_the_same(redis: ScriptRunner, keys: Keys, tmp_path: Path) -> None:
    made = certificate.made(tmp_path)
    async with followed(redis, keys) as room:
        room.acceptor._doorway = Doorway(certificates=Certificates(made.certificate, made.key))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", room.port, ssl=made.trusting(), server_hostname="shop.example"
        )
        writer.write(EVENTS)
        await asyncio.wait_for(reader.readuntil(b"}\n\n\r\n"), LIMIT_S)
        await room.say("soon")
        told = await asyncio.wait_for(reader.readuntil(b"}\n\n\r\n"), LIMIT_S)
        assert len(streams(room)) == 1
        writer.close()
        with suppress(ssl.SSLError, ConnectionError):
            await writer.wait_closed()

    assert b'"message":"soon"' in told


def masked(data: bytes) -> bytes:
    return re.sub(rb"retry: \d{4}", b"retry: NNNN", re.sub(rb"Date: [^\r]+", b"Date: D", data))


async def head_of(room: Followed, request: bytes) -> bytes:
    """Return the head that comes for `request`, and see that the connection goes on after it."""
    client = await room.open(request)
    head = await asyncio.wait_for(client.reader.readuntil(b"\r\n\r\n"), LIMIT_S)
    client.send(GET.replace(b"GET / ", b"GET /.waitroom/healthz "))
    assert b"alive" in await client.answer()
    return head


@asynccontextmanager
async def deaf(room: Followed) -> AsyncIterator[socket.socket]:
    """Give a visitor who follows and reads nothing, and takes little on their own account."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, ("127.0.0.1", room.port))
        await loop.sock_sendall(one, EVENTS)
        await room.until(lambda: len(room.edge.followers) == 1)
        yield one


async def fill(room: Followed) -> int:
    """Say something until what was said is not taken any more; return how often that was."""
    for number in range(500):
        await room.say(f"{number} " + "x" * 480)
        if all(stream._is_behind for stream in streams(room)):
            return number
    raise AssertionError("it is always taken")


async def drained(one: socket.socket, last: bytes) -> bytes:
    """Return all that comes until `last` has come."""
    received = b""
    async with asyncio.timeout(LIMIT_S):
        while last not in received:
            received += await asyncio.get_running_loop().sock_recv(one, 65536)
    return received
