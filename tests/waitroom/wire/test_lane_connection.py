"""One connection of the fast lane before a store that answers from a script, byte by byte where it matters."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field

import pytest

from tests.origin import OK, Origin, Seen, Writer, origin
from tests.wire import settle
from waitroom.kernel.errors import UpstreamUnavailable, WaitroomError
from waitroom.wire.lane_connection import LaneConnection, RawHeaders
from waitroom.wire.plain_answers import PlainAnswer

GET = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"
LIMIT_S = 60


@dataclass
class Load:
    """Notes what a connection tells it."""

    is_head: bool = False
    refuses: WaitroomError | None = None
    status: int = 0
    reason: bytes = b""
    headers: RawHeaders = field(default_factory=list)
    interim: list[int] = field(default_factory=list)
    body: bytes = b""
    reads: int = 0
    is_plain: bool = False
    ended: int = 0
    broken: list[tuple[Exception, bool]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def on_plain(self, answer: PlainAnswer) -> bool:
        self.is_plain = True
        self.status, self.reason, self.headers = answer.status, answer.reason, answer.raw_headers
        return not self.is_head and answer.status not in {204, 304}

    def on_head(self, status: int, reason: bytes, headers: RawHeaders) -> bool:
        if self.refuses is not None:
            raise self.refuses
        if status < 200:
            self.interim.append(status)
            return False
        self.status, self.reason, self.headers = status, reason, list(headers)
        return not self.is_head and status not in {204, 304}

    def on_body(self, piece: bytes) -> None:
        assert self.status, "a head comes first"
        self.body += piece

    def on_read(self) -> None:
        self.reads += 1

    def on_end(self) -> None:
        self.ended += 1
        self.over.set()

    def on_broken(self, why: Exception, *, was_silent: bool) -> None:
        self.broken.append((why, was_silent))
        self.over.set()

    @property
    def told(self) -> tuple[int, bytes, bytes]:
        return self.status, self.reason, self.body


@dataclass
class Lane:
    """A store, and connections to it."""

    store: Origin
    made: list[LaneConnection] = field(default_factory=list)

    async def connect(self) -> LaneConnection:
        connection = LaneConnection(bytearray(65536), 0.0)
        port = int(self.store.url.rpartition(":")[2])
        await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
        self.made.append(connection)
        return connection

    async def ask(self, connection: LaneConnection, *pieces: bytes, load: Load | None = None) -> Load:
        """Send a request that is answered by `pieces`, one by one; b"" as the last hangs up."""

        async def script(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
            for piece in pieces:
                writer.write(piece)
                await settle()
            if pieces and not pieces[-1]:
                writer.close()

        self.store.scripts[b"/"] = script
        load = load or Load()
        connection.ask(load, GET)
        async with asyncio.timeout(LIMIT_S):
            await load.over.wait()
        await settle()
        return load

    async def answered(self, *pieces: bytes, load: Load | None = None) -> tuple[Load, LaneConnection]:
        connection = await self.connect()
        return await self.ask(connection, *pieces, load=load), connection


@pytest.fixture
async def lane() -> AsyncIterator[Lane]:
    async with origin() as store:
        found = Lane(store)
        yield found
        for connection in found.made:
            connection.close()


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-T: 1\r\n\r\n"
KEPT: dict[str, tuple[bytes, tuple[int, bytes, bytes]]] = {
    "a length": (OK, (200, b"OK", b"ok")),
    "no body": (b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", (204, b"No Content", b"")),
    "304 with a length": (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", (304, b"Not Modified", b"")),
    "chunks, with extension and trailer": (CHUNKED, (200, b"OK", b"abcde")),
    "after 103": (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, (200, b"OK", b"ok")),
    "after 100": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, (200, b"OK", b"ok")),
    "odd bytes in a header": (OK.replace(b"Content", b"X: \xe9\r\nContent"), (200, b"OK", b"ok")),
    "no reason": (OK.replace(b" OK", b""), (200, b"", b"ok")),
    "an empty line before": (b"\r\n" + OK, (200, b"OK", b"ok")),
}
ENDING: dict[str, tuple[bytes, tuple[int, bytes, bytes]]] = {
    "the end of the connection": (b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nabcdef", (200, b"OK", b"abcdef")),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nabc", (200, b"OK", b"abc")),
    "an empty body at the end of the connection": (b"HTTP/1.1 200 OK\r\n\r\n", (200, b"OK", b"")),
    "a length, and then the end": (OK.replace(b"Content", b"Connection: close\r\nContent"), (200, b"OK", b"ok")),
}


@pytest.mark.parametrize("name", KEPT)
async def test_an_answer_cut_at_any_byte_is_the_same_and_the_next_request_may_follow(lane: Lane, name: str) -> None:
    raw, expected = KEPT[name]
    connection = await lane.connect()
    for cut in range(len(raw)):
        load = await lane.ask(connection, raw[:cut], raw[cut:])
        assert (load.told, load.ended, load.broken) == (expected, 1, []), cut
        assert connection.is_fit, cut
    assert lane.store.connections == 1


@pytest.mark.parametrize("name", ENDING)
async def test_an_answer_that_ends_with_the_connection_cut_at_any_byte_is_whole(lane: Lane, name: str) -> None:
    raw, expected = ENDING[name]
    for cut in range(0, len(raw), 3):
        load, connection = await lane.answered(raw[:cut], raw[cut:], b"")
        assert (load.told, load.ended, load.broken) == (expected, 1, []), cut
        assert not connection.is_fit, cut


async def test_one_byte_at_a_time(lane: Lane) -> None:
    for raw, expected in KEPT.values():
        load, connection = await lane.answered(*[raw[place : place + 1] for place in range(len(raw))])
        assert (load.told, load.ended) == (expected, 1)
        assert connection.is_fit


@pytest.mark.parametrize("raw", [OK, OK.replace(b"Content", b"X: \xe9\r\nContent")], ids=["plain", "parsed"])
@pytest.mark.parametrize("more", [b"x", b"\r\n", OK, b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"])
@pytest.mark.parametrize("is_at_once", [True, False])
async def test_what_comes_after_an_answer_is_nobodys(lane: Lane, raw: bytes, more: bytes, *, is_at_once: bool) -> None:
    load, connection = await lane.answered(*([raw + more] if is_at_once else [raw, more]))
    async with asyncio.timeout(LIMIT_S):
        while is_at_once is False and connection.is_fit:
            await settle()

    assert (load.told, load.ended) == ((200, b"OK", b"ok"), 1)
    if more != b"\r\n" or not is_at_once:  # an empty line belongs to nothing, and is no answer
        assert not connection.is_fit


@pytest.mark.parametrize(
    "raw",
    [
        OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: \xe9\r\nContent-Length: 5000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nX: \xe9\r\n\r\n",
    ],
)
async def test_the_answer_to_a_head_has_no_body_and_the_next_one_is_read_from_its_beginning(
    lane: Lane, raw: bytes
) -> None:
    head = raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    load, connection = await lane.answered(head, load=Load(is_head=True))
    assert (load.ended, load.body, load.broken) == (1, b"", [])

    if connection.is_fit:
        again = await lane.ask(connection, b"HTTP/1.1 404 Not Found\r\nX: \xe9\r\nContent-Length: 2\r\n\r\nno")
        assert again.told == (404, b"Not Found", b"no")


async def test_a_body_that_a_head_must_not_have_is_nobodys(lane: Lane) -> None:
    for raw in (OK, OK.replace(b"Content", b"X: \xe9\r\nContent"), CHUNKED):
        load, connection = await lane.answered(raw, load=Load(is_head=True))
        assert (load.ended, load.body, connection.is_fit) == (1, b"", False)


@pytest.mark.parametrize(
    ("raw", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nX: \xe9\r\nContent-Length: 10\r\n\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", b"abc"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n", b"abc"),
        (b"HTTP/1.1 200 OK\r\nContent-Len", b""),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b""),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 2", b""),
    ],
)
async def test_half_an_answer_is_never_taken_for_the_whole(lane: Lane, raw: bytes, body: bytes) -> None:
    load, connection = await lane.answered(raw, b"")

    assert (load.body, load.ended) == (body, 0)
    assert [silent for _, silent in load.broken] == [False]
    assert not connection.is_fit


async def test_who_hangs_up_without_a_word_was_silent(lane: Lane) -> None:
    for pieces in ((b"", b""), (b"\r\n", b"")):
        load, _ = await lane.answered(*pieces)
        assert [silent for _, silent in load.broken] == [True]


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\noki",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX : a\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nnothing\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x00",
    ],
)
async def test_what_no_two_readers_read_alike_is_broken(lane: Lane, raw: bytes) -> None:
    load, connection = await lane.answered(raw)

    assert (load.body, load.ended, len(load.broken)) == (b"", 0, 1)
    assert not connection.is_fit


async def test_a_head_that_cannot_be_carried_is_broken_by_what_was_said_of_it(lane: Lane) -> None:
    fault = UpstreamUnavailable("too odd")
    load, connection = await lane.answered(OK.replace(b"Content", b"X: \xe9\r\nContent"), load=Load(refuses=fault))

    assert load.broken == [(fault, False)]
    assert not connection.is_fit


@pytest.mark.parametrize("size", [b"3 ", b"3\t", b"3 ;x=y"])
async def test_blanks_after_the_size_of_a_chunk_are_read_as_everywhere_else(lane: Lane, size: bytes) -> None:
    load, connection = await lane.answered(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + size + b"\r\nabc\r\n0\r\n\r\n"
    )

    assert (load.told, load.ended) == ((200, b"OK", b"abc"), 1)
    assert connection.is_fit


async def test_who_speaks_unasked_is_asked_nothing_any_more(lane: Lane) -> None:
    said = asyncio.Event()

    async def goes_on(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(OK)
        await said.wait()
        writer.write(OK)

    connection, load = await lane.connect(), Load()
    lane.store.scripts[b"/"] = goes_on
    connection.ask(load, GET)
    async with asyncio.timeout(LIMIT_S):
        await load.over.wait()
        assert connection.is_fit
        said.set()
        while connection.is_fit:
            await settle()


async def test_who_hangs_up_while_nothing_is_asked_is_not_fit(lane: Lane) -> None:
    _, connection = await lane.answered(OK, b"")
    async with asyncio.timeout(LIMIT_S):
        while connection.is_fit:
            await settle()


async def test_who_lets_go_hears_nothing_more(lane: Lane) -> None:
    connection, load = await lane.connect(), Load()
    lane.store.scripts[b"/"] = _slow
    connection.ask(load, GET)
    await settle(20)
    connection.close()
    async with asyncio.timeout(LIMIT_S):
        while not lane.store.closed:
            await settle()

    assert (load.ended, load.broken) == (0, [])
    assert not connection.is_fit


async def _slow(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
    with suppress(OSError):
        await reader.read(-1)


async def test_while_it_pauses_nothing_is_read(lane: Lane) -> None:
    async def endless(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 400000000\r\n\r\n")
        with suppress(OSError):
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()

    connection, load = await lane.connect(), Load()
    lane.store.scripts[b"/"] = endless
    connection.ask(load, GET)
    async with asyncio.timeout(LIMIT_S):
        while not load.body:
            await settle()
        connection.pause()
        before = len(load.body)
        await settle(200)
        assert len(load.body) == before
        connection.resume()
        while len(load.body) == before:
            await settle()
