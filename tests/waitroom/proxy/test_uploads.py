"""Request bodies: streamed, counted, timed, and asked for only when wanted."""

import asyncio

import pytest

from tests.origin import Edge, Origin, Seen, Writer, request
from tests.origin import edge as make_edge
from tests.origin import origin as make_origin
from waitroom.proxy import uploads
from waitroom.proxy.upstream import UpstreamLimits

HOST = b"Host: shop.example\r\n"


async def test_a_body_with_a_length_keeps_it_as_a_plain_number(edge: Edge, origin: Origin) -> None:
    await edge.talk(request(b"/", b"Content-Length: 0005", method=b"POST", body=b"abcde"))

    assert origin.only().body == b"abcde"
    assert origin.only().all("Content-Length") == ["5"]
    assert origin.only().all("Transfer-Encoding") == []


async def test_a_chunked_body_stays_chunked(edge: Edge, origin: Origin) -> None:
    body = b"3;ext=1\r\nabc\r\n2\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n"

    await edge.talk(request(b"/", b"Transfer-Encoding: CHUNKED", b"Trailer: X-Trailer", method=b"PUT", body=body))

    assert origin.only().body == b"abcde"
    assert origin.only().all("Transfer-Encoding") == ["chunked"]
    assert origin.only().all("Content-Length") == []
    assert origin.only().all("Trailer") == []


async def test_a_compressed_body_is_carried_as_it_is(edge: Edge, origin: Origin) -> None:
    body = b"\x1f\x8b not really gzip"
    length = b"Content-Length: %d" % len(body)

    await edge.talk(request(b"/", b"Content-Encoding: gzip", length, method=b"POST", body=body))

    assert origin.only().body == body
    assert origin.only().all("Content-Encoding") == ["gzip"]


async def test_a_body_said_to_be_too_large_never_reaches_the_origin(edge: Edge, origin: Origin) -> None:
    answer = await edge.head(request(b"/", b"Content-Length: 100001", b"Expect: 100-continue", method=b"POST"))

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert origin.connections == 0


async def test_a_chunked_body_is_counted_and_cut_off(edge: Edge, origin: Origin) -> None:
    chunk = b"ffff\r\n" + b"x" * 0xFFFF + b"\r\n"

    answer = await edge.head(
        request(b"/", b"Transfer-Encoding: chunked", method=b"POST", body=chunk * 2 + b"0\r\n\r\n")
    )

    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"x" not in b"".join(seen.body for seen in origin.seen)  # it never came to an end


async def test_a_visitor_who_waits_for_100_is_told_to_go_on_once_the_origin_is_there(
    edge: Edge, origin: Origin
) -> None:
    reader, writer = await edge.open()
    writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n")

    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert origin.connections == 1
    writer.write(b"abc")
    assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200 OK\r\n")
    assert origin.only().body == b"abc"
    assert origin.only().all("Expect") == []
    writer.close()


async def test_no_100_is_said_when_there_is_no_origin() -> None:
    async with make_origin() as gone:
        url = gone.url
    async with make_edge(url) as alone:
        answer = await alone.head(request(b"/", b"Expect: 100-continue", b"Content-Length: 3", method=b"POST"))

    assert answer.startswith(b"HTTP/1.1 502 ")


async def test_a_stalled_upload_ends_with_408(hasty: Edge, origin: Origin) -> None:
    answer = await hasty.head(request(b"/", b"Content-Length: 70000", method=b"POST", body=b"abc"))

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert origin.only().body == b""


async def test_a_small_upload_that_stalls_holds_nothing_of_the_origin(hasty: Edge, origin: Origin) -> None:
    answer = await hasty.head(request(b"/", b"Content-Length: 10", method=b"POST", body=b"abc"))

    assert answer.startswith(b"HTTP/1.1 408 ")
    assert origin.connections == 0


async def test_a_broken_chunk_counts_as_a_stall_and_the_origin_sees_no_end(hasty: Edge, origin: Origin) -> None:
    reader, writer = await hasty.open()
    writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
    while not origin.seen:
        await asyncio.sleep(0.005)
    writer.write(b"zz\r\n")

    assert (await reader.readline()).startswith(b"HTTP/1.1 408 ")
    assert origin.only().body == b""
    writer.close()


async def test_an_origin_that_takes_nothing_is_given_up(origin: Origin) -> None:
    origin.reads_body = False
    origin.scripts[b"/deaf"] = _deaf
    async with make_edge(origin.url, UpstreamLimits(connect_timeout_s=30, first_byte_timeout_s=0.4)) as edge:
        reader, writer = await edge.open()
        writer.write(b"POST /deaf HTTP/1.1\r\n" + HOST + b"Content-Length: 90000\r\n\r\n" + b"x" * 90_000)

        assert (await reader.readline()).startswith(b"HTTP/1.1 504 ")


async def _deaf(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
    await reader.read(-1)


async def test_an_early_answer_reaches_a_visitor_who_is_still_sending(edge: Edge, origin: Origin) -> None:
    origin.reads_body = False
    origin.scripts[b"/early"] = b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"
    reader, writer = await edge.open()
    writer.write(b"POST /early HTTP/1.1\r\n" + HOST + b"Content-Length: 90000\r\n\r\nabc")

    async with asyncio.timeout(60):
        assert (await reader.readuntil(b"\r\n\r\nno")).startswith(b"HTTP/1.1 401 No\r\n")
    writer.close()


async def test_a_visitor_who_leaves_in_the_middle_of_an_upload_ends_it_at_the_origin(
    edge: Edge, origin: Origin
) -> None:
    _, writer = await edge.open()
    writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 70000\r\n\r\nabc")
    while not origin.seen:
        await asyncio.sleep(0.005)
    writer.close()

    async with asyncio.timeout(60):
        while not origin.closed:
            await asyncio.sleep(0.005)
    assert origin.only().body == b""


async def test_the_next_request_after_an_upload_uses_the_same_connection(edge: Edge, origin: Origin) -> None:
    for _ in range(3):
        await edge.talk(request(b"/", b"Content-Length: 3", method=b"POST", body=b"abc"))

    assert origin.connections == 1


async def test_a_body_that_trickles_is_cut_off_though_it_never_pauses_for_long(
    origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "GRACE_S", 0.1)
    limits = UpstreamLimits(idle_timeout_s=60, min_upload_bytes_per_s=1_000_000)
    async with make_edge(origin.url, limits) as slow:
        reader, writer = await slow.open()
        writer.write(b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\n\r\n")
        answering = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        async with asyncio.timeout(60):
            while not answering.done():
                writer.write(b"x")
                await asyncio.sleep(0.01)

        assert (await answering).startswith(b"HTTP/1.1 408 ")


async def test_what_came_in_time_earns_time_for_the_rest(origin: Origin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "GRACE_S", 0.0)
    limits = UpstreamLimits(idle_timeout_s=60, min_upload_bytes_per_s=100)
    async with make_edge(origin.url, limits) as steady:
        reader, writer = await steady.open()
        head = b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 100001\r\nConnection: close\r\n\r\n"
        writer.write(head + b"x" * 100_000)  # a thousand seconds' worth
        await asyncio.sleep(0.3)
        writer.write(b"x")

        async with asyncio.timeout(60):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
