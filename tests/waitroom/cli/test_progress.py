"""How the sale goes is told in a line or in a few, from what the console and the shop say."""

import asyncio
import io
from contextlib import suppress

import aiohttp
from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer
from rich.console import Console

from tests.conftest import eventually
from waitroom.cli.progress import Figures, Watch, drawn, told
from waitroom.kernel.clock import SystemClock

FIGURES = Figures("open", 0.0, waiting=188, called=12, inside=43, admitted=112, taken=63, total=100)
ROOM = {
    "phase": "prequeue",
    "starts_ms": 13_000,
    "now_ms": 1_000,
    "waiting": 188,
    "outstanding": 0,
    "sessions": 0,
    "admitted": 0,
}
SALE = {"skus": [{"sku": "sneaker", "available": 37, "total": 100}]}


ASKED = web.AppKey("asked", list[str])


async def _room(request: web.Request) -> web.Response:
    request.app[ASKED].append(request.path)
    if request.headers.get("Authorization") != "Bearer the-token":
        raise web.HTTPUnauthorized
    return web.json_response(ROOM)


async def _sale(request: web.Request) -> web.Response:
    return web.json_response(SALE)


def site(asked: list[str] | None = None) -> BaseTestServer:
    app = web.Application()
    app[ASKED] = asked if asked is not None else []
    app.add_routes([web.get("/api/rooms/drop", _room), web.get("/sales/drop", _sale)])
    return TestServer(app)


async def stopped(shown: asyncio.Task[None]) -> None:
    shown.cancel()
    with suppress(asyncio.CancelledError):
        await shown


def watch(server: BaseTestServer, token: str = "the-token") -> Watch:
    origin = str(server.make_url("")).rstrip("/")
    return Watch(origin, origin, token, "drop", "drop")


async def test_the_figures_come_from_the_console_and_the_shop() -> None:
    async with site() as server, aiohttp.ClientSession() as client:
        figures = await watch(server).look(client)

    assert figures == Figures("prequeue", 12.0, waiting=188, called=0, inside=0, admitted=0, taken=63, total=100)


async def test_figures_that_cannot_be_had_are_none() -> None:
    async with site() as server, aiohttp.ClientSession() as client:
        assert await watch(server, "a-wrong-token").look(client) is None


async def test_a_log_gets_a_line_when_something_changed() -> None:
    output, asked = io.StringIO(), list[str]()
    async with site(asked) as server:
        shown = asyncio.create_task(watch(server).show(SystemClock(), Console(file=output, width=200)))
        await eventually(lambda: len(asked) > 2)
        await stopped(shown)

    assert output.getvalue().splitlines() == [
        "prequeue, opens in 12 s: 188 waiting, 0 called, 0 inside, 0 admitted, 63 of 100 sold or held"
    ]


async def test_a_terminal_shows_the_bar_and_is_left_clean() -> None:
    output = io.StringIO()
    terminal = Console(file=output, force_terminal=True, width=100)
    async with site() as server:
        shown = asyncio.create_task(watch(server).show(SystemClock(), terminal))
        await eventually(lambda: "63 of 100 sold or held" in output.getvalue())
        await stopped(shown)

    assert "188 " in output.getvalue()


def test_one_line_says_it_all() -> None:
    assert told(FIGURES) == "open: 188 waiting, 12 called, 43 inside, 112 admitted, 63 of 100 sold or held"
    assert told(None) == "no answer right now"


def test_a_few_lines_say_it_better() -> None:
    console = Console(file=io.StringIO(), width=100)
    with console.capture() as seen:
        console.print(drawn(FIGURES))
        console.print(drawn(None))

    assert "188 waiting" in seen.get()
    assert "63 of 100 sold or held" in seen.get()
    assert "no answer right now" in seen.get()
