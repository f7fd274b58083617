"""One request to the origin and its answer back, byte for byte, over real sockets."""

import asyncio
import gzip
from contextlib import suppress

import pytest

from tests.origin import OK, Edge, Origin, Seen, Writer, request
from tests.origin import edge as make_edge
from tests.origin import origin as make_origin
from waitroom.kernel.errors import StoreUnavailable
from waitroom.proxy.upstream import UpstreamLimits

HEAD_OF_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    "target",
    [
        b"/x?",
        b"/x??",
        b"/?",
        b"/%3A%21%7E",
        b"/a/%2e%2e/b",
        b"/a/./b/../c",
        b"/%2f%2F",
        b"/%ZZ?q=%zz",
        b"//evil.example/x",
        b"/a;b=c/d",
        b"/a\\b",
        b'/a|b{c}^`"<>',
        b"/?q=a+b%20c&q=&=&&",
        b"/?a=b?c=d/e//f",
        b"/[x]?[y]=1",
        b"/%00%0a%0d%25",
        b"/caf%C3%A9%E9",
        b"/http://x/",
        b"/" + b"a" * 7000,
    ],
)
async def test_the_target_arrives_as_it_was_sent(edge: Edge, origin: Origin, target: bytes) -> None:
    assert (await edge.get(target)) == HEAD_OF_OK + b"ok"
    assert origin.only().target == target


async def test_no_header_is_invented_on_the_way_in(edge: Edge, origin: Origin) -> None:
    edge.waitroom_pass = None
    await edge.talk(request(b"/", b"X-Own: 1", method=b"DELETE"))

    names = [name for name, _ in origin.only().headers]
    assert names == [
        "Host",
        "X-Own",
        "X-Forwarded-For",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "X-Real-IP",
        "Forwarded",
    ]


async def test_no_header_is_invented_on_the_way_out(edge: Edge) -> None:
    assert await edge.get() == HEAD_OF_OK + b"ok"


async def test_headers_of_the_answer_keep_order_case_number_and_bytes(edge: Edge, origin: Origin) -> None:
    lines = (
        b"Set-Cookie: a=1\r\nX-b: caf\xe9\r\nset-cookie: b=2\r\nDate: then\r\nSet-Cookie: c=3; Path=/\r\nServer: S\r\n"
    )
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\n" + lines + b"Content-Length: 0\r\n\r\n"

    assert (await edge.get()).startswith(b"HTTP/1.1 200 OK\r\n" + lines)


