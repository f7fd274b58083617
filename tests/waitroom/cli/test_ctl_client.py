"""What is at the other end, or is not, is told in words."""

from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from waitroom.cli.ctl_client import reaching
from waitroom.kernel.answers import json_answer, problem
from waitroom.kernel.errors import Refused, WaitroomError

Serve = Callable[[web.Application], Awaitable[TestServer]]


def answering(answer: Callable[[], web.Response]) -> web.Application:
    async def any_path(_request: web.Request) -> web.Response:
        return answer()

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", any_path)
    return app


async def test_a_listener_is_asked_with_token_and_name(aiohttp_server: Serve) -> None:
    seen: list[web.Request] = []

    async def rooms(request: web.Request) -> web.Response:
        seen.append(request)
        return json_answer({"rooms": []})

    app = web.Application()
    app.router.add_get("/api/rooms", rooms)
    server = await aiohttp_server(app)
    async with reaching(f"http://127.0.0.1:{server.port}/", "a-token", "Ada") as client:
        assert await client.rooms() == {"rooms": []}

    assert seen[0].headers["Authorization"] == "Bearer a-token"
    assert seen[0].headers["X-Waitroom-Operator"] == "Ada"


async def test_a_room_name_cannot_lead_to_another_path(aiohttp_server: Serve) -> None:
    async def echo(request: web.Request) -> web.Response:
        return json_answer({"path": request.raw_path})

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", echo)
    server = await aiohttp_server(app)
    async with reaching(f"http://127.0.0.1:{server.port}", "a-token", "") as client:
        assert (await client.room("../rooms?x=/"))["path"] == "/api/rooms/..%2Frooms%3Fx=%2F"


async def test_silence_is_told_with_where_to_look() -> None:
    async with reaching("http://127.0.0.1:1", "a-token", "") as client:
        with pytest.raises(WaitroomError, match=r"cannot reach http://127\.0\.0\.1:1: .*--ops-url"):
            await client.rooms()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda: web.Response(text="<h1>a shop</h1>"), "is no waitroom console"),
        (
            lambda: web.Response(body=b"\xff\xfe", content_type="application/json"),
            "cannot reach|is no waitroom console",
        ),
        (lambda: json_answer([1]), "is no waitroom console"),
        (lambda: problem(Refused(401, "not-signed-in", "Sign in.")), "does not take this token.*--token-file"),
        (lambda: problem(Refused(403, "only-operators", "A viewer may look.")), "A viewer may look"),
        (
            lambda: problem(Refused(422, "x", "Send 600.", extra={"errors": [{"path": "per_minute", "fault": "low"}]})),
            "Send 600.\n  per_minute: low",
        ),
    ],
)
async def test_a_refusal_is_told_in_its_own_words(
    answer: Callable[[], web.Response], told: str, aiohttp_server: Serve
) -> None:
    server = await aiohttp_server(answering(answer))
    async with reaching(f"http://127.0.0.1:{server.port}", "a-token", "") as client:
        with pytest.raises(WaitroomError, match=told):
            await client.rooms()
