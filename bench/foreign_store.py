"""Put a shop that others wrote behind the waiting room, and go through it with a real browser.

    python -m bench.foreign_store [--environment .foreign]        or: make foreign-store

The shop is django-oscar (bench/oscar_store.py), unchanged. A visitor waits, is let in, signs in, uploads a picture,
fills a basket, follows redirects, signs out. Each claim is printed once it was seen to hold; the first that does not
ends the run with status 1. What came of it stands in docs/foreign-store.md.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from shutil import which
from urllib.parse import urlencode

from playwright.sync_api import Page, expect, sync_playwright

from bench.oscar_store import PACKAGES, PASSWORD, ROOT, STAFF, OscarStore
from tests.browser_visitor import DESK, Visitor, visiting
from tests.whole_site import read, until
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.tokens import Keys, UpstreamPassSigner

SECRET = "of-a-bench-that-is-32-characters-long"
SHOE = "/catalogue/meridian_1/"
_OSCARS_OWN = re.compile(r"ajax\.googleapis\.com|TinyMCE is running in evaluation mode")
"""What the browser says of Oscar's pages wherever they come from: a library on the open net, an editor's licence."""
CHECKED = {
    "FIRST_MIDDLEWARE": "waitroom.verify.django.PassMiddleware",
    "WAITROOM_UPSTREAM_SECRET": UpstreamPassSigner.upstream_secret(Keys([SECRET.encode()])),
    "BEHIND_TLS": "1",
}
_ROOM = """
[edge]
listen = "127.0.0.1:{port}"
public_origin = "http://127.0.0.1:{port}"
workers = 2
trusted_proxies = ["127.0.0.0/8"]
max_body = "16MiB"
drain_timeout = "3s"
[ops]
listen = "127.0.0.1:{ops_port}"
[redis]
folder = "valkey"
[[upstreams]]
name = "shop"
url = "http://127.0.0.1:{store_port}"
[[rooms]]
name = "drop"
paths = ["/catalogue/", "/basket/", "/checkout/"]
queueing_method = "fifo"
challenge = {{ difficulty = 10, steps = 4 }}
poll = {{ floor = "200ms", ceiling = "1s", divisor = 10 }}
"""


@dataclass(frozen=True)
class Site:
    """The waiting room before the shop, by its ports."""

    port: int
    ops_port: int
    store_port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ops(self, what: str) -> None:
        headers = {"Authorization": "Bearer of-a-bench-that-is-long-enough-too", "Content-Type": "application/json"}
        url = f"http://127.0.0.1:{self.ops_port}/api/rooms/drop/{what}"
        assert read(url, b"{}", headers), f"the console did not {what}"


def holds(claim: str, is_so: object = True) -> None:
    """Print what was seen to hold; end the run where it does not."""
    print(("  ok    " if is_so else "  FAILS ") + claim, flush=True)
    if not is_so:
        raise SystemExit(1)


@contextmanager
def waiting_room(folder: Path, site: Site) -> Iterator[None]:
    """Run `waitroom serve` while the block lasts."""
    settings = folder / "waitroom.toml"
    settings.write_text(_ROOM.format(port=site.port, ops_port=site.ops_port, store_port=site.store_port))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAITROOM_", "REDIS_"))}
    ours = {"WAITROOM_SECRET": SECRET, "WAITROOM_CONSOLE_TOKEN": "of-a-bench-that-is-long-enough-too"}
    argv = [sys.executable, "-m", "waitroom", "serve", "-c", str(settings)]
    with (folder / "room.log").open("wb") as log:
        environment = kept | ours | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(argv, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        until(lambda: read(f"{site.url}/.waitroom/readyz"), within_s=60)
        until(lambda: read(f"http://127.0.0.1:{site.ops_port}/healthz"), within_s=60)
        yield
    finally:
        process.terminate()
        process.wait(60)


def ask(
    port: int, method: str, path: str, headers: Mapping[str, str] | None = None, body: str | None = None
) -> tuple[int, Mapping[str, str], str]:
    """Ask without a browser, and follow nothing."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, body, dict(headers or {}))
    answer = connection.getresponse()
    text = answer.read().decode("utf-8", "replace")
    cookies = "; ".join(line.partition(";")[0] for line in answer.headers.get_all("Set-Cookie") or [])
    connection.close()
    return answer.status, {**{n.lower(): v for n, v in answer.headers.items()}, "cookies": cookies}, text


def picture() -> bytes:
    """Return a picture of 3 MB that nothing can make smaller."""
    side = 1000
    rows = b"".join(b"\0" + os.urandom(3 * side) for _ in range(side))

    def chunk(kind: bytes, held: bytes) -> bytes:
        return len(held).to_bytes(4, "big") + kind + held + zlib.crc32(kind + held).to_bytes(4, "big")

    header = side.to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b"")


