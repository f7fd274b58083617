"""Other people's proxies, run from the very examples in config/, before a gate and a store that logs raw bytes."""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, ClientSession, DummyCookieJar
from yarl import URL

from tests.edges import HTML, Front, Store, front
from tests.origin import Origin, origin
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.challenges import solve

CONFIG = Path(__file__).parents[1] / "config"
STORE, GATE = "127.0.0.1:9000", "127.0.0.1:8080"
"""What the examples say; a test puts its own ports in their place."""
EXAMPLES = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}


@dataclass
class Site:
    """A shop behind somebody else's proxy."""

    kind: str
    port: int
    gate: Front
    origin: Origin

    async def talk(self, target: str, *lines: str, method: str = "GET", body: bytes = b"") -> bytes:
        """Send bytes as they stand, and return all that comes back."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 22)
        length = [f"Content-Length: {len(body)}"] if body else []
        head = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", "Connection: close", *length, *lines]
        writer.write("\r\n".join([*head, "", ""]).encode() + body)
        try:
            async with asyncio.timeout(60):
                return await reader.read(-1)
        finally:
            writer.close()


@dataclass
class Browser:
    """A shopper with a cookie jar that follows redirects by hand, and so shows each of them."""

    site: Site
    session: ClientSession
    cookies: dict[str, str] = field(default_factory=dict)

    async def call(self, method: str, target: str, **kept: Any) -> ClientResponse:
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        headers = {**HTML, **(cookies if self.cookies else {}), **kept.pop("headers", {})}
        url = target if target.startswith("http:") else f"http://127.0.0.1:{self.site.port}{target}"
        answer = await self.session.request(
            method, URL(url, encoded=True), headers=headers, allow_redirects=False, **kept
        )
        await answer.read()
        for line in answer.headers.getall("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
            if "Max-Age=0" in line:
                del self.cookies[name]
        return answer

    async def open(self, target: str) -> tuple[ClientResponse, list[str]]:
        """Go wherever a browser would go; return the last answer, and the paths on the way."""
        way: list[str] = []
        while len(way) < 20:
            answer = await self.call("GET", target)
            if answer.status != 303:
                return answer, way
            target = answer.headers["Location"]
            way.append(re.sub(r"^http://127\.0\.0\.1:\d+|\?.*", "", target))
        raise AssertionError(way)

    async def join(self) -> None:
        posed = await (await self.call("POST", "/.waitroom/drop/challenge")).json()
        solved = {"challenge": posed["challenge"], "solution": solve(posed["challenge"])}
        answer = await self.call("POST", "/.waitroom/drop/queue/register", json=solved)
        assert answer.status in {200, 201}, await answer.text()

    async def claim(self) -> ClientResponse:
        return await self.call("POST", "/.waitroom/drop/queue/claim", json={})


@asynccontextmanager
async def browser(site: Site) -> AsyncIterator[Browser]:
    async with ClientSession(cookie_jar=DummyCookieJar()) as session:
        yield Browser(site, session)


def needed(program: str) -> str:
    """Return where a program is; skip, loudly, where it is missing."""
    found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None and os.environ.get("CI"):
        pytest.fail(f"no {program} on this machine: apt-get install {program}")
    if found is None:
        pytest.skip(f"NOT TESTED with {program}: apt-get install {program}")
    return found


@asynccontextmanager
async def site(
    kind: str, redis: ScriptRunner, keys: Keys, *, example: str | None = None, **room: Any
) -> AsyncIterator[Site]:
    """Run the example of one front before a gate whose room is `drop`, and a store that answers "ok"."""
    program = needed(kind)
    rules: dict[str, Any] = {"queueing_method": "fifo", "new_users_per_minute": 60_000.0, **room}
    edge = {"trusted_proxies": ["127.0.0.0/8"], **rules.pop("edge", {})}
    with _folder() as folder:
        async with origin() as shop, front(redis, keys, Store(url=shop.url), edge=edge, **rules) as gate:
            port = free_loopback().port
            addresses = {
                STORE: shop.url.removeprefix("http://"),
                GATE: f"127.0.0.1:{gate.client.port}",
            }
            with _running(kind, program, folder, example or EXAMPLES[kind], port, addresses) as process:
                await _listening(port, process, folder / "log")
                yield Site(kind, port, gate, shop)


@contextmanager
def _folder() -> Iterator[Path]:
    """Give a folder that goes in the end; not pytest's, which nginx's workers cannot reach when we are root."""
    folder = Path(tempfile.mkdtemp(prefix="wr-front-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _running(
    kind: str, program: str, folder: Path, example: str, port: int, addresses: dict[str, str]
) -> Iterator["subprocess.Popen[bytes]"]:
    text = (CONFIG / example).read_text("utf-8")
    assert GATE in text
    for written, ours in addresses.items():
        text = text.replace(written, ours)
    file = folder / example
    file.write_text(_here(kind, text, folder, port))
    environment = {**os.environ, "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "HOME": str(folder)}
    log = (folder / "log").open("ab")
    process = subprocess.Popen([program, *_arguments(kind, file, folder)], env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)
        log.close()


def _here(kind: str, text: str, folder: Path, port: int) -> str:
    """Return an example with this machine's port and folders in it; all else stays as it stands."""
    match kind:
        case "nginx":
            kept = "".join(f"{name}_temp_path {folder}/{name}; " for name in ("proxy", "fastcgi", "uwsgi", "scgi"))
            text = _replaced(text, "http {", f"http {{ access_log off; client_body_temp_path {folder}/body; {kept}")
            text = text.replace("/var/cache/nginx", str(folder))
            return _replaced(text, "\n        listen 80;", f"\n        listen 127.0.0.1:{port};")
        case "haproxy":
            text = _replaced(text, "/etc/haproxy/haproxy-forward-auth.lua", str(CONFIG / "haproxy-forward-auth.lua"))
            return _replaced(text, "bind :80\n", f"bind 127.0.0.1:{port}\n")
        case _:
            return "{\n\tadmin off\n}\n" + _replaced(text, "\nshop.example {", f"\nhttp://127.0.0.1:{port} {{")


def _replaced(text: str, written: str, ours: str) -> str:
    assert text.count(written) == 1, written
    return text.replace(written, ours)


def _arguments(kind: str, file: Path, folder: Path) -> list[str]:
    match kind:
        case "nginx":
            main = f"daemon off; pid {folder}/nginx.pid; error_log stderr;"
            return ["-c", str(file), "-p", str(folder), "-g", main]
        case "haproxy":
            return ["-db", "-f", str(file)]
        case _:
            return ["run", "--config", str(file), "--adapter", "caddyfile"]


async def _listening(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    async with asyncio.timeout(60):
        while True:
            assert process.poll() is None, log.read_text("utf-8", "replace")
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            return
