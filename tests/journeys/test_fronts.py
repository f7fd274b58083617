"""Shoppers behind nginx, HAProxy and Caddy, each run from its example: they wait, come in, and nobody comes round."""

import asyncio
import io

import pytest

from tests.fronts import EXAMPLES, Browser, Site, browser, site
from tests.origin import Seen, Writer
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, UpstreamPassSigner

FRONTS = pytest.mark.parametrize("kind", EXAMPLES)
JSON = {"Accept": "application/json", "Sec-Fetch-Mode": "cors"}


def shown_pass(site: Site, keys: Keys) -> str:
    """Return the session that the store was shown last, by a signature of ours."""
    (text,) = site.origin.seen[-1].all("Waitroom-Pass")
    return UpstreamPassSigner(keys).verify(text, room="drop", now_ms=site.gate.edge.rooms.now_ms()).session_id


def cookie_of(shopper: Browser) -> str:
    return "; ".join(f"{name}={value}" for name, value in shopper.cookies.items())


@FRONTS
async def test_a_shopper_waits_claims_and_reaches_the_store(kind: str, redis: ScriptRunner, keys: Keys) -> None:
    async with (
        site(kind, redis, keys, total_active_users=1) as shop,
        browser(shop) as first,
        browser(shop) as second,
    ):
        inside, way = await first.open("/drop/shoe?size=42&x=a%2Fb")
        page, waited = await second.open("/drop/shoe")
        await second.join()
        early = await second.claim()
        await first.call("POST", "/.waitroom/drop/queue/leave")
        await shop.gate.tick()
        claimed = await second.claim()
        after, _ = await second.open("/drop/shoe")

        assert (inside.status, await inside.text()) == (200, "ok")
        assert way == ["/.waitroom/drop/enter", "/.waitroom/drop/wait", "/drop/shoe"]
        assert shop.origin.seen[0].target == b"/drop/shoe?size=42&x=a%2Fb"
        assert waited[-1] == "/.waitroom/drop/wait"
        assert "waiting room" in await page.text()
        assert (early.status, claimed.status) == (425, 200)
        assert await after.text() == "ok"
        assert len(shown_pass(shop, keys)) > 10
        assert len(shop.origin.seen) == 2


@FRONTS
async def test_what_is_outside_the_room_or_exempt_passes_unasked(kind: str, redis: ScriptRunner, keys: Keys) -> None:
    async with site(kind, redis, keys, opens_in_s=600, exempt_paths=["/drop/feed"]) as shop:
        for target in ("/", "/about?x=%2F&y", "/drop/feed"):
            answer = await shop.talk(target)

            assert answer.endswith(b"\r\n\r\nok"), answer
            assert shop.origin.seen[-1].target == target.encode()
            assert shop.origin.seen[-1].all("Waitroom-Pass") == []


@FRONTS
async def test_a_form_sent_while_waiting_is_neither_lost_nor_passed_on(
    kind: str, redis: ScriptRunner, keys: Keys
) -> None:
    async with site(kind, redis, keys, opens_in_s=600) as shop, browser(shop) as shopper:
        form = await shopper.call("POST", "/drop/order", data={"a": "b"})
        api = await shopper.call("POST", "/drop/api", json={"a": "b"}, headers=JSON)
        xhr = await shopper.call("GET", "/drop/api", headers=JSON)

        for answer in (form, api, xhr):
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert answer.headers["Cache-Control"] == "no-store"
        assert "nothing of what you sent was passed on" in await form.text()
        assert (await api.json())["challenge"] == "/.waitroom/drop/challenge"
        assert shop.origin.seen == []


@FRONTS
async def test_with_the_gate_gone_the_site_is_closed_with_calm_words(
    kind: str, redis: ScriptRunner, keys: Keys
) -> None:
    async with site(kind, redis, keys) as shop, browser(shop) as shopper:
        await shopper.open("/drop/")
        before = len(shop.origin.seen)
        await shop.gate.client.server.close()
        answers = [await shopper.call("GET", "/drop/"), await shopper.call("POST", "/drop/order", data={"a": "b"})]

        for answer in answers:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert "This page tries again by itself" in await answer.text()
        assert len(shop.origin.seen) == before