# What a visitor does


def waits_and_comes_in(page: Page, site: Site) -> None:
    site.ops("pause")
    until(lambda: read(f"{site.url}/.waitroom/drop/pulse").get("phase") == "paused")
    page.goto(f"{site.url}{SHOE}?colour=red")
    expect(page.locator("body")).not_to_contain_text("Add to cart")
    until(lambda: read(f"{site.url}/.waitroom/drop/pulse")["lanes"]["main"]["waiting"] == 1, within_s=60)
    holds("a visitor of a guarded page waits, under its own address", page.url == f"{site.url}{SHOE}?colour=red")
    status = ask(site.port, "GET", "/accounts/login/")[0]
    holds("what no room guards is open meanwhile", status == 200)
    site.ops("resume")
    expect(page.get_by_role("heading", name="Meridian One")).to_be_visible(timeout=60_000)
    holds("called, they see the page they asked for", page.url == f"{site.url}{SHOE}?colour=red")


def signs_in(page: Page, site: Site) -> None:
    page.goto(f"{site.url}/accounts/login/?next={SHOE}")
    page.locator("[name=login-username]").fill(STAFF)
    page.locator("[name=login-password]").fill(PASSWORD)
    page.locator("[name=login_submit]").click()
    expect(page.get_by_role("link", name="Logout")).to_be_visible()
    holds("signs in, and is sent on to the page named in `next`", page.url == f"{site.url}{SHOE}")
    page.goto(f"{site.url}/elsewhere")
    holds("follows an absolute redirect, which names the public address", page.url == f"{site.url}/catalogue/")


def uploads(page: Page, site: Site, folder: Path, media: Path) -> None:
    sent = picture()
    (folder / "shoe.png").write_bytes(sent)
    page.goto(f"{site.url}/dashboard/catalogue/products/1/")
    page.locator("a[href='#product_images']").first.click()
    page.locator("[name=images-0-original]").set_input_files(folder / "shoe.png")
    page.locator("form button[name=action][value=save], form button[type=submit]:has-text('Save')").last.click()
    expect(page.locator(".alert-success").first).to_be_visible(timeout=60_000)
    (kept,) = (file for file in media.rglob("shoe*.png") if "cache" not in file.parts)
    holds(f"uploads a picture of {len(sent):,} bytes, which arrives whole", kept.read_bytes() == sent)
    back = page.context.request.get(f"{site.url}/media/{kept.relative_to(media)}")
    holds("and comes back whole", back.body() == sent)
    page.goto(f"{site.url}{SHOE}")
    width = page.locator("img[alt='Meridian One']").first.evaluate("async i => (await i.decode(), i.naturalWidth)")
    holds("sees it on the product's page", width > 0)


def buys(page: Page, site: Site) -> None:
    page.goto(f"{site.url}{SHOE}")
    page.get_by_role("button", name="Add to cart").first.click()
    expect(page.locator(".alert-success, .alert-info").first).to_contain_text("Meridian One")
    page.goto(f"{site.url}/basket/")
    expect(page.locator("#content_inner")).to_contain_text("Meridian One")
    holds("puts it into the basket, which is a form, a redirect and a message in a cookie")
    page.goto(f"{site.url}/checkout/")
    page.wait_for_url(re.compile(r"/checkout/(payment-details|shipping-address|preview|shipping)"))
    holds("the checkout leads on through its redirects", page.url.startswith(f"{site.url}/checkout/"))


def is_seen_as_it_is(visitor: Visitor, site: Site) -> None:
    inside, outside = (
        json.loads(visitor.context.request.get(f"{site.url}{path}about-this-request").text())
        for path in ("/catalogue/", "/")
    )
    host = f"127.0.0.1:{site.port}"
    holds(
        "the shop sees its public host, and makes absolute addresses of it", inside["absolute"] == f"{site.url}/there"
    )
    holds("and the visitor's own address", (inside["host"], inside["address"]) == (host, "127.0.0.1"))
    ours = [name for name in inside["cookies"] if "wr_" in name]
    holds("its own cookies and none of ours", "sessionid" in inside["cookies"] and not ours)
    holds("a pass inside the room, and none outside", (inside["pass"], outside["pass"]) == (True, False))


