"""A synthetic visitor goes its way, whatever the site answers, and says how it ended."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.fakes import FakeClock
from waitroom.cli.visitors.member import Errand, Fate, Member
from waitroom.cli.visitors.nature import Intent, Nature
from waitroom.cli.visitors.site import Site

BUYER = Nature("198.18.0.7", arrives=0, intent=Intent.BUY, card="card_ok", pace_s=1, says_goodbye=True)
ERRAND = Errand(
    room="drop", page="/drop/", sale="drop", sku="sneaker", solve=lambda posed: (f"light {posed}", "solved")
)
ORDER = "/checkout/orders/o1"


class FakeSite:
    """A site from outside: it answers as told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.answers: dict[str, list[tuple[int, dict[str, Any]]]] = {
            "challenge": [(200, {"challenge": "c1"})],
            "register": [(201, {"ticket_id": "t1", "lane": "main", "score": 0.5, "place": 3})],
            "pulse": [(200, self.pulse(serving=None)), (200, self.pulse(serving=0.7))],
            "claim": [(425, {}), (200, {"state": "admitted"})],
            "reserve": [(201, {"reservation_id": "r1"})],
            "commit": [(202, {"order_id": "o1", "status": "paying", "status_url": ORDER})],
            "o1": [(200, {"status": "paying"}), (200, {"status": "paid"})],
        }

    @staticmethod
    def pulse(serving: float | None, **changes: Any) -> dict[str, Any]:
        lanes = {"main": {"serving": serving, "called": 1, "waiting": 5}}
        return {"phase": "open", "generation": "g", "lanes": lanes, "rate_per_minute": 600, "spin": 0.0} | changes

    async def answer(self, request: web.Request) -> web.StreamResponse:
        name = request.path.rpartition("/")[2]
        body = await request.json() if request.can_read_body else {}
        self.calls.append((name, body))
        left = self.answers.get(name, [])
        status, data = (left.pop(0) if len(left) > 1 else left[0]) if left else (200, {})
        answer = web.json_response(data, status=status)
        if status == 425:
            answer.headers["Retry-After"] = "2"
        if name == "claim" and status == 200:
            answer.set_cookie("wr_drop_pass", "p1")
        return answer

    def asked(self, name: str) -> list[dict[str, Any]]:
        return [body for called, body in self.calls if called == name]


@pytest.fixture
async def origin(fake: FakeSite) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", fake.answer)
    async with TestServer(app) as server:
        yield str(server.make_url("")).rstrip("/")


@pytest.fixture
def fake() -> FakeSite:
    return FakeSite()


async def lived(origin: str, clock: FakeClock, nature: Nature = BUYER) -> Fate:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as client:
        site = Site(client, clock, origin=origin, address=nature.address, chance=lambda: 0.5)
        life = asyncio.ensure_future(Member(nature, ERRAND, site, clock, chance=lambda: 0.5).live())
        while not life.done():
            await clock.advance(0.5)
            await asyncio.sleep(0.002)
        return await life


async def test_a_buyer_joins_waits_claims_pays_and_says_goodbye(fake: FakeSite, origin: str, clock: FakeClock) -> None:
    assert await lived(origin, clock) is Fate.BOUGHT

    assert [name for name, _ in fake.calls if name] == [
        *("challenge", "register", "pulse", "pulse", "claim", "pulse", "claim"),
        *("reserve", "commit", "o1", "o1", "leave"),
    ]
    assert fake.asked("register") == [{"challenge": "light c1", "solution": "solved"}]
    assert fake.asked("reserve") == [{"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}]
    assert fake.asked("commit") == [{"reservation_id": "r1", "payment": {"provider": "simulated", "method": "card_ok"}}]


async def test_a_declined_card_is_followed_by_another(fake: FakeSite, origin: str, clock: FakeClock) -> None:
    fake.answers["o1"] = [(200, {"status": "declined"}), (200, {"status": "paid"})]

    assert await lived(origin, clock, replace(BUYER, card="card_declined")) is Fate.BOUGHT
    assert [body["payment"]["method"] for body in fake.asked("commit")] == ["card_declined", "card_ok"]


@pytest.mark.parametrize(
    ("changes", "fate"),
    [
        pytest.param({"reserve": [(409, {"type": "sold-out"})]}, Fate.SOLD_OUT, id="sold out at the till"),
        pytest.param({"pulse": [(200, FakeSite.pulse(None, phase="ended"))]}, Fate.SOLD_OUT, id="ended"),
        pytest.param({"challenge": [(410, {})]}, Fate.TURNED_AWAY, id="no challenge"),
        pytest.param({"register": [(403, {})]}, Fate.TURNED_AWAY, id="refused"),
        pytest.param({"claim": [(410, {})]}, Fate.TURNED_AWAY, id="came too late"),
        pytest.param({"reserve": [(403, {})]}, Fate.TURNED_AWAY, id="no pass"),
        pytest.param({"commit": [(410, {})]}, Fate.DECLINED, id="hold ran out"),
        pytest.param({"register": [(201, {})]}, Fate.GAVE_UP, id="an answer without a ticket"),
        pytest.param({"pulse": [(500, {})]}, Fate.GAVE_UP, id="broken"),
    ],
)
async def test_a_no_ends_the_way(
    fake: FakeSite, origin: str, clock: FakeClock, changes: dict[str, Any], fate: Fate
) -> None:
    fake.answers |= changes

    assert await lived(origin, clock) is fate


@pytest.mark.parametrize(
    ("intent", "fate", "not_asked"),
    [
        (Intent.LOOK, Fate.LOOKED, "reserve"),
        (Intent.ABANDON, Fate.ABANDONED, "commit"),
        (Intent.NO_SHOW, Fate.NO_SHOW, "claim"),
    ],
)
async def test_not_everybody_buys(
    fake: FakeSite, origin: str, clock: FakeClock, intent: Intent, fate: Fate, not_asked: str
) -> None:
    assert await lived(origin, clock, replace(BUYER, intent=intent)) is fate
    assert not fake.asked(not_asked)


async def test_a_room_that_lost_its_memory_is_shown_the_ticket(fake: FakeSite, origin: str, clock: FakeClock) -> None:
    fake.answers["pulse"] = [
        (200, FakeSite.pulse(None, generation="a")),
        (200, FakeSite.pulse(None, generation="b")),
        (200, FakeSite.pulse(0.7, generation="b")),
    ]

    assert await lived(origin, clock) is Fate.BOUGHT
    assert len(fake.asked("status")) == 1