@FRONTS
async def test_what_the_store_says_passes_as_it_is(kind: str, redis: ScriptRunner, keys: Keys) -> None:
    def said(status: str, *headers: str) -> bytes:
        return "\r\n".join([f"HTTP/1.1 {status}", *headers, "Content-Length: 2", "", "no"]).encode()

    async with site(kind, redis, keys) as shop, browser(shop) as shopper:
        shop.origin.scripts |= {
            b"/drop/401": said("401 Unauthorized", "WWW-Authenticate: Basic"),
            b"/drop/500": said("500 Internal Server Error"),
            b"/drop/404": said("404 Not Found"),
            b"/drop/302": said("302 Found", "Location: /drop/next", "Set-Cookie: a=1", "Set-Cookie: b=2"),
            b"/drop/thanks": said("200 OK", "Waitroom-Command: revoke"),
        }
        await shopper.open("/drop/")
        answers = {name: await shopper.call("GET", f"/drop/{name}") for name in ("401", "500", "404", "302", "thanks")}

        assert [one.status for one in answers.values()] == [401, 500, 404, 302, 200]
        assert {await one.text() for one in answers.values()} == {"no"}
        assert answers["401"].headers["WWW-Authenticate"] == "Basic"
        assert answers["302"].headers.getall("Set-Cookie") == ["a=1", "b=2"]
        assert "Waitroom-Command" not in answers["thanks"].headers


@FRONTS
async def test_a_pass_is_renewed_on_the_way_and_kept_out_of_shared_caches(
    kind: str, redis: ScriptRunner, keys: Keys
) -> None:
    async with site(kind, redis, keys, session_duration="100s") as shop, browser(shop) as shopper:
        shop.origin.scripts[b"/drop/"] = (
            b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nSet-Cookie: a=1\r\nContent-Length: 2\r\n\r\nok"
        )
        used = shop.gate.edge._line.issue("drop", "one", shop.gate.edge.rooms.now_ms() + 80_000).cookie
        name, _, value = used.partition(";")[0].partition("=")
        shopper.cookies[name] = value
        renewed = await shopper.call("GET", "/drop/")
        again = await shopper.call("GET", "/drop/")

        assert [line.partition("=")[0] for line in sorted(renewed.headers.getall("Set-Cookie"))] == ["a", name]
        assert shopper.cookies[name] != value
        assert "private" in ",".join(renewed.headers.getall("Cache-Control"))
        assert again.headers.getall("Set-Cookie") == ["a=1"]
        assert again.headers.getall("Cache-Control") == ["public, max-age=60"]
        assert shown_pass(shop, keys) == "one"


@FRONTS
async def test_an_upload_passes_whole(kind: str, redis: ScriptRunner, keys: Keys) -> None:
    body = bytes(range(256)) * 12_000
    async with site(kind, redis, keys) as shop, browser(shop) as shopper:
        await shopper.open("/drop/")
        answer = await shopper.call("POST", "/drop/upload", data=io.BytesIO(body))

        assert answer.status == 200
        assert shop.origin.seen[-1].body == body
        assert shown_pass(shop, keys)


@FRONTS
async def test_an_app_is_handed_its_pass(kind: str, redis: ScriptRunner, keys: Keys) -> None:
    async with site(kind, redis, keys) as shop, browser(shop) as app, browser(shop) as other:
        first = await app.call("GET", "/drop/api", headers={**JSON, "Authorization": "Waitroom"})
        token = first.headers["Waitroom-Token"]
        again = await other.call("GET", "/drop/api", headers={**JSON, "Authorization": f"Waitroom {token}"})

        assert (first.status, again.status) == (200, 200)
        assert "Waitroom-Token" not in again.headers
        assert all(not seen.all("Waitroom-Token") for seen in shop.origin.seen)


async def _echo(seen: Seen, reader: asyncio.StreamReader, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
    writer.write(await reader.readexactly(5))
    await writer.drain()
    writer.close()


@FRONTS
async def test_a_websocket_passes_for_who_is_inside_and_for_nobody_else(
    kind: str, redis: ScriptRunner, keys: Keys
) -> None:
    upgrade = [
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-Fetch-Mode: websocket",
    ]
    async with site(kind, redis, keys, total_active_users=1) as shop, browser(shop) as shopper:
        shop.origin.scripts[b"/drop/ws"] = _echo
        await shopper.open("/drop/")
        reached = len(shop.origin.seen)
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        head = ["GET /drop/ws HTTP/1.1", f"Host: 127.0.0.1:{shop.port}", "Connection: Upgrade", *upgrade]
        writer.write("\r\n".join([*head, "", ""]).encode())
        async with asyncio.timeout(60):
            refused = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        assert refused.startswith(b"HTTP/1.1 503 ")
        assert len(shop.origin.seen) == reached

        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        writer.write("\r\n".join([*head, f"Cookie: {cookie_of(shopper)}", "", ""]).encode())
        async with asyncio.timeout(60):
            switched = await reader.readuntil(b"\r\n\r\n")
            assert switched.startswith(b"HTTP/1.1 101 "), switched
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"
        writer.close()
        assert shown_pass(shop, keys)
