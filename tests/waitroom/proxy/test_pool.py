"""Connections that rest between requests, seen from the origin."""

import asyncio

import pytest

from tests.origin import OK, Edge, Origin, Seen, Writer
from tests.origin import edge as make_edge
from tests.wire import settle

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


async def test_the_upstreams_word_on_how_long_it_keeps_a_connection_is_heeded(origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=0, max=9\r\nContent-Length: 0\r\n\r\n"
    async with make_edge(origin.url) as edge:
        answers = [await edge.get() for _ in range(3)]

    assert origin.connections == 3
    assert b"Keep-Alive" not in answers[0]


async def test_what_the_upstream_says_unasked_is_nobodys_answer(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/first"] = OK + EVIL

    first = await edge.get(b"/first")
    second = await edge.get(b"/second")

    assert b"evil" not in second
    assert b"evil" not in first


AND_MORE: dict[str, bytes] = {
    "a length": OK + b"more",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nk\r\n0\r\n\r\nmore",
    "no body": b"HTTP/1.1 204 No Content\r\n\r\nmore",
    "something before it": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"more",
    "bare line ends": OK.replace(b"\r\n", b"\n") + b"more",
}


@pytest.mark.parametrize("has", AND_MORE)
async def test_what_comes_after_an_answer_ends_the_connection_alone_however_it_is_cut(
    edge: Edge, origin: Origin, has: str
) -> None:
    said = AND_MORE[has]
    places = range(len(said) - len(b"more"))  # later, and it is no longer the same piece

    async def cut(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        place = int(seen.all("X-Cut")[0])
        writer.write(said[:place])
        await settle(20)
        writer.write(said[place:])

    origin.scripts[b"/"] = cut
    answers = {await edge.get(b"/", b"X-Cut: %d" % place) for place in places}

    assert len(answers) == 1
    assert b"HTTP/1.1 20" in answers.pop()
    assert origin.connections == len(places)


async def test_an_answer_whose_body_breaks_at_once_is_none(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\nzz\r\n"

    assert (await edge.get()).startswith(b"HTTP/1.1 502 ")


async def test_what_the_upstream_says_late_is_nobodys_answer(edge: Edge, origin: Origin) -> None:
    is_done = asyncio.Event()

    async def talkative(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.write(OK)
        await is_done.wait()
        writer.write(EVIL)

    origin.scripts[b"/first"] = talkative
    await edge.get(b"/first")
    assert edge.forwarder is not None
    (resting,) = edge.forwarder._upstream._pool._resting  # type: ignore[union-attr]  # no health is watched here
    is_done.set()
    async with asyncio.timeout(60):
        while resting.is_fit:
            await asyncio.sleep(0.005)

    assert (await edge.get(b"/second")).endswith(b"\r\n\r\nok")
    assert origin.seen[-1].connection == 2


async def test_a_proxy_named_in_the_environment_is_not_used(
    edge: Edge, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    assert (await edge.get()).endswith(b"ok")
