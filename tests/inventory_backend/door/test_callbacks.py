"""The gateway tells, the till hears: genuine news once, forged ones never, and what is lost is found by asking."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from sqlalchemy import func, select

from inventory_backend.ledger.schema import audit, inbox
from inventory_backend.paying import API_KEY_VARIABLE, WEBHOOK_SECRET_VARIABLE
from inventory_backend.payments.signatures import HEADER, sign
from inventory_backend.payments.simulated_books import Books
from inventory_backend.payments.simulated_events import Postman
from inventory_backend.payments.simulated_server import SimulatedGatewayServer
from tests.bookkeeping import books
from tests.till import QUICK, Shop, config, serving, shop
from waitroom.kernel.clock import SystemClock

SECRET = "whsec_of-the-gateway"
EVENT = {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": {"object": "payment_intent"}}}


@asynccontextmanager
async def told_shop(
    folder: Path, redis_url: str, port: int, provider: str = "simulated", **payments: int
) -> AsyncIterator[Shop]:
    """Open a till that its gateway tells everything, at `port`."""
    clock, memory = SystemClock(), Books()
    postman = Postman(f"http://127.0.0.1:{port}/webhooks/{provider}", SECRET.encode(), clock, memory.note_event)
    server = SimulatedGatewayServer(clock, QUICK, memory, postman)
    app = server.app()
    app.cleanup_ctx.insert(0, server.telling)
    async with serving(app) as url:
        chosen = config(folder, redis_url, url, tables={})
        chosen = chosen.model_copy(
            update={"payments": chosen.payments.model_copy(update=payments | {"provider": provider})}
        )
        async with shop(chosen, port=port) as found:
            yield found


@pytest.fixture
async def till(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> AsyncIterator[Shop]:
    monkeypatch.setenv(WEBHOOK_SECRET_VARIABLE, f"{SECRET},whsec_that-follows-it")
    async with told_shop(tmp_path, redis_url, unused_tcp_port) as found:
        yield found


async def tell(till: Shop, body: bytes, *marks: str, provider: str = "simulated") -> tuple[int, str]:
    headers = [(HEADER, mark) for mark in marks]
    async with till.session.post(f"{till.url}/webhooks/{provider}", data=body, headers=headers) as answer:
        found = await answer.json(content_type=None)
        return answer.status, str(found.get("heard") or found["type"].removeprefix("urn:waitroom:problem:"))


def marked(body: bytes, secret: str = SECRET, off_s: int = 0) -> str:
    return sign(secret.encode(), SystemClock().now_ms() // 1000 + off_s, body)


async def kept(till: Shop) -> int:
    return await till.till.jobs.ledger.read(lambda c: c.execute(select(func.count()).select_from(inbox)).scalar_one())


async def bought(till: Shop, name: str, card: str = "card_3ds", provider: str = "simulated") -> str:
    shopper = till.shopper(name)
    rid = (await shopper.reserve()).body["reservation_id"]
    asked = {"reservation_id": rid, "payment": {"provider": provider, "method": card}}
    order: str = (await shopper.post("/checkout/commit", asked, "commit")).body["order_id"]
    return (await shopper.settled(order))["status"]  # type: ignore[no-any-return]  # JSON


@pytest.mark.parametrize("provider", ["simulated", "stripe"])
async def test_a_till_that_is_told_does_not_wait_for_its_next_look(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int, provider: str
) -> None:
    monkeypatch.setenv(WEBHOOK_SECRET_VARIABLE, SECRET)
    monkeypatch.setenv(API_KEY_VARIABLE, "sk_test_1")
    async with told_shop(tmp_path, redis_url, unused_tcp_port, provider, poll_ms=60_000) as till:
        assert await bought(till, "alice", provider=provider) == "paid"
        last = select(audit.c.actor).where(audit.c.to_state == "capturing")
        assert await till.till.jobs.ledger.read(lambda c: list(c.execute(last).scalars())) == ["gateway"]


@pytest.mark.parametrize(
    "telling", [{"copies": 3}, {"delay_ms": 300, "is_reversed": True}, {"copies": 0}, {"delay_ms": 86_400_000}]
)
async def test_news_doubled_unordered_late_or_lost_end_in_one_order(till: Shop, telling: dict[str, object]) -> None:
    async with till.session.put(f"{till.gateway_url}/control/webhooks", json=telling) as answer:
        assert answer.status == 204

    assert [await bought(till, name, "card_ok") for name in ("alice", "bob")] == ["paid", "paid"]
    assert (await books(till.till.jobs.ledger)).allocated["sneaker"] == 2


async def test_genuine_news_are_heard_once_under_either_secret(till: Shop) -> None:
    body = json.dumps(EVENT).encode()

    assert await tell(till, body, marked(body)) == (200, "unknown")
    assert await tell(till, body, marked(body, "whsec_that-follows-it")) == (200, "known")
    assert await kept(till) == 1


async def test_what_is_no_event_is_told_so(till: Shop) -> None:
    for body in (b"", b"{}", b"[" * 20_000, b'{"id":"' + b"x" * 200 + b'","type":"a"}'):
        assert await tell(till, body, marked(body)) == (400, "malformed-webhook")
    big = b" " * 65_537
    assert (await tell(till, big, marked(big)))[0] == 413
    assert await kept(till) == 0


async def test_another_provider_or_a_till_without_a_secret_hears_nobody(
    till: Shop, tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = json.dumps(EVENT).encode()
    assert await tell(till, body, marked(body), provider="stripe") == (404, "unknown-provider-webhook")

    monkeypatch.delenv(WEBHOOK_SECRET_VARIABLE)
    async with shop(config(tmp_path, redis_url), with_jobs=False) as deaf:
        assert await tell(deaf, body, sign(b"", 0, body)) == (404, "unknown-provider-webhook")


async def test_who_has_no_pass_may_tell_but_buys_nothing(till: Shop) -> None:
    async with aiohttp.ClientSession() as stranger:
        async with stranger.post(f"{till.url}/checkout/reserve", json={}) as answer:
            assert answer.status == 403
        async with stranger.get(f"{till.url}/webhooks/simulated") as answer:
            assert answer.status == 405
