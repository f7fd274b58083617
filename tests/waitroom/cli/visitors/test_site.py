"""A visitor's browser keeps its own cookies, says whom it stands for, and has patience."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.fakes import FakeClock
from waitroom.cli.visitors.site import Answer, GaveUp, Site

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Opened = Callable[[Handler], Awaitable[Site]]


@pytest.fixture
async def opened(clock: FakeClock) -> AsyncIterator[Opened]:
    servers: list[TestServer] = []
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:

        async def open_(handler: Handler) -> Site:
            app = web.Application()
            app.router.add_route("*", "/{any:.*}", handler)
            server = TestServer(app)
            await server.start_server()
            servers.append(server)
            origin = str(server.make_url("")).rstrip("/")
            return Site(client, clock, origin=origin, address="198.18.1.7", chance=lambda: 0.5)

        yield open_
        for server in servers:
            await server.close()


async def patiently(asked: Awaitable[Answer], clock: FakeClock) -> tuple[Answer, float]:
    """Return the answer, and how many seconds the visitor slept for it."""
    began_ms = clock.now_ms()
    task = asyncio.ensure_future(asked)
    while not task.done():
        await clock.advance(0.5)
        await asyncio.sleep(0.005)
    return await task, (clock.now_ms() - began_ms) / 1000


async def test_a_visitor_says_for_whom_it_stands(opened: Opened) -> None:
    async def echo(request: web.Request) -> web.Response:
        return web.json_response({"for": request.headers["X-Forwarded-For"], "accept": request.headers["Accept"]})

    site = await opened(echo)

    assert (await site.ask("GET", "/pulse")).data == {"for": "198.18.1.7", "accept": "application/json"}
    assert (await site.page("/drop/")).data["accept"].startswith("text/html")


async def test_cookies_are_kept_sent_and_forgotten(opened: Opened) -> None:
    seen = []

    async def handler(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Cookie"))
        answer = web.json_response({})
        given = ["wr_drop_ticket=t1", "wr_drop_pass=p1", "wr_drop_ticket=; Max-Age=0"]
        if len(seen) <= len(given):
            answer.headers["Set-Cookie"] = f"{given[len(seen) - 1]}; Path=/"
        return answer

    site = await opened(handler)
    for _ in range(4):
        await site.ask("GET", "/")

    assert seen == [None, "wr_drop_ticket=t1", "wr_drop_ticket=t1; wr_drop_pass=p1", "wr_drop_pass=p1"]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_site_is_asked_again_when_it_said_so(opened: Opened, clock: FakeClock, status: int) -> None:
    times = []

    async def busy_once(request: web.Request) -> web.Response:
        times.append(clock.now_ms())
        return web.Response(status=status, headers={"Retry-After": "7"}) if len(times) == 1 else web.json_response({})

    site = await opened(busy_once)

    answer, slept_s = await patiently(site.ask("GET", "/"), clock)

    assert answer.status == 200
    assert slept_s >= 7


async def test_a_site_that_stays_away_is_given_up(opened: Opened, clock: FakeClock) -> None:
    async def away(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    site = await opened(away)

    with pytest.raises(GaveUp, match="GET / answered 503 12 times"):
        await patiently(site.ask("GET", "/"), clock)


async def test_what_is_no_json_object_is_no_data(opened: Opened) -> None:
    async def listed(request: web.Request) -> web.Response:
        return web.json_response([1, 2])

    site = await opened(listed)

    answer = await site.ask("GET", "/")

    assert answer == Answer(200)
    with pytest.raises(GaveUp, match="has no ticket"):
        answer.get("ticket")
