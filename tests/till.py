"""A till for tests: real ledger, real Valkey, the simulated gateway over HTTP, and shoppers with passes."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.test_utils import TestServer

from inventory_backend.app import Till, built
from inventory_backend.config import Config
from inventory_backend.payments.simulated_cards import Behaviour
from inventory_backend.payments.simulated_server import SimulatedGatewayServer
from inventory_backend.sales import Sale, Sku
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.settings import parse
from waitroom.kernel.tasks import running
from waitroom.kernel.tokens import Keys, Pass, UpstreamPassSigner

KEYS = Keys([b"a-test-secret-that-is-32-bytes-long!"])
SIGNER = UpstreamPassSigner(KEYS)
LEDGER_URL = "ledger.url"
"""The file that says where the ledger of a test is."""
QUICK = Behaviour(slow_ms=200, pause_ms=200, late_ms=200)
"""Cards that take a fifth of a second instead of seconds."""


def sale(total: int = 10, limit: int = 2, *, shards: int = 1, **terms: Any) -> Sale:
    """Return a sale of sneakers and laces, each split into `shards`."""
    skus = {
        "laces": Sku("laces", "Laces", 500, total, shards=shards),
        "sneaker": Sku("sneaker", "Sneaker", 12900, total, shards=shards),
    }
    facts: dict[str, Any] = {"starts_ms": None, "ends_ms": None, "hold_ms": 600_000, "skus": skus} | terms
    return Sale(name="drop", title="Drop", room="drop", currency="EUR", limit_per_shopper=limit, **facts)


def ledger_url(folder: Path) -> str:
    """Return the address that the test's fixture left in `folder`; without one, that of a file in it."""
    chosen = folder / LEDGER_URL
    return chosen.read_text() if chosen.exists() else f"sqlite:///{folder}/ledger.db"


def config(
    folder: Path, redis_url: str, gateway_url: str = "http://127.0.0.1:9", *, total: int = 10, **terms: Any
) -> Config:
    """Return the settings of a till; `terms` are those of its sale."""
    shards = terms.pop("shards", 1)
    skus = [
        {"sku": "laces", "name": "Laces", "price": 500, "total": total, "shards": shards},
        {"sku": "sneaker", "name": "Sneaker", "price": 12900, "total": total, "shards": shards},
    ]
    written = {
        "ledger": {"url": ledger_url(folder), "readers": 2, "group_delay": "0s"},
        "redis": {"url": redis_url, "timeout": "5s"},
        "payments": {
            "url": gateway_url,
            "poll": "50ms",
            "timeout": "1s",
            "window": terms.pop("window", "1s"),
            "grace": terms.pop("grace", "200ms"),
        },
        **terms.pop("tables", {}),
        "sales": [{"name": "drop", "limit_per_shopper": 2, "skus": skus, **terms}],
    }
    return parse(written, Config)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]

    @property
    def kind(self) -> str:
        return str(self.body.get("type", "")).removeprefix("urn:waitroom:problem:")


@dataclass(frozen=True)
class Shopper:
    """Somebody whom the room let in."""

    session: aiohttp.ClientSession
    url: str
    name: str
    clock: Clock

    def headers(self, key: str | None = None) -> dict[str, str]:
        now_ms = self.clock.now_ms()
        found = {"Waitroom-Pass": SIGNER.sign(Pass("drop", self.name, now_ms, now_ms + 60_000))}
        return found | ({"Idempotency-Key": key} if key else {})

    async def post(self, path: str, body: object, key: str | None = None) -> Answer:
        async with self.session.post(self.url + path, json=body, headers=self.headers(key)) as answer:
            return Answer(answer.status, await answer.json(content_type=None), answer.headers)

    async def get(self, path: str) -> Answer:
        async with self.session.get(self.url + path, headers=self.headers()) as answer:
            return Answer(answer.status, await answer.json(content_type=None), answer.headers)

    async def reserve(self, qty: int = 1, *, key: str = "reserve", sku: str = "sneaker") -> Answer:
        return await self.post("/checkout/reserve", {"sale": "drop", "lines": [{"sku": sku, "qty": qty}]}, key)

    async def commit(self, rid: str, card: str = "card_ok", *, key: str = "commit", **more: str) -> Answer:
        payment = {"provider": "simulated", "method": card}
        return await self.post("/checkout/commit", {"reservation_id": rid, "payment": payment, **more}, key)

    async def cancel(self, rid: str) -> Answer:
        return await self.post("/checkout/cancel", {"reservation_id": rid})

    async def order(self, order_id: str) -> dict[str, Any]:
        return (await self.get(f"/checkout/orders/{order_id}")).body

    async def settled(self, order_id: str, *wanted: str, within_s: float = 60) -> dict[str, Any]:
        """Return the order once its status is one of `wanted` (default: anything but paying)."""
        async with asyncio.timeout(within_s):
            while True:
                found = await self.order(order_id)
                if found["status"] in wanted or (not wanted and found["status"] != "paying"):
                    return found
                await asyncio.sleep(0.05)


@dataclass(frozen=True)
class Shop:
    """A till that serves, with its jobs."""

    till: Till
    session: aiohttp.ClientSession
    url: str
    clock: Clock
    gateway_url: str

    def shopper(self, name: str = "alice") -> Shopper:
        return Shopper(self.session, self.url, name, self.clock)

    async def charges(self) -> list[dict[str, Any]]:
        """Return the charges as the gateway has them, newest first."""
        async with self.session.get(f"{self.gateway_url}/v1/payment_intents?limit=100") as answer:
            found: list[dict[str, Any]] = (await answer.json())["data"]
        return found

    async def refunds(self) -> list[dict[str, Any]]:
        """Return the refunds as the gateway has them, newest first."""
        async with self.session.get(f"{self.gateway_url}/v1/refunds?limit=100") as answer:
            found: list[dict[str, Any]] = (await answer.json())["data"]
        return found

    async def available(self) -> int:
        await self.till.jobs.catalogue.refresh()
        async with self.session.get(f"{self.url}/sales/drop") as answer:
            found = await answer.json()
        return next(int(one["available"]) for one in found["skus"] if one["sku"] == "sneaker")


@asynccontextmanager
async def serving(app: web.Application, port: int | None = None) -> AsyncIterator[str]:
    """Serve `app` on `port`, or on a free one, and give its address."""
    async with TestServer(app, port=port) as server:
        yield str(server.make_url("")).rstrip("/")


@asynccontextmanager
async def serving_till(till: Till, port: int = 0) -> AsyncIterator[str]:
    """Serve `till` as in production, on `port` or on a free one, and give its address."""
    runner = till.runner(drain_s=5)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def gateway(clock: Clock | None = None, behaviour: Behaviour = QUICK) -> AsyncIterator[str]:
    """Serve the simulated gateway and give its address."""
    async with serving(SimulatedGatewayServer(clock or SystemClock(), behaviour).app()) as url:
        yield url


@asynccontextmanager
async def shop(
    chosen: Config, *, clock: Clock | None = None, with_jobs: bool = True, port: int | None = None
) -> AsyncIterator[Shop]:
    """Open the till of `chosen`; without its jobs, the test takes each step itself."""
    time = clock or SystemClock()
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        built(chosen, SIGNER, time) as till,
        running(*(till.jobs.loops() if with_jobs else ()), clock=time),
        serving_till(till, port or 0) as url,
    ):
        yield Shop(till, session, url, time, chosen.payments.address)
