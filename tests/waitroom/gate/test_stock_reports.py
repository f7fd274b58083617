"""The store behind says what it has left, over HTTP, signed."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from tests.edges import Front, Store, front
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, StockReport, StockReportSigner, UpstreamPassSigner


@pytest.fixture
async def gate(redis: ScriptRunner, keys: Keys, store: Store) -> AsyncIterator[Front]:
    async with front(redis, keys, store, queueing_method="fifo") as found:
        yield found


async def report(gate: Front, keys: Keys, left: int, held: int = 0, *, age_ms: int = 0, room: str = "drop") -> Any:
    said = StockReport(room, left, held, gate.edge.rooms.now_ms() - age_ms)
    return await gate.post("/.waitroom/drop/stock", json={"report": StockReportSigner(keys).sign(said)})


async def pulse(gate: Front) -> dict[str, Any]:
    await gate.tick()
    return dict(await (await gate.get("/.waitroom/drop/pulse")).json())


def counted(outcome: str) -> float:
    found = REGISTRY.get_sample_value("waitroom_stock_reports_total", {"room": "drop", "outcome": outcome})
    return found or 0.0


async def test_what_the_store_says_stands_in_the_next_pulse(gate: Front, keys: Keys) -> None:
    before = counted("taken")
    told = await report(gate, keys, 40, 3)

    assert (told.status, await told.read(), told.headers["Cache-Control"]) == (204, b"", "no-store")
    assert (await pulse(gate))["stock"] == {"left": 40, "held": 3}
    assert counted("taken") == before + 1


async def test_sold_out_and_open_again(gate: Front, keys: Keys) -> None:
    await report(gate, keys, 0, age_ms=3)
    assert (await pulse(gate))["phase"] == "sold_out"
    assert b"waiting room" in await (await gate.get("/drop/", headers={"Accept": "text/html"})).read()
    await report(gate, keys, 1)
    assert (await pulse(gate))["phase"] == "idle"


@pytest.mark.parametrize(("age_ms", "status"), [(9_000, 204), (60_000, 403), (-9_000, 204), (-60_000, 403)])
async def test_a_report_is_of_this_moment(gate: Front, keys: Keys, age_ms: int, status: int) -> None:
    answer = await report(gate, keys, 0, age_ms=age_ms)

    assert answer.status == status
    if status == 403:
        told = await answer.json()
        assert told["type"] == "urn:waitroom:problem:stale-report"
        assert abs(told["server_ms"] - gate.edge.rooms.now_ms()) < 5_000, "so a store can set its clock"
        assert (await pulse(gate))["stock"] is None


async def test_a_report_that_was_heard_is_told_so(gate: Front, keys: Keys) -> None:
    await report(gate, keys, 40)
    late = await report(gate, keys, 0, age_ms=5_000)

    assert (late.status, (await late.json())["type"]) == (409, "urn:waitroom:problem:known-report")
    assert (await pulse(gate))["stock"] == {"left": 40, "held": 0}


async def test_the_elder_secret_of_two_signs_too(redis: ScriptRunner, store: Store) -> None:
    old, new = b"an-older-secret-of-32-characters", b"a-newer-secret-of-32-characters!"
    async with front(redis, Keys([old, new]), store) as gate:
        assert (await report(gate, Keys([old]), 40)).status == 204


async def test_the_example_in_the_docs_is_a_report(gate: Front, keys: Keys) -> None:
    page = (Path(__file__).parents[3] / "docs" / "stock.md").read_text("utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    found: dict[str, Any] = {}
    exec(example, found)
    edge, secret = str(gate.client.make_url("/")).rstrip("/"), UpstreamPassSigner.upstream_secret(keys)

    await asyncio.to_thread(found["report"], edge, "drop", 40, 3, secret)

    assert (await pulse(gate))["stock"] == {"left": 40, "held": 3}
