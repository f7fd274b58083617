"""Connections that rest between requests, seen from the origin."""

import asyncio

import pytest

from tests.origin import OK, Edge, Origin, Seen, Writer
from tests.origin import edge as make_edge

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