async def test_a_cookie_for_one_visitor_is_never_sent_for_another(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret; Path=/\r\nContent-Length: 0\r\n\r\n"

    await edge.get()
    await edge.get()
    await edge.get(b"/other")

    assert [seen.all("Cookie") for seen in origin.seen] == [[], [], []]
    assert origin.connections == 1


async def test_the_hosts_own_name_is_kept(edge: Edge, origin: Origin) -> None:
    await edge.get()

    assert origin.only().all("Host") == ["shop.example"]


async def test_the_upstream_learns_whom_it_serves_and_gets_the_pass(edge: Edge, origin: Origin) -> None:
    edge.trusted = ("127.0.0.0/8",)
    edge.scheme = "https"
    await edge.get(b"/", b"X-Forwarded-For: 6.6.6.6, 203.0.113.9", b"Waitroom-Pass: forged", b"Cookie: wr_x=1; a=b")

    seen = origin.only()
    assert seen.all("X-Forwarded-For") == ["203.0.113.9, 127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["https"]
    assert seen.all("Waitroom-Pass") == ["signed.pass"]
    assert seen.all("Cookie") == ["a=b"]


@pytest.mark.parametrize("status", [b"299 Very  Odd", b"999 Beyond", b"200 ", b"404 caf\xe9", b"500 No"])
async def test_status_and_reason_are_the_upstreams(edge: Edge, origin: Origin, status: bytes) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n"

    assert (await edge.get()).startswith(b"HTTP/1.1 " + status + b"\r\n")


async def test_a_compressed_answer_stays_compressed(edge: Edge, origin: Origin) -> None:
    body = gzip.compress(b"x" * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    origin.scripts[b"/"] = head + body

    assert (await edge.get()).endswith(b"\r\n\r\n" + body)


async def test_a_redirect_is_the_visitors_to_follow(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"

    assert b"Location: /elsewhere\r\n" in await edge.get()
    assert len(origin.seen) == 1


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n"),
        (b"GET", b'HTTP/1.1 304 Not Modified\r\nETag: "x"\r\nContent-Length: 5\r\n'),
        (b"GET", b"HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n"),
    ],
)
async def test_an_answer_without_a_body_has_none(edge: Edge, origin: Origin, method: bytes, head: bytes) -> None:
    origin.scripts[b"/"] = head + b"\r\n"

    answer = await edge.get(method=method)

    assert answer.endswith(b"\r\n\r\n")
    assert b"chunked" not in answer
    assert answer.replace(b"Connection: close\r\n", b"") == head + b"\r\n"


async def test_a_head_that_announces_chunks_has_no_body_and_keeps_the_connection(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

    assert await edge.get(method=b"HEAD") == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
    assert await edge.get(b"/next") == HEAD_OF_OK + b"ok"
    assert origin.connections == 1


async def test_an_answer_without_a_length_is_chunked_and_ends(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"

    answer = await edge.get()

    assert answer.startswith(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n")
    assert answer.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\n\r\n")


async def test_a_visitor_of_http_1_0_gets_plain_bytes_and_the_end(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    assert await edge.talk(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n") == b"HTTP/1.0 200 OK\r\n\r\nabc"


async def test_a_visitor_of_http_1_0_may_keep_the_connection(edge: Edge) -> None:
    raw = b"GET / HTTP/1.0\r\nHost: shop.example\r\nConnection: keep-alive\r\n\r\n"

    assert await edge.head(raw) == b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n"


async def test_one_connection_carries_many_requests_in_order(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/1"] = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"
    plain = b" HTTP/1.1\r\nHost: shop.example\r\n\r\n"

    answer = await edge.talk(b"GET /1" + plain + b"GET /1" + plain + request(b"/"))

    head = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
    assert answer == head + b"1" + head + b"1" + HEAD_OF_OK + b"ok"


async def test_events_arrive_when_they_happen(edge: Edge, origin: Origin) -> None:
    go_on, heard = asyncio.Event(), asyncio.Event()

    async def events(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        await go_on.wait()
        writer.write(b"data: 1\n\n")
        await heard.wait()
        writer.close()

    origin.scripts[b"/"] = events
    reader, writer = await edge.open()
    writer.write(request())

    assert b"text/event-stream" in await reader.readuntil(b"\r\n\r\n")  # before any event
    go_on.set()
    async with asyncio.timeout(60):  # and the stream ends only after
        assert await reader.readuntil(b"\n\n") == b"9\r\ndata: 1\n\n"
    heard.set()


@pytest.mark.parametrize(
    "cut",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nff\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\nzz\r\n",
    ],
)
async def test_half_an_answer_is_never_finished(edge: Edge, origin: Origin, cut: bytes) -> None:
    origin.scripts[b"/"] = cut
    answer = b""
    reader, writer = await edge.open()
    writer.write(request())
    with suppress(ConnectionResetError):
        async with asyncio.timeout(60):
            while piece := await reader.read(1000):
                answer += piece

    assert not answer.endswith(b"0\r\n\r\n")
    assert answer.count(b"HTTP/1.1") <= 1  # no second answer in the first one's body


async def test_half_an_answer_cannot_look_whole_in_http_1_0(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n3\r\nabc\r\n"
    reader, writer = await edge.open()
    writer.write(b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n")

    with pytest.raises(ConnectionResetError):
        await reader.read(-1)


async def test_an_upstream_that_stalls_in_the_middle_is_broken_off(hasty: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"  # and nothing more
    reader, writer = await hasty.open()
    writer.write(request())

    async with asyncio.timeout(60):
        with suppress(ConnectionResetError):
            await reader.read(-1)
    while not origin.closed:
        await asyncio.sleep(0.005)


async def test_a_visitor_who_leaves_ends_the_request_at_the_upstream(edge: Edge, origin: Origin) -> None:
    async def endless(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(60):
                await reader.read(1)
        writer.close()

    async with make_edge(origin.url) as patient:
        origin.scripts[b"/"] = endless
        _, writer = await patient.open()
        writer.write(request())
        while not origin.seen:
            await asyncio.sleep(0.005)
        writer.close()

        async with asyncio.timeout(60):
            while not origin.closed:
                await asyncio.sleep(0.005)
        assert patient.done == 1


async def test_a_visitor_who_leaves_in_the_middle_of_an_answer_ends_it(edge: Edge, origin: Origin) -> None:
    async def endless(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 1000)
                await writer.drain()
                await asyncio.sleep(0.001)

    origin.scripts[b"/"] = endless
    reader, writer = await edge.open()
    writer.write(request())
    await reader.readexactly(5000)
    writer.close()

    async with asyncio.timeout(60):
        while not origin.closed:
            await asyncio.sleep(0.005)


async def test_a_slow_reader_holds_the_upstream_back_and_is_let_go(origin: Origin) -> None:
    sent = 0

    async def flood(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(ConnectionError):
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()
                sent += 65_536

    origin.scripts[b"/"] = flood
    async with make_edge(origin.url, UpstreamLimits(idle_timeout_s=0.5)) as edge:
        unread, writer = await edge.open()
        writer.write(request())
        await unread.readexactly(10)  # and no more: what comes fills the buffers, then waits
        async with asyncio.timeout(60):
            while not origin.closed:
                await asyncio.sleep(0.02)

    assert sent < 32 * 1024 * 1024  # what the kernel holds for four sockets, and no more


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nConnection: close\r\n\r\nxx",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n\r\n",
        b"\x16\x03\x01\x00\xff\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
    ],
)
async def test_an_answer_that_is_not_http_becomes_502_without_saying_why(
    edge: Edge, origin: Origin, answer: bytes
) -> None:
    origin.scripts[b"/"] = answer

    told = await edge.get()

    assert told.startswith(b"HTTP/1.1 502 ")
    assert b"application/problem+json" in told
    assert b"Error" not in told
    assert b"aiohttp." not in told


async def test_an_upstream_that_says_nothing_in_time_becomes_504(origin: Origin) -> None:
    async def silent(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        await reader.read(1)

    origin.scripts[b"/"] = silent

    async with make_edge(origin.url, UpstreamLimits(connect_timeout_s=30, first_byte_timeout_s=0.4)) as edge:
        assert (await edge.get()).startswith(b"HTTP/1.1 504 ")
    assert len(origin.seen) == 1  # a read that was slow is not sent again


async def test_an_early_hint_does_not_become_the_answer(edge: Edge, origin: Origin) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
    origin.scripts[b"/"] = early + OK

    assert await edge.get() == early + HEAD_OF_OK + b"ok"


@pytest.mark.parametrize("interim", [b"100 Continue", b"103 Early Hints"])
async def test_an_interim_answer_that_a_visitor_could_not_take_is_kept_from_them(
    edge: Edge, origin: Origin, interim: bytes
) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 " + interim + b"\r\nWaitroom-X: 1\r\n\r\n" + OK
    old = b"GET / HTTP/1.0\r\nHost: shop.example\r\n\r\n"
    raw = old if interim.startswith(b"103") else request()

    assert (await edge.talk(raw)).split(b"\r\n")[0].endswith(b" 200 OK")


async def test_an_interim_answer_carries_nothing_that_is_for_us(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 103 Hi\r\nWaitroom-Command: revoke\r\nSet-Cookie: wr_x=1\r\n\r\n" + OK

    assert (await edge.get()).startswith(b"HTTP/1.1 103 Hi\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_there_is_an_end_to_interim_answers(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 102 Wait\r\n\r\n" * 100 + OK

    assert b"HTTP/1.1 502 " in await edge.get()


async def test_an_upgrade_to_something_else_is_a_plain_request(edge: Edge, origin: Origin) -> None:
    options = b"Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
    await edge.talk(b"GET / HTTP/1.1\r\nHost: a\r\n" + options)

    assert not {"Upgrade", "Connection", "HTTP2-Settings"} & {name for name, _ in origin.only().headers}


async def test_the_caller_hears_the_command_and_adds_headers_before_the_answer_begins(
    edge: Edge, origin: Origin
) -> None:
    origin.scripts[b"/"] = (
        b"HTTP/1.1 201 Made\r\nWaitroom-Command: revoke\r\nSet-Cookie: a=1\r\nContent-Length: 0\r\n\r\n"
    )
    heard: list[tuple[int, str | None]] = []

    async def on_head(status: int, command: str | None) -> list[tuple[str, str]]:
        heard.append((status, command))
        return [("Set-Cookie", "wr_drop_pass=; Max-Age=0"), ("Set-Cookie", "wr_b=2")]

    edge.on_head = on_head
    answer = await edge.get()

    assert heard == [(201, "revoke")]
    assert b"Waitroom-Command" not in answer
    assert b"Set-Cookie: a=1\r\nSet-Cookie: wr_drop_pass=; Max-Age=0\r\nSet-Cookie: wr_b=2\r\n" in answer


async def test_a_caller_may_answer_without_waiting(edge: Edge) -> None:
    edge.on_head = lambda status, command: [("X-Added", str(status))]

    assert b"X-Added: 200\r\n" in await edge.get()


async def test_a_caller_that_fails_fails_the_request_cleanly(edge: Edge, origin: Origin) -> None:
    def broken(status: int, command: str | None) -> list[tuple[str, str]]:
        raise StoreUnavailable("gone")

    edge.on_head = broken

    assert (await edge.get()).startswith(b"HTTP/1.1 503 ")


async def test_large_headers_pass_in_both_directions(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nX: " + b"y" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n"

    answer = await edge.get(b"/", b"Cookie: a=" + b"b" * 40_000)

    assert b"y" * 60_000 in answer
    assert len(origin.only().all("Cookie")[0]) == 40_002


async def test_a_large_body_arrives_whole(edge: Edge, origin: Origin) -> None:
    body = bytes(range(256)) * 20_000
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    assert (await edge.get()).endswith(body)


async def test_two_upstreams_do_not_share_anything() -> None:
    async with make_origin() as one, make_origin() as two, make_edge(one.url) as a, make_edge(two.url) as b:
        await asyncio.gather(*(a.get(b"/one") for _ in range(5)), *(b.get(b"/two") for _ in range(5)))

        assert {seen.target for seen in one.seen} == {b"/one"}
        assert {seen.target for seen in two.seen} == {b"/two"}


async def test_a_worker_that_leaves_ends_each_connection_after_its_answer(edge: Edge) -> None:
    plain = b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n"

    assert b"Connection" not in await edge.head(plain)
    edge.leave()
    assert await edge.talk(plain) == HEAD_OF_OK + b"ok"


@pytest.mark.parametrize(
    "line",
    [
        b"200 O\x00K",
        b"200 O\x7fK",
        b"103 E\x00H\r\n\r\nHTTP/1.1 200 OK",
        b"100 Cont\x00inue\r\n\r\nHTTP/1.1 200 OK",
    ],
)
async def test_a_reason_of_control_characters_goes_no_further(edge: Edge, origin: Origin, line: bytes) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 " + line + b"\r\nContent-Length: 2\r\n\r\nok"

    assert (await edge.get()).startswith(b"HTTP/1.1 502 ")
