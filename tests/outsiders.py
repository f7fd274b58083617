"""Who speaks to a till over HTTP beside its shoppers: its gateway, ops, and strangers who say that they are either."""

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import aiohttp
from aiohttp import web

from inventory_backend.door.callbacks import Callbacks
from inventory_backend.door.ops import Ops
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.money_back import MoneyBack
from inventory_backend.payments.listener import Listener
from inventory_backend.payments.payments import Gateway
from inventory_backend.payments.saga import Saga
from inventory_backend.payments.signatures import HEADER, TOLERANCE_S, sign
from inventory_backend.payments.simulated_events import Event
from tests.mortal import Died
from waitroom.kernel.answers import Handler, errors_become_answers

SECRET = b"whsec_of-the-gateway"
TOKEN = "a-token-of-ops-that-nobody-can-guess"
GONE = 0
"""The status of a request whose till died over it."""


@web.middleware
async def dies_with_its_till(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let the line go dead when the process does."""
    try:
        return await handler(request)
    except Died:
        assert request.transport is not None
        request.transport.abort()
        return web.Response(status=500)  # it goes nowhere


def doors(ledger: Ledger, gateway: Gateway, saga: Saga) -> web.Application:
    """Return the doors of a till for all who are no shoppers, as `inventory_backend.app` puts them together."""
    app = web.Application(middlewares=[dies_with_its_till, errors_become_answers])
    listener = Listener(ledger, {"simulated": gateway}, saga)
    Callbacks("simulated", (SECRET,), listener, ledger.now_ms).add_to(app.router)
    Ops(MoneyBack(ledger, saga), sha256(TOKEN.encode()).digest()).add_to(app.router)
    return app


@dataclass(frozen=True)
class Outsiders:
    """All of them, on one session."""

    session: aiohttp.ClientSession

    async def gateway_tells(self, url: str, event: Event, now_ms: int) -> tuple[int, str]:
        """Tell of `event`, signed now."""
        body = json.dumps(event.as_json()).encode()
        return await self._tell(url, body, sign(SECRET, now_ms // 1000, body))

    async def strangers_tell(self, url: str, event: Event, now_ms: int) -> list[int]:
        """Tell of `event` in every way that is not the gateway's, and return how each was answered."""
        body, now_s = json.dumps(event.as_json()).encode(), now_ms // 1000
        genuine = sign(SECRET, now_s, body)
        paid: dict[str, Any] = event.as_json() | {"id": "evt_of_mine", "type": "payment_intent.succeeded"}
        paid["data"] = {"object": {**event.about, "status": "succeeded"}}
        forged = json.dumps(paid).encode()
        tries = [
            (forged, [genuine]),
            (forged, [sign(b"whsec_of-somebody-else", now_s, forged)]),
            (forged, [sign(SECRET, now_s - TOLERANCE_S - 1, forged)]),
            (forged, [sign(SECRET, now_s + TOLERANCE_S + 1, forged)]),
            (forged, [genuine, genuine]),
            (forged, []),
            (body + b" ", [genuine]),
            (body, [genuine.replace("v1=", "v0=")]),
        ]
        return [(await self._tell(url, said, *marks))[0] for said, marks in tries]

    async def ops_refund(self, url: str, order: str, key: str) -> tuple[int, str]:
        """Ask for the money of `order`."""
        headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}
        return await self._ask(f"{url}/ops/orders/{order}/refund", headers=headers, json={"why": "a test"})

    async def strangers_refund(self, url: str, order: str) -> list[int]:
        """Ask for the money of `order` without the token, and return how each was answered."""
        passed_on = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "127.0.0.1"}
        tries = [{}, {"Authorization": "Bearer of-another-token"}, {"Waitroom-Pass": "x"}, passed_on]
        ask = f"{url}/ops/orders/{order}/refund"
        key = {"Idempotency-Key": "a stranger's"}
        return [(await self._ask(ask, headers=key | one, json={"why": "mine"}))[0] for one in tries]

    async def _tell(self, url: str, body: bytes, *marks: str) -> tuple[int, str]:
        headers = [(HEADER, mark) for mark in marks]
        return await self._ask(f"{url}/webhooks/simulated", data=body, headers=headers)

    async def _ask(self, url: str, **kept: Any) -> tuple[int, str]:
        try:
            async with self.session.post(url, **kept) as answer:
                found = await answer.json(content_type=None)
                return answer.status, str(found.get("heard") or found.get("refund") or found["type"].rpartition(":")[2])
        except (aiohttp.ClientError, ConnectionError):
            return GONE, ""
