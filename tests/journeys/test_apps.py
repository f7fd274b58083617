"""An app goes the whole way by tokens: no cookie, no page, and nothing guessed but what an answer told it."""

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.edges import Front, Store, as_app, front
from tests.http_shopper import solve
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, PassSigner

CLIENT = Path(__file__).parents[2] / "docs" / "client.py"
JSON = {"Accept": "application/json"}
FIFO: dict[str, Any] = {"queueing_method": "fifo"}


@pytest.fixture
async def door(redis: ScriptRunner, keys: Keys, store: Store) -> AsyncIterator[Front]:
    """Give a room that opens in half an hour."""
    async with front(redis, keys, store, opens_in_s=1800, **FIFO) as found:
        yield found


async def document(answer: ClientResponse, status: int) -> dict[str, Any]:
    assert answer.status == status, await answer.text()
    assert "Access-Control-Allow-Origin" not in answer.headers
    return dict(await answer.json(content_type=None))


async def test_an_app_is_led_from_the_first_answer_into_the_store(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=1800, **FIFO) as before:
        told = await document(await before.get("/drop/", headers=JSON), 503)
        posed = await document(await before.post(told["challenge"], headers=JSON), 200)
        solution = {"challenge": posed["challenge"], "solution": solve(posed["challenge"])}
        joined = await document(await before.post(told["queue"]["register"], json=solution), 201)
        ticket = as_app(joined["ticket"])
        waiting = await document(await before.get(told["queue"]["status"], headers=ticket), 200)
        early = await document(await before.post(told["queue"]["claim"], headers=ticket), 425)
    async with front(redis, keys, store, opens_in_s=-1, **FIFO) as after:
        await after.tick()
        called = await document(await after.get(told["queue"]["status"], headers=ticket), 200)
        claimed = await document(await after.post(told["queue"]["claim"], headers=ticket), 200)
        inside = as_app(claimed["pass"])
        admitted = await document(await after.get(told["queue"]["status"], headers=inside), 200)
        answer = await after.get("/drop/", headers=inside | JSON)
        assert (answer.status, await answer.text()) == (200, "the store")

    states = [document["state"] for document in (joined, waiting, called, claimed, admitted)]
    assert states == ["waiting", "waiting", "called", "admitted", "admitted"]
    assert early["type"] == "urn:waitroom:problem:not-called"
    assert claimed["expires_ms"] > 0
    assert "Authorization" not in store.seen[-1].headers
    assert "Waitroom-Pass" in store.seen[-1].headers


async def test_a_pass_is_claimed_again_with_the_ticket(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=-60, **FIFO) as door:
        joined = await door.join()
        await door.tick()
        first, second = [
            await document(await door.post("/.waitroom/drop/queue/claim", headers=as_app(joined["ticket"])), 200)
            for _ in range(2)
        ]

    assert second["state"] == "admitted"
    assert second["expires_ms"] >= first["expires_ms"]


async def test_an_app_that_goes_straight_in_is_given_its_pass(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **FIFO) as door:
        entered = await door.get("/drop/", headers={"Authorization": "Waitroom"} | JSON)
        token = entered.headers["Waitroom-Token"]
        again = await door.get("/drop/", headers=as_app(token) | JSON)
        await door.tick()
        snapshot = door.edge.board.get("drop")
        by_browser = await door.get("/drop/", headers=JSON)

    assert (entered.status, again.status) == (200, 200)
    assert "Authorization" not in store.seen[0].headers
    assert PassSigner(keys).verify(token, room="drop", now_ms=0).room == "drop"
    assert "private" in entered.headers["Cache-Control"]
    assert snapshot
    assert snapshot.sessions == 1, "the second visit is of the same session"
    assert "Waitroom-Token" not in again.headers
    assert "Waitroom-Token" not in by_browser.headers, "who keeps cookies gets one"


async def test_a_pass_that_is_renewed_reaches_the_app(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    class Late(SystemClock):
        def now_ms(self) -> int:
            return super().now_ms() + late_ms

    late_ms = 0
    async with front(redis, keys, store, clock=Late(), session_duration="10m", **FIFO) as door:
        entered = await door.get("/drop/", headers={"Authorization": "Waitroom"})
        late_ms = 5 * 60_000
        renewed = await door.get("/drop/", headers=as_app(entered.headers["Waitroom-Token"]))

    tokens = [answer.headers["Waitroom-Token"] for answer in (entered, renewed)]
    first, second = (PassSigner(keys).verify(token, room="drop", now_ms=0) for token in tokens)
    assert second.session_id == first.session_id
    assert (
        second.expires_ms > first.expires_ms + late_ms // 2
    )  # one is by the clock of Redis, one by that of the worker


async def test_no_page_of_another_origin_may_read_or_ask(door: Front) -> None:
    elsewhere = {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    for path in ("/drop/", "/.waitroom/drop/challenge", "/.waitroom/drop/queue/claim", "/.waitroom/drop/pulse"):
        asked = await door.client.options(path, headers=elsewhere | preflight)
        assert asked.status in {404, 405, 503}, path
        assert not [name for name in asked.headers if name.lower().startswith("access-control-")]
    for path in ("challenge", "queue/register", "queue/claim", "queue/leave"):
        told = await document(await door.post(f"/.waitroom/drop/{path}", headers=elsewhere, json={}), 403)
        assert told["type"] == "urn:waitroom:problem:foreign-origin"
    for path in ("/drop/", "/.waitroom/drop/pulse", "/.waitroom/drop/proof"):
        read = await door.get(path, headers=elsewhere)
        assert not [name for name in read.headers if name.lower().startswith("access-control-")]


async def run(door: Front, path: str) -> str:
    """Run the client of the documentation, and let the room tick beside it."""
    url = str(door.client.make_url(path))
    child = await asyncio.create_subprocess_exec(
        sys.executable, str(CLIENT), url, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    ended = asyncio.Event()

    async def tick() -> None:
        while not ended.is_set():
            await door.tick()
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        group.create_task(tick())
        said, complained = await child.communicate()
        ended.set()
    assert child.returncode == 0, complained.decode()
    return said.decode()


async def test_the_client_of_the_documentation_comes_in(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    poll = {"floor": "200ms", "ceiling": "500ms", "divisor": 10}
    async with front(redis, keys, store, opens_in_s=2, poll=poll, **FIFO) as door:
        said = await run(door, "/drop/shoe")

    assert said == "200 the store\n"
    assert [seen.path for seen in store.seen] == ["/drop/shoe"]


async def test_the_client_of_the_documentation_goes_straight_in(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **FIFO) as door:
        assert await run(door, "/drop/shoe") == "200 the store\n"
