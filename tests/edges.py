"""A whole edge before a small store, in one process: real Redis, real HTTP, and an opening that a test can move."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import ClientResponse, DummyCookieJar, web
from aiohttp.test_utils import TestClient, TestServer

from waitroom.config import build
from waitroom.edge import Edge, edge_built
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.challenges import solve

EVENT = "opening"
EASY = {"difficulty": 8, "steps": 2}
HTML = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


@dataclass
class Store:
    """The store behind the gate: it remembers what reached it."""

    seen: list[web.Request] = field(default_factory=list)
    answer_headers: dict[str, str] = field(default_factory=dict)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        return web.Response(text="the store", headers=self.answer_headers)


@dataclass
class Front:
    """An edge, and a browserless visitor before it. Cookies are the test's business."""

    edge: Edge
    client: "TestClient[web.Request, web.Application]"
    store: Store
    answered: list[str] = field(default_factory=list)
    """The paths of all that it answered."""

    async def tick(self) -> None:
        await self.edge.ticker.step()

    async def get(self, path: str, **kept: Any) -> ClientResponse:
        return await self.client.get(path, allow_redirects=False, **kept)

    async def post(self, path: str, **kept: Any) -> ClientResponse:
        return await self.client.post(path, allow_redirects=False, **kept)

    async def challenge(self) -> str:
        answer = await self.post("/.waitroom/drop/challenge")
        assert answer.status == 200, await answer.text()
        return str((await answer.json())["challenge"])

    async def join(self) -> dict[str, Any]:
        """Solve a challenge and return the answer to it."""
        challenge = await self.challenge()
        solved = {"challenge": challenge, "solution": solve(challenge)}
        answer = await self.post("/.waitroom/drop/queue/register", json=solved)
        assert answer.status in {200, 201}, await answer.text()
        return dict(await answer.json())


def as_app(token: str) -> dict[str, str]:
    """Return the headers of an app that holds `token`."""
    return {"Authorization": f"Waitroom {token}"}


@asynccontextmanager
async def store_running() -> AsyncIterator[Store]:
    store = Store()
    app = web.Application()

    async def answer(request: web.Request) -> web.StreamResponse:
        return await store.answer(request)

    app.router.add_route("*", "/{tail:.*}", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        store.url = str(server.make_url("/")).rstrip("/")
        yield store


def opening_in(seconds: float) -> dict[str, Any]:
    """Return an event that opens in so many seconds."""
    now = datetime.now(UTC)
    return {
        "name": EVENT,
        "prequeue_start_time": now - timedelta(hours=1),
        "event_start_time": now + timedelta(seconds=seconds),
        "event_end_time": now + timedelta(hours=1),
    }


@asynccontextmanager
async def front(
    redis: ScriptRunner,
    keys: Keys,
    store: Store,
    *,
    opens_in_s: float | None = None,
    clock: Clock | None = None,
    edge: dict[str, Any] | None = None,
    upstream: dict[str, Any] | None = None,
    beside: dict[str, Any] | None = None,
    **room: Any,
) -> AsyncIterator[Front]:
    """Give an edge whose room `drop` opens in so many seconds; None: it is always on.

    With `beside`, further upstreams and routes, a room's `served_by` names its upstream.

    Two fronts one after the other on one Redis are the same room: so a test lets the opening come without waiting.
    """
    if opens_in_s is not None:
        room["events"] = [opening_in(opens_in_s)]
    if "served_by" in room:
        room["upstream"] = room.pop("served_by")
    written: dict[str, Any] = {
        "edge": edge or {},
        "upstreams": [{"name": "store", "url": store.url} | (upstream or {})],
        "rooms": [{"name": "drop", "paths": ["/drop/"], "queueing_method": "random", "challenge": EASY} | room],
    }
    for table, entries in (beside or {}).items():
        written[table] = [*written.get(table, []), *entries]
    config = build(written, {})
    async with AsyncExitStack() as stack:
        built = await stack.enter_async_context(edge_built(config, keys, redis, clock or SystemClock()))
        answered: list[str] = []

        async def note(request: web.Request, _answer: web.StreamResponse) -> None:
            answered.append(request.path)

        application = built.application
        application.on_response_prepare.append(note)
        server = TestServer(application, host="127.0.0.1")
        client = await stack.enter_async_context(TestClient(server, cookie_jar=DummyCookieJar()))
        found = Front(built, client, store, answered)
        await found.tick()
        yield found
