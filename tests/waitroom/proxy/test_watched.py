"""What the watch sees of requests to a real origin, and how it holds them back."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from tests.origin import Origin, Seen, Writer
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import Refused, UpstreamUnavailable
from waitroom.proxy.exchange import Ask
from waitroom.proxy.upstream import UpstreamLimits, connected
from waitroom.proxy.watched import WatchedUpstream
from waitroom.rules.health import Circuit, HealthRules, Sample
from waitroom.rules.watch import Watch

GET = Ask("GET", "/", [(b"Host", b"shop.example")])


@pytest.fixture
def watch() -> Watch:
    return Watch(HealthRules(target_ttfb_ms=50))


PATIENT = UpstreamLimits(connect_timeout_s=2, first_byte_timeout_s=30, max_connections=1)


@pytest.fixture
async def watched(origin: Origin, watch: Watch) -> AsyncIterator[WatchedUpstream]:
    async with connected("store", origin.url, PATIENT, clock=SystemClock()) as upstream:
        yield WatchedUpstream(upstream, watch, clock=SystemClock())


async def asked(watched: WatchedUpstream, ask: Ask = GET) -> int:
    async with watched.exchange(ask) as answer:
        return answer.status


async def test_it_is_the_upstream_by_name_and_limits(watched: WatchedUpstream) -> None:
    assert (watched.name, watched.limits.max_connections) == ("store", 1)


async def test_an_answer_is_seen(watched: WatchedUpstream, watch: Watch) -> None:
    assert await asked(watched) == 200
    assert watch.sample(SystemClock().tick_s()) == Sample(1, 0, 0)


async def test_a_refusing_store_is_seen(watched: WatchedUpstream, watch: Watch, origin: Origin) -> None:
    origin.scripts[b"/"] = b"HTTP/1.1 503 Later\r\nContent-Length: 0\r\n\r\n"

    assert await asked(watched) == 503
    assert watch.sample(SystemClock().tick_s()) == Sample(1, 0, 1)


async def test_no_answer_is_a_failure(watch: Watch, origin: Origin) -> None:
    async def hangs(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        await reader.read()

    origin.scripts[b"/"] = hangs
    hasty = replace(PATIENT, first_byte_timeout_s=0.2)
    async with connected("store", origin.url, hasty, clock=SystemClock()) as upstream:
        with pytest.raises(UpstreamUnavailable):
            await asked(WatchedUpstream(upstream, watch, clock=SystemClock()))
    assert watch.sample(SystemClock().tick_s()) == Sample(1, 0, 1)


async def test_waiting_for_a_connection_is_waiting(watched: WatchedUpstream, watch: Watch, origin: Origin) -> None:
    go_on = asyncio.Event()

    async def waits(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        await go_on.wait()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    origin.scripts[b"/"] = waits
    async with asyncio.TaskGroup() as group:
        first = group.create_task(asked(watched))
        async with asyncio.timeout(60):
            while not origin.seen:
                await asyncio.sleep(0.005)
        with pytest.raises(Refused, match="very busy"):
            await asked(watched)
        assert watch.sample(SystemClock().tick_s()) == Sample(2, 2, 0)
        go_on.set()
    assert first.result() == 200


async def test_while_it_is_down_nothing_is_sent(watched: WatchedUpstream, watch: Watch, origin: Origin) -> None:
    watch.heed(Circuit.OPEN)

    with pytest.raises(Refused) as refused:
        await asked(watched)
    assert (refused.value.status, refused.value.kind, refused.value.retry_after_s) == (503, "upstream-down", 5)
    assert origin.seen == []


async def test_a_change_is_never_a_probe(watched: WatchedUpstream, watch: Watch, origin: Origin) -> None:
    watch.heed(Circuit.OPEN)
    watch.grant(SystemClock().tick_s())
    for ask in (Ask("POST", "/", []), Ask("GET", "/", [], body=b"x"), Ask("GET", "/", [], is_upgrade=True)):
        with pytest.raises(Refused):
            await asked(watched, ask)

    await watched.probe("/healthy", "shop.example")
    assert origin.only().target == b"/healthy"
    assert origin.only().all("host") == ["shop.example"]
