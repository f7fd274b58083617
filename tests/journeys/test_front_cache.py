"""nginx as a cache in front of waitroom: a crowd costs one pulse and one page a second, and nobody gets another's."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.edges import HTML, Front
from tests.fronts import Site, browser, site
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind

CROWD, AT_ONCE = 1000, 250
PULSE, WAIT = "/.waitroom/drop/pulse", "/.waitroom/drop/wait"


@asynccontextmanager
async def cached(redis: ScriptRunner, keys: Keys, **room: Any) -> AsyncIterator[Site]:
    async with site("nginx", redis, keys, example="nginx-cache.conf", **room) as shop:
        yield shop


async def crowd(shop: Site, path: str) -> tuple[list[bytes], float]:
    """Ask for `path` a thousand times as fast as may be; return the bodies and the seconds it took."""
    request = f"GET {path}?return_to=/drop/ HTTP/1.1\r\nHost: shop.example\r\nAccept: text/html\r\n\r\n".encode()
    bodies: list[bytes] = []

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
        for _ in range(CROWD // AT_ONCE):
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200 "), head
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            bodies.append(await reader.readexactly(length))
        writer.close()

    began = time.monotonic()
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(one())
    return bodies, time.monotonic() - began


@pytest.mark.parametrize("path", [PULSE, WAIT])
async def test_a_thousand_requests_reach_us_as_about_one(path: str, redis: ScriptRunner, keys: Keys) -> None:
    async with cached(redis, keys, opens_in_s=600) as shop:
        bodies, took_s = await crowd(shop, path)
        reached = shop.gate.answered.count(path)

        assert len(bodies) == CROWD
        assert 1 <= reached <= 2 + took_s, "one a second, and one that was on its way"


async def test_a_pulse_that_changed_is_seen_within_seconds(redis: ScriptRunner, keys: Keys) -> None:
    async with cached(redis, keys, opens_in_s=600) as shop, browser(shop) as shopper:
        first = await (await shopper.call("GET", PULSE)).json()
        await shop.gate.join()
        await shop.gate.tick()
        async with asyncio.timeout(60):
            while (found := await (await shopper.call("GET", PULSE)).json()) == first:
                await asyncio.sleep(0.1)

        assert found["lanes"]["main"]["waiting"] == first["lanes"]["main"]["waiting"] + 1
        assert "/.waitroom//pulse" not in shop.gate.answered


async def test_two_visitors_never_get_each_others_answers(redis: ScriptRunner, keys: Keys) -> None:
    async with (
        cached(redis, keys, total_active_users=1, disable_session_renewal=True) as shop,
        browser(shop) as inside,
        browser(shop) as first,
        browser(shop) as second,
    ):
        await inside.open("/drop/")
        seen: dict[str, list[str]] = {}
        for shopper in (first, second):
            page = await shopper.call("GET", f"{WAIT}?return_to=/drop/")
            assert "Set-Cookie" not in page.headers
            assert page.headers["Cache-Control"] == "no-store"
            await shopper.join()
            for name, answer in {
                "challenge": await shopper.call("POST", "/.waitroom/drop/challenge"),
                "status": await shopper.call("GET", "/.waitroom/drop/queue/status"),
                "claim": await shopper.claim(),
                "enter": await shopper.call("GET", "/.waitroom/drop/enter?return_to=/drop/"),
            }.items():
                assert_private(answer)
                seen.setdefault(name, []).append(await answer.text())
        back = await inside.call("GET", f"{WAIT}?return_to=/drop/x")

        assert all(cookies != first.cookies for cookies in (second.cookies, inside.cookies))
        assert len(set(seen["challenge"])) == len(set(seen["status"])) == 2
        for path in ("challenge", "queue/register", "queue/status", "queue/claim", "enter"):
            assert shop.gate.answered.count(f"/.waitroom/drop/{path}") >= 2, path
        assert (back.status, back.headers["Location"]) == (303, "/drop/x"), (
            "who is in is not kept by a page in the cache"
        )


async def test_who_comes_straight_in_leaves_their_pass_to_nobody(redis: ScriptRunner, keys: Keys) -> None:
    async with cached(redis, keys) as shop, browser(shop) as first, browser(shop) as second:
        shop.origin.scripts[b"/drop/"] = (
            b"HTTP/1.1 200 OK\r\nCache-Control: public, max-age=60\r\nContent-Length: 2\r\n\r\nok"
        )
        passes = []
        for shopper in (first, second):
            for target in ("/drop/", f"{WAIT}?return_to=/drop/", "/.waitroom/drop/enter"):
                await shopper.call("GET", target)
            passes.append(dict(shopper.cookies))

        assert all(passes)
        assert passes[0] != passes[1]


async def test_every_answer_of_ours_says_whether_it_may_be_kept(redis: ScriptRunner, keys: Keys) -> None:
    shared = {PULSE, "/.waitroom/drop/proof"}
    async with cached(redis, keys, opens_in_s=600) as shop:
        answers = [answer async for answer in _every_own_answer(shop.gate)]

        assert len(answers) > 12
        for answer in answers:
            told = answer.headers.get("Cache-Control", "")
            if answer.url.path in shared and answer.status == 200:
                assert told.startswith("public, max-age="), answer
                assert "Set-Cookie" not in answer.headers
            else:
                assert told == "no-store", answer


async def _every_own_answer(gate: Front) -> AsyncIterator[ClientResponse]:
    """Ask every address of our own, by every method it knows."""
    router = gate.client.server.app.router  # type: ignore[attr-defined]  # a TestServer of an application
    for route in router.routes():
        path = (route.resource.canonical if route.resource else "").replace("{room}", "drop")
        if not path.startswith("/.waitroom/") or "{tail}" in path:
            continue
        method = "GET" if route.method == "*" else route.method
        for headers in (HTML, {"Accept": "application/json"}):
            yield await gate.client.request(
                method, path.replace("{target}", "/drop/"), headers=headers, allow_redirects=False
            )


def assert_private(answer: ClientResponse) -> None:
    assert answer.headers["Cache-Control"] == "no-store", answer
    assert "ETag" not in answer.headers, answer


async def test_events_pass_as_they_come_and_are_kept_for_nobody(redis: ScriptRunner, keys: Keys) -> None:
    request = b"GET /.waitroom/drop/events HTTP/1.1\r\nHost: shop.example\r\n\r\n"
    async with cached(redis, keys, opens_in_s=600) as shop:
        streams = []
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", shop.port)
            writer.write(request)
            await asyncio.wait_for(reader.readuntil(b"data: "), 30)
            streams.append((reader, writer))
        await shop.gate.edge.rooms.control("drop", Change(ChangeKind.MESSAGE, "soon"), who="ops")
        await shop.gate.tick()
        await shop.gate.edge.followers.step()
        for reader, writer in streams:
            await asyncio.wait_for(reader.readuntil(b'"message":"soon"'), 30)
            writer.close()
            await writer.wait_closed()

        assert shop.gate.answered.count("/.waitroom/drop/events") == 2
