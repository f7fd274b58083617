"""What operators change: it holds at once, it is written down, and nonsense changes nothing."""

from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiohttp.typedefs import LooseHeaders
from multidict import CIMultiDict

from waitroom.kernel.redis import ScriptRunner
from waitroom.rules.rooms import Phase
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms

Client = TestClient[web.Request, web.Application]


@pytest.mark.parametrize(
    ("what", "body", "field", "value"),
    [
        ("rate", {"per_minute": 90}, "rate_per_minute", 90.0),
        ("rate", {"per_minute": 0.2}, "rate_per_minute", 0.2),
        ("rate", {"per_minute": 1234567}, "rate_per_minute", 1234567.0),
        ("cap", {"total_active_users": 7}, "total_active_users", 7),
        ("cap", {"total_active_users": 0}, "total_active_users", 0),
        ("message", {"text": "More\n  sizes\tat <18:00>"}, "message", "More sizes at <18:00>"),
        ("message", {"text": ""}, "message", ""),
        ("pause", None, "phase", "paused"),
        ("end", {"why": "sold out"}, "phase", "ended"),
        ("sold-out", None, "phase", "sold_out"),
        ("close", None, "phase", "paused"),
        ("open-all", {"for_s": 60, "why": "the room is in the way"}, "phase", "idle"),
        ("revoke-all", None, "sessions", 0),
        ("revoke", {"session": "nobody-of-that-name", "why": "a shared pass"}, "sessions", 0),
        ("rate", {"per_minute": 90, "force": True}, "rate_per_minute", 90.0),
    ],
)
async def test_a_change_holds_at_once_and_the_answer_shows_it(
    what: str, body: dict[str, Any] | None, field: str, value: object, client: Client, as_operator: LooseHeaders
) -> None:
    answer = await client.post(f"/api/rooms/drop/{what}", json=body, headers=as_operator)

    assert answer.status == 200
    assert (await answer.json())[field] == value


async def test_a_change_is_written_down_with_who_why_and_what_was_before(
    client: Client, as_operator: LooseHeaders, redis: ScriptRunner
) -> None:
    asked = {"total_active_users": 7, "why": " the till\nis slow "}
    await client.post("/api/rooms/drop/cap", json=asked, headers=as_operator)

    entry = (await Audit(redis).read("drop"))[0]

    assert (entry.who, entry.what, entry.value) == ("Ada (127.0.0.0/24)", "cap", "7")
    assert (entry.before, entry.why) == ("2", "the till is slow")


async def test_resume_undoes_a_pause_and_an_end(client: Client, as_operator: LooseHeaders, rooms: Rooms) -> None:
    for what in ("pause", "end", "resume"):
        assert (await client.post(f"/api/rooms/drop/{what}", headers=as_operator)).status == 200

    assert (await rooms.tick("drop")).phase is Phase.IDLE


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("rate", {"per_minute": 0}),
        ("open-all", {}),
        ("open-all", {"for_s": 10**6}),
        ("rate", {"per_minute": -1}),
        ("rate", {"per_minute": 10**9}),
        ("rate", {"per_minute": "600"}),
        ("rate", {"per_minute": True}),
        ("rate", {"per_minute": 0.0001}),
        ("rate", {"per_hour": 600}),
        ("rate", {}),
        ("rate", [600]),
        ("cap", {"total_active_users": -1}),
        ("cap", {"total_active_users": 1.5}),
        ("cap", {"total_active_users": 10**9}),
        ("message", {"text": "x" * 281}),
        ("message", {"text": None}),
        ("spin", {}),
        ("spin", {"value": " "}),
        ("spin", {"value": 7}),
        ("spin", {"value": "x" * 201}),
        ("pause", {"until": "tomorrow"}),
        ("end", {"why": "x" * 301}),
    ],
)
async def test_nonsense_is_refused_with_what_to_send_and_changes_nothing(
    what: str, body: object, client: Client, as_operator: LooseHeaders, redis: ScriptRunner
) -> None:
    answer = await client.post(f"/api/rooms/drop/{what}", json=body, headers=as_operator)

    told = await answer.json()
    assert (answer.status, answer.content_type) == (422, "application/problem+json")
    assert len(told["detail"]) > 20
    assert await Audit(redis).read("drop") == []


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b'{"per_minute": NaN}', "application/json", 422),
        (b"per_minute=600", "application/x-www-form-urlencoded", 415),
        (b'{"per_minute": 600, "why": "' + b"x" * 20_000 + b'"}', "application/json", 413),
    ],
)
async def test_what_is_no_json_is_refused(
    body: bytes, content_type: str, status: int, client: Client, as_operator: LooseHeaders
) -> None:
    headers = CIMultiDict(as_operator, **{"Content-Type": content_type})

    assert (await client.post("/api/rooms/drop/rate", data=body, headers=headers)).status == status


async def test_a_viewer_changes_nothing(client: Client, as_viewer: LooseHeaders, redis: ScriptRunner) -> None:
    answer = await client.post("/api/rooms/drop/pause", headers=as_viewer)

    assert answer.status == 403
    assert await Audit(redis).read("drop") == []


async def test_an_unknown_room_cannot_be_changed(client: Client, as_operator: LooseHeaders) -> None:
    assert (await client.post("/api/rooms/nowhere/pause", headers=as_operator)).status == 404


async def test_a_change_by_get_is_no_change(client: Client, as_operator: LooseHeaders) -> None:
    assert (await client.get("/api/rooms/drop/pause", headers=as_operator)).status == 405


async def test_invites_are_made_and_the_audit_has_how_many_and_no_code(
    client: Client, as_operator: LooseHeaders, redis: ScriptRunner, rooms: Rooms
) -> None:
    asked = {"event": "always", "count": 3, "uses": 2, "for_s": 3600, "why": "press"}
    answer = await client.post("/api/rooms/drop/invite", json=asked, headers=as_operator)
    codes = (await answer.json())["codes"]
    entry = (await Audit(redis).read("drop"))[0]
    read = [rooms.invites.read(code, room="drop", event="always") for code in codes]

    assert (answer.status, len(set(codes))) == (200, 3)
    assert {(invite.lane, invite.uses) for invite in read} == {("priority", 2)}
    assert (entry.who, entry.what, entry.why) == ("Ada (127.0.0.0/24)", "invite", "press")
    assert "3 for lane priority" in entry.value
    assert not any(code in repr(entry) for code in codes)


async def test_an_invite_is_for_an_event_that_there_is_and_made_by_operators(
    client: Client, as_operator: LooseHeaders, as_viewer: LooseHeaders
) -> None:
    asked = {"event": "of last year", "for_s": 3600}
    refused = await client.post("/api/rooms/drop/invite", json=asked, headers=as_operator)
    viewer = await client.post("/api/rooms/drop/invite", json=asked | {"event": "always"}, headers=as_viewer)

    assert (refused.status, viewer.status) == (422, 403)
