"""The connections to one upstream, over real sockets."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests import certificate
from tests.fakes import FakeClock
from tests.origin import OK, Edge, Origin, Seen, Writer, request
from tests.origin import edge as make_edge
from tests.origin import origin as make_origin
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.proxy.upstream import Upstream, UpstreamLimits


class Ahead(SystemClock):
    """The clock of this machine, or so many seconds later."""

    ahead_s = 0.0

    def tick_s(self) -> float:
        return super().tick_s() + self.ahead_s


async def closes_on_next(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
    """Answer once, then close at the very moment the connection is used again."""
    writer.write(OK)
    await reader.read(1)
    writer.close()


async def test_a_read_that_meets_a_dying_connection_is_sent_once_more(edge: Edge, origin: Origin) -> None:
    origin.scripts[b"/first"] = closes_on_next

    await edge.get(b"/first")

    assert (await edge.get(b"/second")).endswith(b"ok")
    assert [seen.target for seen in origin.seen] == [b"/first", b"/second"]
    assert origin.connections == 2


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"PATCH", b"DELETE"])
async def test_a_change_is_never_sent_twice(edge: Edge, origin: Origin, method: bytes) -> None:
    async def dies(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        writer.transport.abort()

    origin.scripts[b"/buy"] = dies

    lengths = (b"Content-Length: 3", b"abc"), (b"X-No-Body: 1", b""), (b"Content-Length: 70000", b"x" * 70_000)
    for line, body in lengths:
        answer = await edge.talk(request(b"/buy", line, method=method, body=body))
        assert answer.startswith(b"HTTP/1.1 502 ")

    assert len(origin.seen) == 3


async def test_a_change_does_not_take_a_connection_that_rested_long(origin: Origin) -> None:
    clock = Ahead()
    async with make_edge(origin.url, UpstreamLimits(keepalive_s=4), clock=clock) as edge:
        for method in (b"POST", b"POST", b"GET"):  # one after the other, so one connection does
            await edge.get(method=method)
        clock.ahead_s = 2  # longer than a quarter of the keep-alive time, shorter than all of it
        await edge.get(method=b"POST")
        clock.ahead_s = 4
        await edge.get()

    assert [seen.connection for seen in origin.seen] == [1, 1, 1, 2, 2]


async def test_no_connection_is_used_for_ever_so_that_a_name_that_moved_is_followed(origin: Origin) -> None:
    clock = Ahead()
    async with make_edge(origin.url, UpstreamLimits(keepalive_s=60, connection_lifetime_s=5), clock=clock) as edge:
        for clock.ahead_s in (0, 4, 6, 10):
            await edge.get()

    assert [seen.connection for seen in origin.seen] == [1, 1, 2, 2]


async def test_a_connection_that_rested_too_long_is_closed(origin: Origin) -> None:
    async with make_edge(origin.url, UpstreamLimits(keepalive_s=0.05)) as edge:
        await edge.get()
        async with asyncio.timeout(60):
            while not origin.closed:
                await asyncio.sleep(0.005)


async def test_a_full_upstream_is_said_to_be_busy(origin: Origin) -> None:
    go_on = asyncio.Event()

    async def slow(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
        await go_on.wait()
        writer.write(OK)

    origin.scripts[b"/slow"] = slow
    async with make_edge(origin.url, UpstreamLimits(connect_timeout_s=0.5, max_connections=1)) as edge:
        async with asyncio.TaskGroup() as group:
            held = group.create_task(edge.get(b"/slow"))
            while not origin.seen:
                await asyncio.sleep(0.005)
            busy = await edge.get(b"/other")
            go_on.set()

        assert busy.startswith(b"HTTP/1.1 503 ")
        assert b"Retry-After: 2\r\n" in busy
        assert held.result().endswith(b"ok")
        assert (await edge.get(b"/other")).endswith(b"ok")


async def test_no_upstream_at_all_becomes_502() -> None:
    async with make_origin() as gone:
        url = gone.url
    async with make_edge(url) as edge:
        answer = await edge.get()

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"Connector" not in answer


async def test_an_upstream_that_never_accepts_becomes_504() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        for caller in waiting:
            caller.setblocking(False)
            with suppress(BlockingIOError):
                caller.connect(("127.0.0.1", port))
        async with make_edge(f"http://127.0.0.1:{port}", UpstreamLimits(connect_timeout_s=0.2)) as edge:
            answer = await edge.get()
        for caller in waiting:
            caller.close()

    assert answer.startswith(b"HTTP/1.1 504 ")


async def test_an_upstream_may_listen_on_ipv6() -> None:
    made = Origin()
    server = await asyncio.start_server(made.serve, "::1", 0)
    async with make_edge(f"http://[::1]:{server.sockets[0].getsockname()[1]}") as edge:
        answer = await edge.get()
    server.close()

    assert answer.endswith(b"ok")


async def test_an_upstream_may_listen_on_a_unix_socket(tmp_path: Path) -> None:
    made = Origin()
    server = await asyncio.start_unix_server(made.serve, tmp_path / "store.sock")
    async with make_edge(f"unix:{tmp_path}/store.sock") as edge:
        answer = await edge.get(b"/a%2fb?")
    server.close()

    assert answer.endswith(b"ok")
    assert made.only().target == b"/a%2fb?"
    assert made.only().all("Host") == ["shop.example"]


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[tuple[Origin, int, Path]]:
    """Give an origin that speaks TLS as shop.example and 127.0.0.1, and the file that vouches for it."""
    pair = certificate.made(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    made = Origin()
    server = await asyncio.start_server(made.serve, "127.0.0.1", 0, ssl=context)
    yield made, server.sockets[0].getsockname()[1], pair.certificate
    server.close()
    for writer in list(made.serving):
        writer.transport.abort()
    while made.serving:
        await asyncio.sleep(0.001)


async def test_an_upstream_by_https_is_who_its_certificate_says(tls: tuple[Origin, int, Path]) -> None:
    origin, port, ca_file = tls
    async with make_edge(f"https://127.0.0.1:{port}", ca_file=ca_file) as edge:
        answers = [await edge.get(b"/a%2f?") for _ in range(2)]

    assert [answer[-2:] for answer in answers] == [b"ok", b"ok"]
    assert [seen.connection for seen in origin.seen] == [1, 1]  # a handshake for each connection, not for each request
    assert origin.seen[0].all("Host") == ["shop.example"]


@pytest.mark.parametrize("why", ["nobody we know vouches for it", "it is somebody else"])
async def test_an_upstream_that_is_not_who_it_should_be_gets_no_request(
    tls: tuple[Origin, int, Path], why: str
) -> None:
    origin, port, ca_file = tls
    is_stranger = why == "nobody we know vouches for it"
    host = "127.0.0.1" if is_stranger else "localhost"
    async with make_edge(f"https://{host}:{port}", ca_file=None if is_stranger else ca_file) as edge:
        answer = await edge.get()

    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"certificate" not in answer
    assert origin.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "",
        "store",
        "ftp://store",
        "http://",
        "http:///x",
        "http://store/base",
        "http://store/?x",
        "unix:",
        "unix:relative",
    ],
)
async def test_an_address_that_is_none_is_a_fault_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigFault, match="must be"):
        Upstream("store", url, UpstreamLimits(), clock=FakeClock())