def is_as_fast_as_direct(site: Site) -> None:
    style = "/static/oscar/css/styles.css"
    through, direct = (ask(port, "GET", style, {"Accept-Encoding": "gzip"}) for port in (site.port, site.store_port))
    alike = all(
        through[1].get(n) == direct[1].get(n) for n in ("etag", "last-modified", "cache-control", "content-length")
    )
    holds(
        "a static file comes with the headers the shop gave it", alike and through[0] == 200 and through[2] == direct[2]
    )
    again = ask(site.port, "GET", style, {"If-Modified-Since": through[1]["last-modified"]})
    part = ask(site.port, "GET", style, {"Range": "bytes=0-9"})
    holds("a conditional request is 304, a range 206", (again[0], part[0], len(part[2])) == (304, 206, 10))


def signs_out(page: Page, site: Site) -> None:
    page.goto(f"{site.url}{SHOE}")
    page.get_by_role("link", name="Logout").click()
    expect(page.get_by_role("link", name="Login or register")).to_be_visible()
    page.goto(f"{site.url}{SHOE}")
    expect(page.get_by_role("heading", name="Meridian One")).to_be_visible()
    holds("signs out, and is still inside the room")


def posts_as(site: Site, origin: str, *, scheme: str) -> int:
    """Sign in as a browser would behind something that ends TLS and sets X-Forwarded-Proto; return the status."""
    host = "shop.example"
    said = {"Host": host, "X-Forwarded-Proto": scheme, "Origin": origin, "Referer": f"{origin}/accounts/login/"}
    _, headers, page = ask(site.port, "GET", "/accounts/login/", said)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)
    assert token, page
    form = {"csrfmiddlewaretoken": token[1], "login-username": STAFF, "login-password": PASSWORD, "login_submit": "1"}
    sent = said | {"Cookie": headers["cookies"], "Content-Type": "application/x-www-form-urlencoded"}
    return ask(site.port, "POST", "/accounts/login/", sent, urlencode(form))[0]


def main() -> int:
    """Go through it all in a folder of its own."""
    parser = argparse.ArgumentParser(prog="bench.foreign_store", description=__doc__)
    parser.add_argument("--environment", type=Path, default=ROOT / ".foreign", help="where Oscar is installed")
    environment = parser.parse_args().environment.absolute()
    chromium = next(filter(None, map(which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        print("bench.foreign_store needs a browser: apt-get install chromium", file=sys.stderr)
        return 2
    expect.set_options(timeout=30_000)
    with tempfile.TemporaryDirectory(prefix="wr-foreign-") as made, sync_playwright() as playwright:
        folder = Path(made)
        (folder / "shop").mkdir()
        store = OscarStore.made(environment, folder / "shop")
        site = Site(*(free_loopback().port for _ in range(3)))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        with waiting_room(folder, site), visiting(browser, DESK) as visitor:
            go_through(site, store, visitor, folder)
        browser.close()
    return 0


def go_through(site: Site, store: OscarStore, visitor: Visitor, folder: Path) -> None:
    """Do everything once before the shop as it is, then again before one that checks passes and knows of TLS."""
    log = folder / "shop.log"
    print(f"{PACKAGES[0]}, {PACKAGES[1]}, unchanged")
    with store.running(site.store_port, log):
        until(lambda: ask_safely(site.store_port), within_s=60)
        page = visitor.page
        waits_and_comes_in(page, site)
        signs_in(page, site)
        uploads(page, site, folder, store.folder / "media")
        buys(page, site)
        is_seen_as_it_is(visitor, site)
        is_as_fast_as_direct(site)
        signs_out(page, site)
        faults = [fault for fault in visitor.faults if not _OSCARS_OWN.search(fault)]
        holds(f"the browser had nothing to complain of {faults or ''}", not faults)
        shop, evil = "https://shop.example", "https://evil.example"
        holds(
            "a form that another site sends is refused by the shop's own check",
            posts_as(site, evil, scheme="https") == 403,
        )
        holds("over TLS, an unprepared shop refuses its own forms too", posts_as(site, shop, scheme="https") == 403)
    print("with SECURE_PROXY_SSL_HEADER, and with waitroom.verify.django first in MIDDLEWARE")
    with store.running(site.store_port, log, **CHECKED):
        until(lambda: ask_safely(site.store_port), within_s=60)
        holds("over TLS, its own forms are taken", posts_as(site, shop, scheme="https") == 302)
        holds("and those of another site are not", posts_as(site, evil, scheme="https") == 403)
        visitor.page.goto(f"{site.url}{SHOE}")
        expect(visitor.page.get_by_role("heading", name="Meridian One")).to_be_visible()
        holds("who is inside still sees the product")
        holds("who comes to the shop directly does not", ask(site.store_port, "GET", SHOE)[0] == 403)
        holds("and sees the rest", ask(site.store_port, "GET", "/accounts/login/")[0] == 200)


def ask_safely(port: int) -> bool:
    """Tell whether somebody serves on `port`."""
    try:
        return ask(port, "GET", "/accounts/login/")[0] == 200
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main())
