"""What operators look at, over HTTP and on a real Valkey."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict

from tests.fakes import FakeClock
from waitroom.console.door import Console
from waitroom.console.guard import Guard
from waitroom.kernel.pages import Pages
from waitroom.kernel.redis import RedisSettings, connected
from waitroom.kernel.tokens import Keys
from waitroom.rules.rooms import Change, ChangeKind, RoomRules
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms

Client = TestClient[web.Request, web.Application]
Join = Callable[[int], Awaitable[None]]
Make = Callable[[web.Application], Awaitable[Client]]


async def next_figures(answer: ClientResponse) -> dict[str, Any]:
    while True:
        line = await answer.content.readline()
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            return dict(json.loads(line[6:]))


async def test_all_rooms_are_told_as_they_are_now(client: Client, as_viewer: LooseHeaders, wait_in_line: Join) -> None:
    await wait_in_line(3)

    told = await (await client.get("/api/rooms", headers=as_viewer)).json()

    assert [(room["room"], room["waiting"] + room["outstanding"]) for room in told["rooms"]] == [
        ("drop", 3),
        ("other", 0),
    ]
    assert told["redis"]["is_up"]
    assert told["role"] == "viewer"


async def test_one_room_comes_with_its_curves(client: Client, as_viewer: LooseHeaders) -> None:
    told = await (await client.get("/api/rooms/drop", headers=as_viewer)).json()

    assert told["room"] == "drop"
    limits = {"rate_per_minute", "total_active_users"}
    assert set(told["series"]) == {"at_ms", "waiting", "sessions", "admitted_per_s", *limits}


@pytest.mark.parametrize("path", ["/api/rooms", "/api/rooms/drop", "/api/rooms/drop/audit", "/api/events"])
async def test_a_stranger_sees_nothing(path: str, client: Client) -> None:
    answer = await client.get(path)

    assert (answer.status, (await answer.json())["type"]) == (401, "urn:waitroom:problem:not-signed-in")


@pytest.mark.parametrize("path", ["/api/rooms/nowhere", "/api/rooms/nowhere/audit"])
async def test_an_unknown_room_is_answered_with_the_names_there_are(
    path: str, client: Client, as_viewer: LooseHeaders
) -> None:
    answer = await client.get(path, headers=as_viewer)

    assert answer.status == 404
    assert (await answer.json())["rooms"] == ["drop", "other"]


async def test_the_page_brings_its_first_figures_and_hides_the_controls_from_a_viewer(
    client: Client, as_operator: LooseHeaders, as_viewer: LooseHeaders
) -> None:
    await client.get("/api/rooms", headers=as_viewer)

    operators, viewers = [await (await client.get("/", headers=who)).text() for who in (as_operator, as_viewer)]

    assert '"room": "drop"' in operators
    assert 'id="rate-form"' in operators
    assert 'id="rate-form"' not in viewers


async def test_a_message_cannot_break_out_of_the_page(client: Client, as_operator: LooseHeaders, rooms: Rooms) -> None:
    await rooms.control("drop", Change(ChangeKind.MESSAGE, "</script><script>alert(1)</script>"), who="Ada")
    await client.get("/api/rooms", headers=as_operator)

    assert "<script>alert" not in await (await client.get("/", headers=as_operator)).text()


async def test_the_stream_tells_every_second_and_every_change_at_once(
    client: Client, as_operator: LooseHeaders, clock: FakeClock
) -> None:
    async with client.get("/api/events", headers=as_operator) as stream:
        assert stream.content_type == "text/event-stream"
        await next_figures(stream)

        await clock.advance(1)
        told = await next_figures(stream)
        assert [room["rate_per_minute"] for room in told["rooms"]] == [600.0, 600.0]

        await client.post("/api/rooms/drop/rate", json={"per_minute": 90}, headers=as_operator)
        while told["rooms"][0]["rate_per_minute"] != 90.0:
            told = await next_figures(stream)


async def test_the_audit_tells_the_newest_first(client: Client, as_viewer: LooseHeaders, rooms: Rooms) -> None:
    await rooms.control("drop", Change(ChangeKind.RATE, "300"), who="Ada", why="slow till")
    await rooms.control("drop", Change(ChangeKind.PAUSE), who="Grace")

    told = await (await client.get("/api/rooms/drop/audit?count=5", headers=as_viewer)).json()

    assert [(e["who"], e["what"], e["why"]) for e in told["entries"]] == [
        ("Grace", "pause", ""),
        ("Ada", "rate", "slow till"),
    ]
    assert float(told["entries"][1]["before"]) == 600.0
    assert float(told["entries"][1]["value"]) == 300.0


@pytest.mark.parametrize("count", ["0", "-1", "501", "many", "1e3", "٣"])
async def test_a_count_that_is_none_is_refused(count: str, client: Client, as_viewer: LooseHeaders) -> None:
    answer = await client.get("/api/rooms/drop/audit", params={"count": count}, headers=as_viewer)

    assert answer.status == 422


async def test_metrics_are_open_to_this_machine_and_to_no_page_that_rebound_its_name(
    client: Client, as_viewer: LooseHeaders
) -> None:
    assert "waitroom_waiting" in await (await client.get("/metrics")).text()
    assert (await client.get("/metrics", headers={"Host": "rebound.example"})).status == 401
    with_token = CIMultiDict(as_viewer, Host="rebound.example")
    assert (await client.get("/metrics", headers=with_token)).status == 200


async def test_without_redis_the_console_says_so_and_keeps_serving(
    aiohttp_client: Make, keys: Keys, clock: FakeClock, guard: Guard, as_operator: LooseHeaders
) -> None:
    async with connected(RedisSettings("unix:///nonexistent/valkey.sock", timeout_ms=100)) as nowhere:
        rooms = Rooms(nowhere, [RoomRules("drop")], keys, clock)
        client = await aiohttp_client(Console(rooms, Audit(nowhere), guard, Pages(), clock).application())

        rooms_told = await client.get("/api/rooms", headers=as_operator)
        audit_told = await client.get("/api/rooms/drop/audit", headers=as_operator)
        changed = await client.post("/api/rooms/drop/pause", headers=as_operator)

        assert [answer.status for answer in (rooms_told, audit_told, changed)] == [503, 503, 503]
        assert rooms_told.headers["Retry-After"]
        assert "waitroom_redis_up 0.0" in await (await client.get("/metrics")).text()
        assert (await client.get("/", headers=as_operator)).status == 200
        assert (await client.get("/healthz")).status == 200
