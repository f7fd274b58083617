"""The doorway: who comes in, on whose word, and what is said to who does not."""

import asyncio
import os
import resource
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web

from tests import certificate
from tests.doors import GET, LAST_GET, cut, doors
from tests.fakes import FakeClock
from tests.wire import whole_reply
from waitroom.wire.accepting import Doorway
from waitroom.wire.certificates import Certificates
from waitroom.wire.connections import Bounds

LOOPBACK = (ip_network("127.0.0.0/8"),)
ANNOUNCED = b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n"


async def test_who_comes_is_served_and_counted_while_there() -> None:
    async with doors() as found:
        client = await found.open(GET)
        assert b"hello 127.0.0.1" in await client.answer()
        assert len(found.connections) == 1
        client.close()

        await found.until(lambda: len(found.connections) == 0)


async def test_one_too_many_hears_that_we_are_busy_before_it_has_said_anything() -> None:
    held = asyncio.Event()

    async def busy(request: web.Request) -> web.StreamResponse:
        await held.wait()
        return web.Response(text="done")

    async with doors(busy, bounds=Bounds(max_connections=2, max_per_address=2)) as found:
        clients = [await found.open(LAST_GET) for _ in range(2)]
        await found.until(lambda: all(seat.guest and not seat.guest.is_idle for seat in found.connections._seats))

        reply = whole_reply(await found.says(b""))

        assert (reply.status, reply.kind, reply.headers["Retry-After"]) == (503, "busy", "5")
        held.set()
        assert [b"done" in await client.rest() for client in clients] == [True, True]
        assert b"done" in await found.says()


async def test_idle_connections_keep_nobody_out() -> None:
    async with doors(bounds=Bounds(max_connections=20, max_per_address=20)) as found:
        for _ in range(60):
            await found.open()

        assert b"hello" in await found.says()
        assert len(found.connections) <= 20


async def test_what_one_address_holds_keeps_no_other_out() -> None:
    held = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        if request.remote == "127.0.0.2":
            await held.wait()
        return web.Response(text="done")

    async with doors(slow, bounds=Bounds(max_connections=100, max_per_address=3)) as found:
        greedy = [await found.open(LAST_GET, "127.0.0.2") for _ in range(3)]
        await found.until(
            lambda: sum(seat.guest is not None and not seat.guest.is_idle for seat in found.connections._seats) == 3
        )

        assert whole_reply(await found.says(b"", "127.0.0.2")).status == 503
        assert whole_reply(await found.says(LAST_GET, "127.0.0.3")).status == 200
        held.set()
        assert all([b"done" in await client.rest() for client in greedy])


async def test_a_trusted_proxy_may_bring_more_than_one_address_may() -> None:
    async with doors(bounds=Bounds(max_connections=100, max_per_address=1), trusted=LOOPBACK) as found:
        clients = [await found.open(GET) for _ in range(5)]

        assert all([b"hello" in await client.answer() for client in clients])


@pytest.mark.parametrize("header", [ANNOUNCED, b"PROXY UNKNOWN\r\n"])
async def test_a_balancer_says_whom_a_connection_is_from(header: bytes) -> None:
    async with doors(doorway=Doorway(balancers=LOOPBACK)) as found:
        told = await found.says(header + LAST_GET)

    assert (b"hello 203.0.113.7" if header == ANNOUNCED else b"hello 127.0.0.1") in told


async def test_the_announced_address_has_the_share_of_an_address() -> None:
    async with doors(
        doorway=Doorway(balancers=LOOPBACK), trusted=LOOPBACK, bounds=Bounds(max_connections=100, max_per_address=1)
    ) as found:
        first = await found.open(ANNOUNCED + b"GET / HTTP/1.1\r\n")
        await found.until(lambda: found.connections._of != {})
        other = await found.says(ANNOUNCED.replace(b".7", b".8") + LAST_GET)
        same = await found.says(ANNOUNCED + LAST_GET)

        assert b"hello 203.0.113.8" in other
        assert b"hello 203.0.113.7" in same, "the idle one gave way"
        assert await first.rest() == b""


@pytest.mark.parametrize(
    "data", [LAST_GET, b"PROXY TCP4 nonsense\r\n" + LAST_GET, b"\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\x00"]
)
async def test_who_announces_nobody_is_hung_up_on(data: bytes) -> None:
    before = cut("no-announcement")
    async with doors(doorway=Doorway(balancers=LOOPBACK)) as found:
        assert await found.says(data) == b""
        assert len(found.connections) == 0
    assert cut("no-announcement") == before + 1


