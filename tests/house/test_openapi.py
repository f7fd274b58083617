"""The documents in docs/openapi describe the APIs: each route is in them, and what is answered fits.

Whoever adds a route or a member of an answer says so there.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from openapi_spec_validator import validate

from inventory_backend.paying import WEBHOOK_SECRET_VARIABLE
from inventory_backend.payments.signatures import HEADER, sign
from inventory_backend.sales import HoldState, OrderStatus, SaleState, WaitlistState
from inventory_backend.secret_files import OPS_TOKEN_VARIABLE
from tests.described import FOLDER, Described
from tests.edges import EVENT, Front, Store, as_app, front
from tests.fakes import FakeClock
from tests.http_shopper import solve
from tests.till import Shop, config, gateway, shop
from waitroom.console.door import Console
from waitroom.console.guard import Guard
from waitroom.console.sign_ins import Role
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.pages import Pages
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tasks import running
from waitroom.kernel.tokens import Keys, StockReport, StockReportSigner
from waitroom.rules.rooms import Phase, RoomRules
from waitroom.store.audit import Audit
from waitroom.store.places import Standing
from waitroom.store.rooms import Rooms

OWN = "/.waitroom/{room}"
Client = TestClient[web.Request, web.Application]


async def ask(described: Described, client: Client, method: str, path: str, **kept: Any) -> Any:
    """Ask, hold the answer against the document, and return it."""
    named = {name: kept.pop(name) for name in ("room", "target") if name in kept}
    answer = await client.request(method, path.format(**{"room": "drop"} | named), allow_redirects=False, **kept)
    return await described.fits(method.lower(), path, answer)


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.yaml")))
def test_a_document_is_openapi(name: str) -> None:
    validate(Described(name).document)


def test_the_words_of_the_documents_are_those_of_the_code() -> None:
    def words(name: str, schema: str, member: str) -> set[str]:
        described = Described(name)
        found = described._resolved(described.document["components"]["schemas"][schema])
        return set((found["properties"][member] if member else found)["enum"])

    assert words("edge", "Pulse", "phase") == words("console", "Room", "phase") == set(Phase)
    assert words("edge", "State", "") == set(Standing)
    assert words("till", "Sale", "state") == set(SaleState)
    assert words("till", "Hold", "status") == set(HoldState)
    assert words("till", "Order", "status") == set(OrderStatus)
    assert words("till", "Standing", "status") == set(WaitlistState)


# The edge


async def test_the_edge_is_described(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    described = Described("edge")
    trusted = {"trusted_proxies": ["127.0.0.0/8"]}
    async with front(redis, keys, store, opens_in_s=1800, edge=trusted) as before:
        routes = before.edge.application.router.routes()
        assert described.undescribed(routes, but=["/{tail}", "/.waitroom/{tail}"]) == set()
        joined = await _gathered(partial(ask, described, before.client))
    async with front(redis, keys, store, opens_in_s=-1, edge=trusted) as after:
        await after.tick()
        await _opened(partial(ask, described, after.client), after, joined)
        await after.edge.followers.close()
        assert "data: " in await ask(described, after.client, "GET", f"{OWN}/events")
        await _stocked(partial(ask, described, after.client), after, StockReportSigner(keys))

    assert described.operations - described.asked == set(), "every route was asked"


async def _gathered(ask_: Any) -> dict[str, Any]:
    """Ask everything that can be asked before the opening; return the ticket."""
    for path in ("/.waitroom/healthz", "/.waitroom/readyz", f"{OWN}/pulse", f"{OWN}/proof", f"{OWN}/proof.html"):
        await ask_("GET", path)
    await ask_("GET", f"{OWN}/pulse", room="nowhere")
    await ask_("GET", f"{OWN}/ws")
    await ask_("GET", f"{OWN}/events", room="nowhere")
    await ask_("GET", f"{OWN}/proof", params={"ticket_id": "somebody"})
    await ask_("GET", f"{OWN}/proof", params={"ticket_id": "!"})
    for headers in ({}, {"Accept": "text/html"}):
        await ask_("GET", f"{OWN}/wait", headers=headers)
        await ask_("GET", f"{OWN}/enter", headers=headers)
    posed = await ask_("POST", f"{OWN}/challenge")
    solved = {"challenge": posed["challenge"], "solution": solve(posed["challenge"])}
    joined: dict[str, Any] = await ask_("POST", f"{OWN}/queue/register", json=solved)
    await ask_("POST", f"{OWN}/queue/register", json=solved)
    await ask_("POST", f"{OWN}/queue/register", json={"challenge": 1})
    await ask_("POST", f"{OWN}/queue/register", data=b"{", headers={"Content-Type": "application/json"})
    await ask_("POST", f"{OWN}/queue/slow", data={"return_to": "/drop/"})
    await ask_("GET", f"{OWN}/queue/status")
    await ask_("GET", f"{OWN}/queue/status", headers=as_app(joined["ticket"]))
    await ask_("POST", f"{OWN}/queue/claim", headers=as_app(joined["ticket"]))
    asked = {"X-Forwarded-Method": "GET", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "shop.example"}
    for headers in (asked | {"X-Forwarded-Uri": "/drop/"}, asked | {"X-Forwarded-Uri": "/about"}, {}):
        for front_ in ("nginx", "refusal", "redirect"):
            await ask_("GET", f"/.waitroom/auth/{front_}", headers=headers)
        await ask_("GET", "/.waitroom/auth/envoy{target}", target="/drop/", headers=headers)
    await ask_("POST", "/.waitroom/auth/revoke/{room}", headers={"Waitroom-Pass": "forged"})
    await ask_("POST", f"{OWN}/stock", json={"report": "forged"})
    await ask_("POST", f"{OWN}/stock", json={})
    return joined


async def _opened(ask_: Any, door: Front, joined: dict[str, Any]) -> None:
    """Ask what only an opening answers."""
    ticket = as_app(joined["ticket"])
    assert (await ask_("GET", f"{OWN}/pulse"))["event"] == EVENT
    await ask_("GET", f"{OWN}/proof")
    assert (await ask_("GET", f"{OWN}/queue/status", headers=ticket))["state"] in {"called", "waiting"}
    claimed = await ask_("POST", f"{OWN}/queue/claim", headers=ticket, json={"return_to": "/drop/"})
    await ask_("GET", f"{OWN}/queue/status", headers=as_app(claimed["pass"]))
    await ask_("GET", f"{OWN}/wait", headers=as_app(claimed["pass"]))
    assert (await door.get("/drop/", headers=as_app(claimed["pass"]))).status == 200
    assert isinstance(door.store, Store)
    shown = door.store.seen[-1].headers["Waitroom-Pass"]
    assert await ask_("POST", "/.waitroom/auth/revoke/{room}", headers={"Waitroom-Pass": shown}) is None
    await ask_("POST", f"{OWN}/queue/leave", headers=ticket)
    await ask_("POST", f"{OWN}/queue/leave", headers={"Origin": "https://evil.example"})


async def _stocked(ask_: Any, door: Front, signer: StockReportSigner) -> None:
    """Report as the store behind: once, twice, and too late."""
    now_ms = door.edge.rooms.now_ms()
    for said_ms in (now_ms, now_ms, 0):
        report = signer.sign(StockReport("drop", 40, 3, said_ms))
        await ask_("POST", f"{OWN}/stock", json={"report": report})
    await door.tick()
    assert (await ask_("GET", f"{OWN}/pulse"))["stock"] == {"left": 40, "held": 3}


# The listener for operators

BODIES: dict[str, Any] = {
    "rate": {"per_minute": 60, "why": "slow"},
    "cap": {"total_active_users": 5},
    "message": {"text": "Hello."},
    "spin": {"value": "12 34"},
    "open-all": {"for_s": 60},
    "revoke": {"session": "somebody"},
}


@pytest.fixture
async def console(redis: ScriptRunner, keys: Keys, clock: FakeClock) -> AsyncIterator[Client]:
    tokens = {Role.OPERATOR: "the-operator-token", Role.VIEWER: "the-viewer-token"}
    rooms = Rooms(redis, [RoomRules("drop")], keys, clock)
    listener = Console(rooms, Audit(redis), Guard(tokens, keys, clock), Pages(), clock)
    async with running(*listener.loops(), clock=clock), TestClient(TestServer(listener.application())) as client:
        yield client


async def test_the_listener_for_operators_is_described(console: Client) -> None:
    described, operator = Described("console"), {"Authorization": "Bearer the-operator-token"}
    ask_ = partial(ask, described, console)
    application = console.app
    assert application is not None
    assert described.undescribed(application.router.routes(), but=()) == set()
    for path in ("/", "/login", "/healthz", "/metrics", "/api/rooms"):
        for headers in ({}, operator):
            await ask_("GET", path, headers=headers)
    same = {"Origin": str(console.make_url("/")).rstrip("/")}
    for token in ("wrong", "the-viewer-token"):
        await ask_("POST", "/login", data={"token": token}, headers=same)
    await ask_("POST", "/logout", headers=same)
    await ask_("POST", "/logout", headers={"Origin": "https://evil.example"})
    for _, path in sorted(described.operations - described.asked - {("get", "/api/events")}):
        what = path.rpartition("/")[2]
        method = "POST" if ("post", path) in described.operations else "GET"
        for headers in ({}, {"Authorization": "Bearer the-viewer-token"}, operator):
            await ask_(method, path, headers=headers, json=BODIES.get(what, {}) if method == "POST" else None)
    await ask_("POST", "/api/rooms/{room}/rate", headers=operator, json={"per_minute": -1})
    await ask_("GET", "/api/rooms/{room}", headers=operator, room="nowhere")
    async with console.get("/api/events", headers=operator) as stream:
        assert stream.content_type == "text/event-stream"
        described.asked.add(("get", "/api/events"))

    assert described.operations - described.asked == set(), "every route was asked"


# The till

SECRET = "whsec_of-the-gateway"
OPS_TOKEN = "a-token-of-ops-that-nobody-can-guess"


@pytest.fixture
async def till(
    tmp_path: Path, valkey_url: str, redis: ScriptRunner, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    monkeypatch.setenv(WEBHOOK_SECRET_VARIABLE, SECRET)
    monkeypatch.setenv(OPS_TOKEN_VARIABLE, OPS_TOKEN)
    async with gateway() as gateway_url, shop(config(tmp_path, f"{valkey_url}?db=1", gateway_url)) as found:
        yield found


async def _ask_the_waitlist(till: Shop, asked: Callable[..., Awaitable[Any]], lines: object) -> None:
    """Wait behind nine others for what the first of them lets go of."""
    waitlist = partial(asked, path="/sales/drop/waitlist", template="/sales/{sale}/waitlist")
    wish = {"lines": lines}
    await waitlist("POST", json=wish)
    others = []
    for n in range(9):
        while (got := await till.shopper(f"s{n}").reserve()).status != 201:
            await asyncio.sleep(0.02)  # what was cancelled is free in a moment
        others.append(got.body)
    await waitlist("GET")
    for _ in range(2):
        await waitlist("POST", json=wish)
    await till.shopper("s0").cancel(others[0]["reservation_id"])
    assert (await waitlist("GET"))["offer"]["status"] == "held"
    await waitlist("DELETE")
    await waitlist("DELETE", is_in=False)


async def test_the_till_is_described(till: Shop) -> None:
    described = Described("till")
    pages = {route.resource.canonical for route in till.till.app.router.routes() if route.resource}
    pages = {path for path in pages if path == "/" or path.startswith(("/drop", "/{sale}"))}
    assert described.undescribed(till.till.app.router.routes(), but=pages) == set()
    shopper = till.shopper()

    async def asked(method: str, path: str, *, key: str = "", is_in: bool = True, **kept: Any) -> Any:
        template = kept.pop("template", path)
        headers = (shopper.headers() if is_in else {}) | ({"Idempotency-Key": key} if key else {})
        async with till.session.request(method, till.url + path, headers=headers, **kept) as answer:
            return await described.fits(method.lower(), template, answer)

    wanted = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}
    secret, event = SECRET.encode(), b'{"id":"evt_1","type":"customer.created"}'
    genuine = {HEADER: sign(secret, SystemClock().now_ms() // 1000, event)}
    for headers in ({}, genuine, genuine):
        async with till.session.post(f"{till.url}/webhooks/simulated", data=event, headers=headers) as answer:
            await described.fits("post", "/webhooks/{provider}", answer)
    await asked("POST", "/webhooks/stripe", template="/webhooks/{provider}", data=event)
    for path in ("/healthz", "/readyz"):
        await asked("GET", path, is_in=False)
    for name in ("drop", "nothing"):
        await asked("GET", f"/sales/{name}", template="/sales/{sale}", is_in=False)
    await asked("GET", "/sales/nothing/events", template="/sales/{sale}/events", is_in=False)
    async with till.session.get(f"{till.url}/sales/drop/events") as stream:
        assert stream.content_type == "text/event-stream"
    await asked("POST", "/checkout/reserve", json=wanted, key="k", is_in=False)
    held = await asked("POST", "/checkout/reserve", json=wanted, key="k")
    await asked("POST", "/checkout/reserve", json=wanted, key="k")
    await asked("POST", "/checkout/reserve", json=wanted)
    await asked("POST", "/checkout/reserve", json=wanted | {"lines": []}, key="l")
    await asked("POST", "/checkout/reserve", json={"sale": "drop", "lines": [{"sku": "sneaker", "qty": 9}]}, key="m")
    rid = held["reservation_id"]
    paying = {"reservation_id": rid, "payment": {"provider": "simulated", "method": "card_ok"}}
    placed = await asked("POST", "/checkout/commit", json=paying, key="c")
    settled = await shopper.settled(placed["order_id"])
    assert settled["status"] == "paid"
    for order_id in (placed["order_id"], "nothing"):
        await asked("GET", f"/checkout/orders/{order_id}", template="/checkout/orders/{order_id}")
    for name in (rid, "nothing"):
        await asked("GET", f"/checkout/reservations/{name}", template="/checkout/reservations/{reservation_id}")
    other = await asked("POST", "/checkout/reserve", json=wanted, key="o")
    await asked("POST", "/checkout/cancel", json={"reservation_id": other["reservation_id"]})
    await asked("POST", "/checkout/commit", json=paying | {"reservation_id": other["reservation_id"]}, key="d")
    await _ask_the_waitlist(till, asked, wanted["lines"])
    by_token = {"Authorization": f"Bearer {OPS_TOKEN}"}
    for headers, order_id in (
        ({}, "nothing"),
        (by_token, "nothing"),
        *[(by_token | {"Idempotency-Key": key}, placed["order_id"]) for key in "rrs"],
    ):
        path = f"{till.url}/ops/orders/{order_id}/refund"
        async with till.session.post(path, headers=headers, json={"why": "sent the wrong size"}) as answer:
            await described.fits("post", "/ops/orders/{order_id}/refund", answer)

    assert described.operations - described.asked == set(), "every route was asked"
