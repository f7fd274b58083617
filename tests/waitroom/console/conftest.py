"""The console on a real Valkey, with two rooms and nobody in them."""

from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from aiohttp.typedefs import LooseHeaders

from tests.fakes import FakeClock
from waitroom.console.door import Console
from waitroom.console.guard import Guard
from waitroom.console.sign_ins import Role
from waitroom.kernel.pages import Pages
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tasks import running
from waitroom.kernel.tokens import Keys, Ticket
from waitroom.rules.rooms import RoomRules
from waitroom.store.audit import Audit
from waitroom.store.rooms import Rooms

Client = TestClient[web.Request, web.Application]
Make = Callable[[web.Application], Awaitable[Client]]
TOKENS = {Role.OPERATOR: "the-operator-token", Role.VIEWER: "the-viewer-token"}


@pytest.fixture
def tokens() -> dict[Role, str]:
    return dict(TOKENS)


@pytest.fixture
def as_operator() -> LooseHeaders:
    return {"Authorization": f"Bearer {TOKENS[Role.OPERATOR]}", "X-Waitroom-Operator": "Ada"}


@pytest.fixture
def as_viewer() -> LooseHeaders:
    return {"Authorization": f"Bearer {TOKENS[Role.VIEWER]}"}


@pytest.fixture
def guard(keys: Keys, clock: FakeClock) -> Guard:
    return Guard(TOKENS, keys, clock)


@pytest.fixture
def rooms(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> Rooms:
    return Rooms(
        redis, [RoomRules("drop", total_active_users=2), RoomRules("other", rate_ceiling_per_minute=1000)], keys, clock
    )


@pytest.fixture
def console(redis: ScriptRunner, rooms: Rooms, guard: Guard, clock: FakeClock) -> Console:
    return Console(rooms, Audit(redis), guard, Pages(), clock)


@pytest.fixture
async def client(aiohttp_client: Make, console: Console, clock: FakeClock) -> AsyncIterator[Client]:
    """Give a client of the listener, which looks at the rooms when the clock is moved."""
    async with running(*console.loops(), clock=clock):
        yield await aiohttp_client(console.application())


@pytest.fixture
def wait_in_line(rooms: Rooms) -> Callable[[int], Awaitable[None]]:
    """Let so many people join the line of `drop`."""

    async def join(people: int) -> None:
        snapshot = await rooms.tick("drop")
        for number in range(people):
            ticket = Ticket("drop", snapshot.event, "main", f"ticket-{number:04}", snapshot.now_ms, None)
            await rooms.join(ticket, is_new=True, committed=snapshot.commitment)

    return join
