"""Websockets through the proxy: as bytes, and with a real client and server at the ends."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import WSMsgType, web

from tests.origin import Edge, Origin, Seen, Writer
from tests.origin import edge as make_edge
from waitroom.proxy.upstream import UpstreamLimits

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: " + ACCEPT + b"\r\n"
)


def handshake(*headers: bytes, key: bytes = KEY) -> bytes:
    lines = [
        b"GET /live?a=%2f HTTP/1.1",
        b"Host: shop.example",
        b"Connection: keep-alive, Upgrade",
        b"Upgrade: WebSocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + key,
        *headers,
    ]
    return b"\r\n".join([*lines, b"", b""])


BYE = b"\x88\x84\x01\x02\x03\x04" + bytes(a ^ b for a, b in zip(b"\x03\xe8ok", b"\x01\x02\x03\x04", strict=True))


async def echo(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
    writer.write(SWITCH + b"Sec-WebSocket-Protocol: chat.v2\r\nSec-WebSocket-Extensions: x-own\r\n\r\n")
    while piece := await reader.read(65_536):
        writer.write(piece)
        await writer.drain()
    writer.close()


@pytest.fixture
def live(origin: Origin) -> Origin:
    origin.scripts[b"/live"] = echo
    return origin


async def test_the_handshake_is_between_the_two_ends(edge: Edge, live: Origin) -> None:
    reader, writer = await edge.open()
    writer.write(handshake(b"Sec-WebSocket-Protocol: chat.v1, chat.v2", b"Sec-WebSocket-Extensions: x-own, x-two"))
    head = await reader.readuntil(b"\r\n\r\n")

    seen = live.only()
    assert seen.target == b"/live?a=%2f"
    assert seen.all("Sec-WebSocket-Key") == [KEY.decode()]
    assert seen.all("Sec-WebSocket-Protocol") == ["chat.v1, chat.v2"]
    assert seen.all("Sec-WebSocket-Extensions") == ["x-own, x-two"]
    assert (seen.all("Upgrade"), seen.all("Connection")) == (["websocket"], ["Upgrade"])
    assert seen.all("Waitroom-Pass") == ["signed.pass"]
    assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
    assert b"Sec-WebSocket-Accept: " + ACCEPT in head
    assert b"Sec-WebSocket-Protocol: chat.v2\r\n" in head
    assert b"Sec-WebSocket-Extensions: x-own\r\n" in head
    assert head.count(b"Upgrade: websocket\r\n") == 1


async def test_bytes_pass_both_ways_whatever_they_are(edge: Edge, live: Origin) -> None:
    noise = b"\x82\x7f" + (3_000_000).to_bytes(8, "big") + hashlib.shake_256(b"noise").digest(3_000_000)
    reader, writer = await edge.open()
    writer.write(handshake())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(noise)

    async with asyncio.timeout(60):
        assert await reader.readexactly(len(noise)) == noise


async def test_what_is_sent_together_with_the_handshake_is_not_lost(edge: Edge, origin: Origin) -> None:
    async def eager(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(SWITCH + b"\r\n" + b"\x81\x05early")
        assert await reader.readexactly(11) == b"\x81\x85\0\0\0\0first"
        writer.write(b"\x81\x06got it")
        writer.close()

    origin.scripts[b"/live"] = eager
    answer = await edge.talk(handshake() + b"\x81\x85\0\0\0\0first")

    assert answer.endswith(b"\r\n\r\n\x81\x05early\x81\x06got it")


async def test_a_refused_handshake_reaches_the_visitor_whole(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/live"] = b"HTTP/1.1 401 Who Are You\r\nWWW-Authenticate: x\r\nContent-Length: 2\r\n\r\nno"
    reader, writer = await edge.open()
    writer.write(handshake())

    answer = await reader.readuntil(b"\r\n\r\nno")
    assert answer.startswith(b"HTTP/1.1 401 Who Are You\r\nWWW-Authenticate: x\r\n")
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")  # it is a plain connection still
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        SWITCH.replace(ACCEPT, b"AAAAAAAAAAAAAAAAAAAAAAAAAAA=") + b"\r\n",
        SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c") + b"\r\n",
        SWITCH.replace(b"Connection: Upgrade\r\n", b"") + b"\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
)
async def test_a_switch_that_is_none_becomes_502(edge: Edge, origin: Origin, answer: bytes) -> None:
    origin.scripts[b"/live"] = answer

    assert (await edge.head(handshake())).startswith(b"HTTP/1.1 502 ")


@pytest.mark.parametrize(
    "raw",
    [
        handshake(key=b"short"),
        handshake(key=b"*" * 24),
        handshake(b"Sec-WebSocket-Key: " + KEY),
        handshake().replace(b"Version: 13", b"Version: 8"),
        handshake().replace(b"Upgrade: WebSocket", b"Upgrade: websocket2"),
        handshake().replace(b"keep-alive, Upgrade", b"keep-alive"),
        handshake().replace(b"GET", b"POST"),
        handshake(b"Content-Length: 2") + b"ab",
        handshake().replace(b"HTTP/1.1", b"HTTP/1.0"),
    ],
)
async def test_half_a_handshake_is_a_plain_request(edge: Edge, origin: Origin, raw: bytes) -> None:
    assert (await edge.head(raw)).split(b"\r\n")[0].endswith(b" 200 OK")
    assert origin.only().all("Upgrade") == []
    assert origin.only().all("Connection") == []


async def test_bytes_after_a_declined_upgrade_are_the_next_request(edge: Edge, origin: Origin) -> None:
    plain = b"GET /next HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n"

    answer = await edge.talk(handshake(key=b"short") + plain)

    assert answer.count(b"HTTP/1.1 200 OK") == 2
    assert [seen.target for seen in origin.seen] == [b"/live?a=%2f", b"/next"]


async def test_an_upstream_that_vanishes_vanishes_for_the_visitor(edge: Edge, origin: Origin) -> None:
    heard = asyncio.Event()

    async def vanish(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(SWITCH + b"\r\n\x81\x02hi")
        await heard.wait()
        writer.transport.abort()

    origin.scripts[b"/live"] = vanish
    reader, writer = await edge.open()
    writer.write(handshake())
    async with asyncio.timeout(60):
        await reader.readuntil(b"\x81\x02hi")
        heard.set()

        assert await reader.read(-1) == b""  # and no close frame made up


async def test_a_visitor_who_vanishes_vanishes_for_the_upstream(edge: Edge, live: Origin) -> None:
    reader, writer = await edge.open()
    writer.write(handshake())
    await reader.readuntil(b"\r\n\r\n")
    writer.transport.abort()

    async with asyncio.timeout(60):
        while not live.closed:
            await asyncio.sleep(0.005)


async def test_the_last_words_of_a_visitor_arrive(edge: Edge, origin: Origin) -> None:
    heard = b""

    async def listen(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        nonlocal heard
        writer.write(SWITCH + b"\r\n")
        heard = await reader.read(-1)
        writer.close()

    origin.scripts[b"/live"] = listen
    reader, writer = await edge.open()
    writer.write(handshake())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(BYE)
    writer.close()

    async with asyncio.timeout(60):
        while not origin.closed:
            await asyncio.sleep(0.005)
    assert heard == BYE


async def test_a_silent_pair_is_closed(hasty: Edge, live: Origin) -> None:
    async with asyncio.timeout(60):
        assert (await hasty.talk(handshake())).startswith(b"HTTP/1.1 101 ")
        while not live.closed:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"\x81\x02hi",
        b"\x82\x7e\x00\x80" + b"x" * 128,
        b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + b"x" * 65_536,
        b"\x81\x82\x00\x00\x00\x00hi\x89\x00",
    ],
)
async def test_a_worker_that_leaves_says_goodbye_between_two_frames(edge: Edge, origin: Origin, said: bytes) -> None:
    assert await _last_words(edge, origin, said) == said + b"\x88\x02\x03\xf4"


@pytest.mark.parametrize(
    "said", [b"\x81", b"\x81\x02h", b"\x82\x7e\x00", b"\x82\x7f" + b"\x00" * 7, b"\x88\x02\x03\xe8"]
)
async def test_a_worker_that_leaves_says_nothing_into_a_frame_or_after_the_last(
    edge: Edge, origin: Origin, said: bytes
) -> None:
    assert await _last_words(edge, origin, said) == said


async def _last_words(edge: Edge, origin: Origin, said: bytes) -> bytes:
    """Return what a visitor hears when the worker leaves after the upstream has `said` something."""

    async def speak(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(SWITCH + b"\r\n" + said)
        await reader.read(-1)
        writer.close()

    origin.scripts[b"/live"] = speak
    reader, writer = await edge.open()
    writer.write(handshake())
    await reader.readuntil(b"\r\n\r\n")
    heard = await reader.readexactly(len(said))
    edge.leave()
    return heard + await reader.read(-1)


def close_frame(code: int | None, reason: bytes = b"why", *, mask: bytes = b"") -> bytes:
    """Return a close frame as a server sends it, or with a `mask` as a visitor does."""
    payload = b"" if code is None else code.to_bytes(2, "big") + reason
    if not mask:
        return bytes([0x88, len(payload)]) + payload
    masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))
    return bytes([0x88, 0x80 | len(payload)]) + mask + masked


LEGAL = [None, 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]
ILLEGAL = [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535]


@pytest.mark.parametrize("code", LEGAL)
async def test_a_close_frame_passes_as_it_is_both_ways(edge: Edge, origin: Origin, code: int | None) -> None:
    said = b"\x81\x02hi" + close_frame(code)
    assert await _both(edge, origin, said, close_frame(code, mask=b"\x11\x22\x33\x44")) == (
        said,
        close_frame(code, mask=b"\x11\x22\x33\x44"),
    )


@pytest.mark.parametrize("code", ILLEGAL)
async def test_a_code_that_may_not_travel_does_not_and_what_came_before_it_does(
    edge: Edge, origin: Origin, code: int
) -> None:
    said, masked = close_frame(code), close_frame(code, mask=b"\x11\x22\x33\x44")
    heard, _ = await _both(edge, origin, b"\x81\x02hi" + said, b"")
    assert heard == b"\x81\x02hi"

    _, told = await _both(edge, origin, b"", b"\x89\x80\0\0\0\0" + masked + b"more")
    assert told == b"\x89\x80\0\0\0\0"


@pytest.mark.parametrize("said", [b"\x88\x01\x03", b"\x88\x7e\x01\x00\x03\xe8" + b"x" * 254])
async def test_a_close_frame_that_is_none_does_not_travel(edge: Edge, origin: Origin, said: bytes) -> None:
    assert (await _both(edge, origin, said, b""))[0] == b""


async def test_a_close_frame_arrives_whole_however_it_is_cut(edge: Edge, origin: Origin) -> None:
    frame = close_frame(1000)

    async def slowly(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(SWITCH + b"\r\n")
        for byte in frame:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.001)
        writer.close()

    origin.scripts[b"/live"] = slowly

    assert (await edge.talk(handshake())).endswith(b"\r\n\r\n" + frame)


async def _both(edge: Edge, origin: Origin, said: bytes, asked: bytes) -> tuple[bytes, bytes]:
    """Let the upstream say one thing and the visitor another; return what each heard until the end."""
    told = asyncio.get_running_loop().create_future()

    async def speak(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(SWITCH + b"\r\n")
        heard = await reader.readexactly(len(asked)) if said and asked else b""
        writer.write(said)
        if said:
            writer.write_eof()
        heard += await reader.read(-1)
        told.set_result(heard)
        writer.close()

    origin.scripts[b"/live"] = speak
    reader, writer = await edge.open()
    writer.write(handshake())
    await reader.readuntil(b"\r\n\r\n")
    writer.write(asked)
    async with asyncio.timeout(60):
        heard = await reader.read(-1)
        return heard, await told


async def test_a_flood_is_held_back_by_a_visitor_who_does_not_read(origin: Origin) -> None:
    sent = 0

    async def flood(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        nonlocal sent
        writer.write(SWITCH + b"\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"\x82\x7f" + (65_536).to_bytes(8, "big") + b"x" * 65_536)
                await writer.drain()
                sent += 65_536

    origin.scripts[b"/live"] = flood
    async with make_edge(origin.url, UpstreamLimits(idle_timeout_s=0.5)) as edge:
        unread, writer = await edge.open()
        writer.write(handshake())
        await unread.readexactly(10)
        async with asyncio.timeout(60):
            while not origin.closed:
                await asyncio.sleep(0.02)

    assert sent < 32 * 1024 * 1024


async def test_websockets_do_not_take_the_connections_of_plain_requests(live: Origin) -> None:
    async with make_edge(live.url, UpstreamLimits(max_connections=1, connect_timeout_s=0.5)) as edge:
        reader, writer = await edge.open()
        writer.write(handshake())
        await reader.readuntil(b"\r\n\r\n")

        assert (await edge.get()).endswith(b"ok")
        assert (await edge.head(handshake())).startswith(b"HTTP/1.1 503 ")


async def test_the_caller_may_add_a_cookie_to_the_switch(edge: Edge, live: Origin) -> None:
    edge.on_head = lambda status, command: [("Set-Cookie", f"wr_drop_pass={status}")]

    assert b"\r\nSet-Cookie: wr_drop_pass=101\r\n" in await edge.head(handshake())


@pytest.fixture
async def shop() -> AsyncIterator[Edge]:
    """Serve a real websocket server behind the edge."""

    async def live(request: web.Request) -> web.WebSocketResponse:
        ws = web.WebSocketResponse(protocols=("chat.v2",), autoping=False, max_msg_size=0)
        await ws.prepare(request)
        async for message in ws:
            match message.type:
                case WSMsgType.TEXT if message.data.startswith("close "):
                    await ws.close(code=int(message.data[6:]), message=b"because")
                case WSMsgType.TEXT:
                    await ws.send_str(message.data)
                case WSMsgType.BINARY:
                    await ws.send_bytes(message.data)
                case WSMsgType.PING:
                    await ws.pong(message.data)
                case _:
                    pass
        closes.append(ws.close_code)
        return ws

    closes: list[int | None] = []
    app = web.Application()
    app.router.add_get("/live", live)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    async with make_edge(f"http://127.0.0.1:{runner.addresses[0][1]}") as edge:
        edge.closes = closes
        yield edge
    await runner.cleanup()


async def test_messages_of_every_kind_and_size_pass(shop: Edge) -> None:
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{shop.port}/live"
        async with session.ws_connect(url, protocols=["chat.v2"], compress=15, max_msg_size=0, autoping=False) as ws:
            await ws.send_str("schön")
            await ws.send_bytes(b"x" * 20_000_000)
            await ws.ping(b"are you there")

            assert ws.protocol == "chat.v2"
            assert ws.compress == 15
            assert await ws.receive_str() == "schön"
            assert await ws.receive_bytes() == b"x" * 20_000_000
            assert (await ws.receive()).data == b"are you there"


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 3000, 4001])
async def test_a_close_from_the_upstream_arrives_with_code_and_reason(shop: Edge, code: int) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"http://127.0.0.1:{shop.port}/live") as ws:
        await ws.send_str(f"close {code}")
        message = await ws.receive()

    assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, "because")


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4001])
async def test_a_close_from_the_visitor_arrives_with_its_code(shop: Edge, code: int) -> None:
    async with aiohttp.ClientSession() as session:
        ws = await session.ws_connect(f"http://127.0.0.1:{shop.port}/live")
        await ws.close(code=code)
    while not shop.closes:
        await asyncio.sleep(0.005)

    assert shop.closes == [code]


def test_the_sample_of_the_standard_is_right() -> None:
    assert base64.b64encode(hashlib.sha1(KEY + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()) == ACCEPT
