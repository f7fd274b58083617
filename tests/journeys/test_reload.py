"""SIGHUP under load: every worker is replaced, nobody finds the door closed, and what is wrong changes nothing."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests import certificate
from tests.conftest import eventually
from tests.origin import Origin, Seen, Writer, origin
from tests.whole_site import ROOT, processes
from waitroom.kernel.ports import free_loopback

pytestmark = [pytest.mark.journey, pytest.mark.timeout(300)]

REQUESTS = 20_000
KEEPING, COMING = 12, 4
LIMIT_S = 120

CONFIG = """
[edge]
listen = "127.0.0.1:{port}"
workers = {workers}
drain_timeout = "10s"
{more}
[ops]
listen = "127.0.0.1:{ops_port}"
[redis]
folder = "valkey"
[[upstreams]]
name = "store"
url = "{store}"
[[rooms]]
name = "drop"
title = "{title}"
paths = ["/drop/"]
"""


@dataclass
class Site:
    """`waitroom serve`, whose settings a test changes while it runs."""

    folder: Path
    store: str
    port: int = field(default_factory=lambda: free_loopback().port)
    ops_port: int = field(default_factory=lambda: free_loopback().port)
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def file(self) -> Path:
        return self.folder / "waitroom.toml"

    @property
    def log(self) -> str:
        return (self.folder / "out.log").read_text("utf-8", "replace")

    def write(self, *, title: str = "one", workers: int = 2, more: str = "") -> None:
        facts = {"port": self.port, "ops_port": self.ops_port, "store": self.store}
        self.file.write_text(CONFIG.format(title=title, workers=workers, more=more, **facts))

    def hang_up(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)

    def workers(self) -> set[int]:
        return {pid for pid, line in processes(self.folder).items() if " _worker " in line}

    async def says(self, what: str, times: int = 1) -> None:
        await eventually(lambda: self.log.count(what) >= times, within_s=LIMIT_S)


@asynccontextmanager
async def serving(store: str, **settings: str) -> AsyncIterator[Site]:
    with tempfile.TemporaryDirectory(prefix="wr-reload-") as folder:
        site = Site(Path(folder), store)
        site.write(**settings)  # type: ignore[arg-type]  # text, all of it
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAITROOM_", "REDIS_"))}
        kept |= {"WAITROOM_SECRET": "s" * 32, "PYTHONPATH": str(ROOT)}
        with (site.folder / "out.log").open("wb") as out:
            argv = [sys.executable, "-m", "waitroom", "serve", "-c", str(site.file)]
            site.process = subprocess.Popen(argv, cwd=folder, env=kept, stdout=out, stderr=out)
        try:
            await site.says("listening", times=3)  # two workers and the console
            yield site
        except BaseException:
            sys.stderr.write(site.log[-6000:])
            raise
        finally:
            site.process.terminate()
            await eventually(lambda: site.process is None or site.process.poll() is not None, within_s=LIMIT_S)
        assert site.process.returncode == 0, site.log[-4000:]
        assert processes(site.folder) == {}


@dataclass
class Load:
    """Requests without a pause, from clients that keep their connection and from clients that come anew."""

    port: int
    answered: int = 0
    by_new: int = 0
    lost: list[str] = field(default_factory=list)
    is_over: bool = False

    def request(self, number: int, *more: bytes) -> bytes:
        path = (
            b"/at/the/store"
            if number % 8 == 0
            else b"/.waitroom/drop/pulse"
            if number % 8 == 1
            else b"/.waitroom/healthz"
        )
        return b"\r\n".join([b"GET " + path + b" HTTP/1.1", b"Host: shop.example", *more, b"", b""])

    async def keep(self) -> None:
        number = 0
        while not self.is_over:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                is_last = False
                while not (is_last or self.is_over):
                    number += 1
                    writer.write(self.request(number))
                    head = await reader.readuntil(b"\r\n\r\n")
                    await reader.readexactly(length_of(head))
                    self.note(head, number)
                    is_last = b"\r\nConnection: close" in head
            except (OSError, asyncio.IncompleteReadError) as fault:
                self.lost.append(f"request {number} on a connection that was kept: {fault!r}")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    async def come(self) -> None:
        number = 0
        while not self.is_over:
            number += 1
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
                try:
                    writer.write(self.request(number, b"Connection: close"))
                    head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
                    assert len(body) == length_of(head + b"\r\n"), "half an answer"
                    self.note(head, number)
                    self.by_new += 1
                finally:
                    writer.close()
                    with suppress(OSError):
                        await writer.wait_closed()
            except (OSError, AssertionError) as fault:
                self.lost.append(f"request {number} on a new connection: {fault!r}")

    def note(self, head: bytes, number: int) -> None:
        self.answered += 1
        if not head.startswith(b"HTTP/1.1 200 "):
            self.lost.append(f"request {number}: {head[:60]!r}")


def length_of(head: bytes) -> int:
    return int(head.lower().partition(b"\r\ncontent-length: ")[2].partition(b"\r\n")[0] or -1)


async def websocket(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
    """Switch for the key of RFC 6455 §1.3, and say nothing."""
    writer.write(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    )
    with suppress(OSError):
        await reader.read(-1)


SWITCH = (
    b"GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


async def test_under_constant_load_two_reloads_lose_no_request(store: Origin) -> None:
    store.scripts[b"/ws"] = websocket
    async with serving(store.url) as site:
        load = Load(site.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(SWITCH)
        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            for client in [load.keep] * KEEPING + [load.come] * COMING:
                group.create_task(client())
            for number, title in enumerate(("two", "three"), start=1):
                before = site.workers()
                enough = load.answered + REQUESTS // 4
                await eventually(lambda enough=enough: load.answered > enough, within_s=LIMIT_S)
                site.write(title=title)
                site.hang_up()
                await site.says("settings taken over", times=number)
                await eventually(lambda before=before: not before & site.workers(), within_s=LIMIT_S)
            await eventually(lambda: load.answered >= REQUESTS, within_s=LIMIT_S)
            load.is_over = True

        assert load.lost == []
        assert load.answered >= REQUESTS
        assert load.by_new > REQUESTS // 40
        assert len(site.workers()) == 2
        async with asyncio.timeout(LIMIT_S):
            assert await reader.read(4) == b"\x88\x02\x03\xf4", "1012: come back"
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def test_settings_that_are_wrong_change_nothing_even_for_a_worker_that_starts_again(store: Origin) -> None:
    async with serving(store.url) as site:
        before = site.workers()
        site.file.write_text(site.file.read_text().replace('name = "drop"', 'name = "drop"\npaht = "typo"'))
        site.hang_up()
        await site.says("new settings refused, the old ones go on")
        assert site.workers() == before

        os.kill(min(before), signal.SIGKILL)
        await site.says("listening", times=4)

        assert len(site.workers()) == 2
        assert "paht" in site.log


async def test_what_cannot_change_without_a_restart_is_told(store: Origin) -> None:
    async with serving(store.url) as site:
        before = site.workers()
        site.port = free_loopback().port
        site.write(title="elsewhere")
        site.hang_up()
        await site.says("edge.listen: cannot change without a restart")

        assert site.workers() == before


async def test_the_number_of_workers_may_change(store: Origin) -> None:
    async with serving(store.url) as site:
        site.write(workers=3)
        site.hang_up()
        await site.says("settings taken over")
        await eventually(lambda: len(site.workers()) == 3, within_s=LIMIT_S)
        site.write(workers=1)
        site.hang_up()
        await site.says("settings taken over", times=2)

        await eventually(lambda: len(site.workers()) == 1, within_s=LIMIT_S)


async def test_a_new_certificate_needs_no_new_worker(store: Origin, tmp_path: Path) -> None:
    pair, newer = certificate.made(tmp_path, "shop"), certificate.made(tmp_path, "newer")
    files = f'tls_certificate = "{pair.certificate}"\ntls_key = "{pair.key}"\n'
    async with serving(store.url, more=files) as site:
        before = site.workers()
        trusting = ssl.create_default_context(cafile=str(pair.certificate))
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", site.port, ssl=trusting, server_hostname="shop.example"
        )
        writer.write(Load(site.port).request(2))
        await reader.readexactly(length_of(await reader.readuntil(b"\r\n\r\n")))

        pair.certificate.write_text("half a fi")
        site.hang_up()
        await site.says("certificate", times=1)
        pair.replace_by(newer)
        site.hang_up()
        await site.says("certificate renewed", times=2)

        writer.write(Load(site.port).request(2))
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        with pytest.raises(ssl.SSLCertVerificationError):
            await asyncio.open_connection("127.0.0.1", site.port, ssl=trusting, server_hostname="shop.example")
        anew = ssl.create_default_context(cafile=str(newer.certificate))
        _, other = await asyncio.open_connection("127.0.0.1", site.port, ssl=anew, server_hostname="shop.example")
        assert site.workers() == before
        for one in (writer, other):
            one.close()
            with suppress(OSError):
                await one.wait_closed()


@pytest.fixture
async def store() -> AsyncIterator[Origin]:
    async with origin() as made:
        yield made
