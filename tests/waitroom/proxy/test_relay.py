"""How an answer is written, seen as bytes and segments."""

import asyncio

from tests.origin import Edge, Origin, Seen, Writer, request


async def test_a_small_answer_travels_in_one_segment(edge: Edge) -> None:
    reader, writer = await edge.open()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")

    assert await reader.read(1000) == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_small_chunked_answer_travels_in_one_segment_with_its_end(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    reader, writer = await edge.open()
    writer.write(b"GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n")

    assert await reader.read(1000) == b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


async def test_the_head_does_not_wait_for_the_body(edge: Edge, origin: Origin) -> None:
    async def head_only(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        await reader.read(1)

    origin.scripts[b"/"] = head_only

    assert (await edge.head(request())).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_a_length_of_204_is_not_passed_on(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"

    assert await edge.get() == b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"


async def test_a_length_is_passed_on_as_a_plain_number(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nContent-Length: 0002\r\nX: 1\r\n\r\nok"

    assert await edge.get() == b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