async def test_a_stranger_announces_nobody() -> None:
    before = cut("no-balancer")
    async with doors(doorway=Doorway(balancers=(ip_network("192.0.2.0/24"),))) as found:
        assert await found.says(ANNOUNCED + LAST_GET) == b""
    assert cut("no-balancer") == before + 1


async def test_where_nobody_is_to_announce_an_announcement_is_no_http() -> None:
    async with doors(trusted=LOOPBACK) as found:
        assert whole_reply(await found.says(ANNOUNCED + LAST_GET)).status == 400


async def test_an_announcement_that_does_not_come_is_not_waited_for() -> None:
    async with doors(doorway=Doorway(balancers=LOOPBACK), bounds=Bounds(header_timeout_s=0.05)) as found:
        assert await found.says(ANNOUNCED[:20]) == b""
        assert len(found.connections) == 0


async def test_tls_after_an_announcement(tmp_path: Path) -> None:
    pair = certificate.made(tmp_path)
    doorway = Doorway(balancers=LOOPBACK, certificates=Certificates(pair.certificate, pair.key))
    async with doors(doorway=doorway) as found:
        client = await found.open(ANNOUNCED)
        await client.writer.start_tls(pair.trusting(), server_hostname="shop.example")
        client.send(LAST_GET)

        assert b"hello 203.0.113.7" in await client.rest()
        client.close()


async def test_who_shakes_no_hands_is_not_waited_for_and_harms_nobody(tmp_path: Path) -> None:
    pair = certificate.made(tmp_path)
    doorway = Doorway(certificates=Certificates(pair.certificate, pair.key))
    async with doors(doorway=doorway, bounds=Bounds(header_timeout_s=0.5)) as found:
        silent = await found.open()
        plain = await found.says()
        await silent.rest()

        assert b"HTTP/1.1 200" not in plain
        await found.until(lambda: len(found.connections) == 0)


async def test_old_tls_is_refused(tmp_path: Path) -> None:
    pair = certificate.made(tmp_path)
    doorway = Doorway(certificates=Certificates(pair.certificate, pair.key))
    old = pair.trusting()
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    async with doors(doorway=doorway) as found:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await asyncio.open_connection("127.0.0.1", found.port, ssl=old, server_hostname="shop.example")


async def test_a_new_certificate_is_for_new_handshakes_and_the_open_connection_goes_on(tmp_path: Path) -> None:
    first, second = certificate.made(tmp_path, "first"), certificate.made(tmp_path, "second")
    certificates = Certificates(first.certificate, first.key)
    async with doors(doorway=Doorway(certificates=certificates)) as found:
        client = await found.open()
        old = ssl.create_default_context(cafile=str(first.certificate))
        await client.writer.start_tls(old, server_hostname="shop.example")
        client.send(GET)
        await client.answer()

        first.replace_by(second)
        certificates.renew()

        client.send(GET)
        assert b"hello" in await client.answer()
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", found.port, ssl=old, server_hostname="shop.example")
        anew = await found.open()
        await anew.writer.start_tls(second.trusting(), server_hostname="shop.example")
        anew.send(LAST_GET)
        assert b"hello" in await anew.rest()
        client.close()
        anew.close()


@pytest.fixture
def all_files() -> Iterator[Callable[[], None]]:
    """Give what lets no more files be opened than are open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken: list[int] = []

    def take_all() -> None:
        highest = max(int(one.name) for one in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        with suppress(OSError):
            while True:  # the gaps below
                taken.append(os.open("/dev/null", os.O_RDONLY))

    yield take_all
    for one in taken:
        os.close(one)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_out_of_files_idle_connections_give_way_and_it_goes_on(
    all_files: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    async with doors() as found:
        for _ in range(10):
            await found.open()
        await found.until(lambda: len(found.connections) == 10)
        loop = asyncio.get_running_loop()
        with socket.socket() as one_more:
            one_more.setblocking(False)
            all_files()
            await loop.sock_connect(one_more, ("127.0.0.1", found.port))
            await loop.sock_sendall(one_more, LAST_GET)
            async with asyncio.timeout(60):
                answer = await loop.sock_recv(one_more, 65536)

    assert answer.startswith(b"HTTP/1.1 200")
    assert "cannot accept" in caplog.text


async def test_the_refused_are_let_go_after_a_while() -> None:
    clock = FakeClock()
    async with doors(bounds=Bounds(max_connections=1, max_per_address=1), clock=clock) as found:
        found.connections.take()
        refused = await found.open()
        assert b"503" in await refused.rest()
        refused.send(b"x")
        await refused.writer.drain()

        await clock.advance(3)

        assert not found.acceptor._refused and not found.acceptor._refused_before
        refused.close()
