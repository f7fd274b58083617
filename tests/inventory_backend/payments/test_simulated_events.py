"""Events reach whoever is told: signed, in their order or out of it, once, twice, late or never."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from inventory_backend.payments.signatures import HEADER, is_genuine
from inventory_backend.payments.simulated_books import Books
from inventory_backend.payments.simulated_events import Event, Postman, hearing_till
from tests.fakes import FakeClock
from tests.till import serving

SECRET = b"whsec_test"


@dataclass
class Box:
    """Who is told, and how it answers."""

    postman: Postman
    clock: FakeClock
    books: Books
    url: str = ""
    status: int = 200
    got: list[str] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.read()
        assert is_genuine([SECRET], request.headers[HEADER], body, self.clock.now_ms() // 1000)
        self.got.append(json.loads(body)["type"])
        return web.Response(status=self.status)

    async def say(self, *kinds: str) -> None:
        for kind in kinds:
            self.postman.take(Event(kind, self.clock.now_ms(), {}))
        await self.postman.step()

    async def change(self, **telling: object) -> int:
        app = web.Application()
        self.postman.add_to(app.router)
        async with (
            serving(app) as url,
            aiohttp.ClientSession() as session,
            session.put(f"{url}/control/webhooks", json=telling) as answer,
        ):
            return answer.status


@asynccontextmanager
async def told(clock: FakeClock) -> AsyncIterator[Box]:
    books, app = Books(), web.Application()
    box = Box(Postman("", SECRET, clock, books.note_event), clock, books)
    app.router.add_post("/hook", box.take)
    async with serving(app) as url:
        box.url = f"{url}/hook"
        box.postman = Postman(box.url, SECRET, clock, books.note_event)
        yield box
    books.close()


@pytest.fixture
async def box(clock: FakeClock) -> AsyncIterator[Box]:
    async with told(clock) as found:
        yield found


async def test_they_come_in_their_order_and_once(box: Box) -> None:
    await box.say("a", "b")
    await box.postman.step()

    assert box.got == ["a", "b"]


async def test_they_come_late_doubled_and_out_of_order_when_somebody_says_so(box: Box) -> None:
    assert await box.change(delay_ms=5000, copies=2, is_reversed=True) == 204
    await box.say("a", "b")
    assert box.got == []

    await box.clock.advance(5)
    await box.postman.step()

    assert box.got == ["b", "b", "a", "a"]


async def test_they_are_lost_when_somebody_says_so(box: Box) -> None:
    await box.change(copies=0)
    await box.say("a")
    await box.change()
    await box.say("b")

    assert box.got == ["b"]


async def test_who_does_not_take_one_is_told_again_later_and_less_and_less_often(box: Box) -> None:
    box.status = 500
    await box.say("a")
    for _ in range(30):
        await box.clock.advance(1)
        await box.postman.step()
    assert box.got == ["a"] * 5

    box.status = 200
    await box.clock.advance(60)
    await box.postman.step()
    await box.clock.advance(3600)
    await box.postman.step()

    assert box.got == ["a"] * 6


async def test_what_an_earlier_process_did_not_get_told_is_told(box: Box) -> None:
    box.status = 503
    await box.say("a")
    [event] = box.books.events.values()
    heir = Postman(box.url, SECRET, box.clock, box.books.note_event)
    heir.resume(event)
    box.status = 200
    await box.clock.advance(10)
    await heir.step()
    heir.resume(event)
    await heir.step()

    assert box.got == ["a", "a"]


@pytest.mark.parametrize("bad", [{"copies": -1}, {"delay_ms": "x"}, {"more": 1}])
async def test_an_odd_way_of_telling_is_refused_and_changes_nothing(box: Box, bad: dict[str, object]) -> None:
    assert await box.change(**bad) == 500, "the middleware that makes it a 422 is the gateway's"
    await box.say("a")

    assert box.got == ["a"]


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ('[server]\nlisten = "0.0.0.0:9001"\n', "http://127.0.0.1:9001/webhooks/simulated"),
        ('[payments]\nprovider = "stripe"\n', ""),
        ("[server]\nlisten = 5\n", ""),
    ],
)
def test_the_till_is_told_where_it_listens_unless_it_has_another_gateway_or_does_not_start(
    tmp_path: Path, written: str, url: str
) -> None:
    skus = 'skus = [{ sku = "sneaker", name = "Sneaker", price = 1, total = 1 }]'
    (tmp_path / "inventory.toml").write_text(f'{written}[[sales]]\nname = "drop"\n{skus}\n')

    found = hearing_till(tmp_path / "inventory.toml", {"WAITROOM_SIMULATED_GATEWAY_SECRET": "s" * 32})

    assert found == (url, b"s" * 32)
