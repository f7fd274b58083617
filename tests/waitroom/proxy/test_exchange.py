"""One request and its answer on one connection, as the origin and the caller see them."""

import asyncio

import pytest

from tests.origin import OK, Origin, Seen, Writer
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import UpstreamUnavailable
from waitroom.proxy.exchange import Ask
from waitroom.proxy.upstream import Upstream, UpstreamLimits, connected

HOST = (b"Host", b"shop.example")


async def asked(upstream: Upstream, ask: Ask) -> bytes:
    async with upstream.exchange(ask) as answer:
        return await answer.content.read()


async def test_the_head_is_what_was_asked_and_nothing_else(origin: Origin) -> None:
    ask = Ask("PATCH", "/a%2F?", [HOST, (b"x-odd", b"caf\xe9"), (b"X-Odd", b"")])
    async with connected("store", origin.url, UpstreamLimits(), clock=SystemClock()) as upstream:
        assert await asked(upstream, ask) == b"ok"

    assert origin.only().head == b"PATCH /a%2F? HTTP/1.1\r\nHost: shop.example\r\nx-odd: caf\xe9\r\nX-Odd: \r\n\r\n"


async def test_an_answer_that_was_left_unread_ends_its_connection(origin: Origin) -> None:
    async def endless(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")
        await reader.read(1)

    origin.scripts[b"/"] = endless
    async with connected("store", origin.url, UpstreamLimits(), clock=SystemClock()) as upstream:
        async with upstream.exchange(Ask("GET", "/", [HOST])) as answer:
            assert not answer.is_over
        async with asyncio.timeout(60):
            while not origin.closed:
                await asyncio.sleep(0.005)


async def test_an_answer_that_is_over_leaves_its_connection_to_the_next(origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 204 No Content\r\n\r\n"
    first = Ask("HEAD", "/", [HOST])
    async with (
        connected("store", origin.url, UpstreamLimits(), clock=SystemClock()) as upstream,
        upstream.exchange(first) as answer,
    ):
        assert answer.is_over
        assert await asked(upstream, Ask("GET", "/", [HOST])) == b""

    assert origin.connections == 1


async def test_what_only_reads_is_asked_twice_at_most(origin: Origin) -> None:
    async def dies(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.transport.abort()

    async with connected("store", origin.url, UpstreamLimits(), clock=SystemClock()) as upstream:
        await asked(upstream, Ask("GET", "/", [HOST]))
        origin.scripts[b"/"] = dies
        with pytest.raises(UpstreamUnavailable):
            await asked(upstream, Ask("GET", "/", [HOST]))

    assert [seen.connection for seen in origin.seen] == [1, 1, 2]


async def test_a_new_connection_that_dies_is_not_tried_again(origin: Origin) -> None:
    async def dies(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.transport.abort()

    origin.scripts[b"/"] = dies
    async with connected("store", origin.url, UpstreamLimits(), clock=SystemClock()) as upstream:
        with pytest.raises(UpstreamUnavailable):
            await asked(upstream, Ask("GET", "/", [HOST]))

    assert len(origin.seen) == 1


@pytest.mark.parametrize(
    ("ask", "may_change"),
    [
        (Ask("GET", "/", []), False),
        (Ask("HEAD", "/", []), False),
        (Ask("GET", "/", [], body=b"x"), True),
        (Ask("GET", "/", [], is_upgrade=True), True),
        (Ask("POST", "/", []), True),
        (Ask("DELETE", "/", []), True),
    ],
)
def test_what_may_change_something_is_known(ask: Ask, may_change: bool) -> None:
    assert ask.may_change is may_change


async def test_what_comes_before_an_answer_is_told(origin: Origin) -> None:
    told: list[tuple[int, str, list[tuple[bytes, bytes]]]] = []
    origin.scripts[b"/"] = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK
    ask = Ask("GET", "/", [HOST], on_interim=lambda status, reason, raw: told.append((status, reason, list(raw))))
    async with connected("store", origin.url, UpstreamLimits(), clock=SystemClock()) as upstream:
        assert await asked(upstream, ask) == b"ok"

    assert told == [(103, "Early Hints", [(b"Link", b"x")])]
