"""The admin listener as a whole."""

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.typedefs import LooseHeaders

from waitroom.console.door import Console, roles
from waitroom.console.sign_ins import Role

Client = TestClient[web.Request, web.Application]


async def test_closing_sends_home_the_browsers_that_watch(console: Console, as_operator: LooseHeaders) -> None:
    async with TestClient(TestServer(console.application())) as client:
        stream = await client.get("/api/events", headers=as_operator)
        await stream.content.readline()

        async with asyncio.timeout(60):
            await client.server.close()


async def test_a_stranger_far_away_reaches_the_form_and_nothing_else(console: Console, client: Client) -> None:
    for route in console.routes():
        path = route.path.replace("{room}", "drop")
        far = {"Host": "rebound.example"}
        answer = await client.request(route.method, path, data=b"\xff\x00", headers=far, allow_redirects=False)
        expected = {("GET", "/"): 303, ("GET", "/login"): 200, ("GET", "/healthz"): 200}
        allowed = {expected[route.method, path]} if (route.method, path) in expected else {401, 403}
        assert answer.status in allowed, (route.method, path)


def test_viewers_have_a_token_only_where_there_is_one() -> None:
    assert roles({}, "operator")[Role.VIEWER] == ""
    assert roles({"WAITROOM_VIEWER_TOKEN": "viewer"}, "operator") == {Role.OPERATOR: "operator", Role.VIEWER: "viewer"}
