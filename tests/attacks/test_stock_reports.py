"""Who is not the store behind, and says that all is sold, or that there is plenty."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.edges import Front, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import (
    Keys,
    Pass,
    PassSigner,
    StockReport,
    StockReportSigner,
    UpstreamPassSigner,
    _signer,
)
from waitroom.store.keys import RoomKeys

ROOM = RoomKeys("drop", "always").room


@pytest.fixture
async def gate(redis: ScriptRunner, keys: Keys, store: Store) -> AsyncIterator[Front]:
    rooms = [{"name": "other", "paths": ["/other/"]}]
    async with front(redis, keys, store, beside={"rooms": rooms}) as found:
        yield found


async def say(gate: Front, text: object, *, room: str = "drop") -> int:
    answer = await gate.post(f"/.waitroom/{room}/stock", json={"report": text})
    return answer.status


def said(gate: Front, room: str = "drop", left: int = 0, held: int = 0, *, ago_ms: int = 0) -> StockReport:
    return StockReport(room, left, held, gate.edge.rooms.now_ms() - ago_ms)


async def has_changed(gate: Front, redis: ScriptRunner) -> bool:
    """Whether anything that was said stands in Redis, or in the pulse."""
    await gate.tick()
    pulse = await (await gate.get("/.waitroom/drop/pulse")).json()
    return pulse["stock"] is not None or await redis.client.hexists(ROOM, "stock") or pulse["phase"] != "idle"


async def test_nobody_but_the_store_says_that_all_is_sold(gate: Front, redis: ScriptRunner, keys: Keys) -> None:
    report, now_ms = said(gate), gate.edge.rooms.now_ms()
    genuine = StockReportSigner(keys).sign(report)
    pass_ = Pass("drop", "somebody", now_ms, now_ms + 60_000)
    forged = [
        StockReportSigner(Keys([b"another-secret-of-32-characters!"])).sign(report),
        StockReportSigner(keys.derive("pass")).sign(report),
        str(_signer(keys.derive("upstream-pass"), "upstream-pass").dumps(["drop", 0, 0, now_ms])),
        PassSigner(keys).sign(pass_),
        UpstreamPassSigner(keys).sign(pass_),
        "",
        "drop",
        genuine[:-1],
        genuine + "A",
        genuine[:-2] + ("A" if genuine[-2] != "A" else "B") + genuine[-1],
        *(genuine[:place] + "_" + genuine[place + 1 :] for place in range(0, len(genuine), 7) if genuine[place] != "_"),
    ]

    assert {await say(gate, text) for text in forged} == {403}
    assert not await has_changed(gate, redis)


async def test_a_report_opens_nothing(gate: Front, keys: Keys) -> None:
    token = {"Authorization": f"Waitroom {StockReportSigner(keys).sign(said(gate))}"}

    assert (await gate.get("/.waitroom/drop/queue/status", headers=token)).status == 403
    assert (await gate.post("/.waitroom/drop/queue/claim", headers=token)).status == 403


async def test_a_report_of_another_room_says_nothing_of_this_one(gate: Front, redis: ScriptRunner, keys: Keys) -> None:
    of_other = StockReportSigner(keys).sign(said(gate, "other"))

    assert await say(gate, of_other) == 403
    assert await say(gate, of_other, room="nowhere") == 404
    assert not await has_changed(gate, redis)
    assert await say(gate, of_other, room="other") == 204
    assert not await has_changed(gate, redis)


async def test_a_report_that_was_seen_on_its_way_is_worth_nothing_again(
    gate: Front, redis: ScriptRunner, keys: Keys
) -> None:
    signer = StockReportSigner(keys)
    reports = [signer.sign(said(gate, left=left, ago_ms=ago_ms)) for ago_ms, left in ((300, 0), (200, 7), (100, 40))]
    assert [await say(gate, text) for text in reports] == [204, 204, 204]
    kept = await redis.client.hget(ROOM, "stock")

    assert [await say(gate, text) for text in (*reports, *reversed(reports))] == [409] * 6, "replayed, and reordered"
    await gate.tick()
    await redis.client.flushdb()
    await gate.tick()
    assert [await say(gate, text) for text in reports] == [409] * 3, "also after Redis lost it"
    assert await redis.client.hget(ROOM, "stock") == kept


@pytest.mark.parametrize(
    "fields",
    [
        ["drop", -1, 0, 0],
        ["drop", 0, -1, 0],
        ["drop", 1.5, 0, 0],
        ["drop", True, 0, 0],
        ["drop", "40", 0, 0],
        ["drop", None, 0, 0],
        ["drop", 10**9 + 1, 0, 0],
        ["drop", 10**400, 0, 0],
        ["drop", 0, 0, 1e300],
        ["drop", 0, 0],
        ["drop", 0, 0, 0, 0],
        [["drop"], 0, 0, 0],
        {"room": "drop"},
        "drop",
        7,
    ],
)
async def test_odd_numbers_break_nothing_even_if_the_store_signs_them(
    gate: Front, redis: ScriptRunner, keys: Keys, fields: Any
) -> None:
    if isinstance(fields, list) and len(fields) == 4 and fields[3] == 0:
        fields = [*fields[:3], gate.edge.rooms.now_ms()]
    text = str(_signer(keys.derive("upstream-pass"), "stock-report").dumps(fields))

    assert await say(gate, text) == 403
    assert not await has_changed(gate, redis)


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {"Content-Type": "application/json"}, 400),
        (b"{}", {"Content-Type": "application/json"}, 422),
        (b'{"report": 7}', {"Content-Type": "application/json"}, 422),
        (b'{"report": "x", "left": 0}', {"Content-Type": "application/json"}, 422),
        (b'{"report": "' + b"a" * 3000 + b'"}', {"Content-Type": "application/json"}, 422),
        (b'{"report": "' + b"a" * 10_000 + b'"}', {"Content-Type": "application/json"}, 413),
        (b"report=x", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"", {}, 415),
        (b"\x1f\x8b", {"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        (b"[" * 3000, {"Content-Type": "application/json"}, 400),
    ],
)
async def test_an_odd_report_is_refused_before_redis_hears_of_it(
    gate: Front, redis: ScriptRunner, body: bytes, headers: dict[str, str], status: int
) -> None:
    await redis.client.config_resetstat()
    answer = await gate.client.post("/.waitroom/drop/stock", data=body, headers=headers)
    stats: Any = await redis.client.info("commandstats")

    assert answer.status == status
    assert not {"cmdstat_evalsha", "cmdstat_eval"} & set(stats)
    assert not await has_changed(gate, redis)


async def test_what_a_browser_is_made_to_send_says_nothing(gate: Front, redis: ScriptRunner) -> None:
    headers = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"}
    answer = await gate.client.post("/.waitroom/drop/stock", json={"report": "x"}, headers=headers)

    assert answer.status == 403
    assert not await has_changed(gate, redis)
