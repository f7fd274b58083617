"""One ticket has one right to reserve: however it comes in, a real till behind a real room counts one shopper."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.edges import HTML, Front, Store, as_app, front
from tests.till import KEYS, Shop, config, shop
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import PassSigner
from waitroom.rules.rooms import Change, ChangeKind

QUEUE = "/.waitroom/drop/queue"
LIMIT = 2


@dataclass(frozen=True)
class Gated:
    """A till that only the room's proxy reaches."""

    room: Front
    till: Shop

    async def reserve(self, pass_: str, qty: int = 1) -> str:
        """Try to set units aside, under a new key each time; return "held", or why not."""
        body = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": qty}]}
        headers = as_app(pass_) | {"Idempotency-Key": secrets.token_hex(8)}
        answer = await self.room.post("/checkout/reserve", json=body, headers=headers)
        told = await answer.json()
        return "held" if answer.status == 201 else str(told["type"]).rpartition(":")[2]

    async def claim(self, ticket: str) -> str:
        """Return the pass of a ticket that is called, or the kind of the refusal."""
        await self.room.tick()
        answer = await self.room.post(f"{QUEUE}/claim", headers=as_app(ticket))
        told = await answer.json()
        return str(told["pass"] if answer.status == 200 else told["type"].rpartition(":")[2])

    async def taken(self) -> int:
        return 10 - await self.till.available()


@asynccontextmanager
async def gated(tmp_path: Path, redis: ScriptRunner, valkey_url: str, **room: Any) -> AsyncIterator[Gated]:
    terms: dict[str, Any] = {"paths": ["/drop/", "/checkout/"], "queueing_method": "fifo"} | room
    chosen = config(tmp_path, f"{valkey_url}?db=1", limit_per_shopper=LIMIT)
    async with shop(chosen) as till, front(redis, KEYS, Store(url=till.url), **terms) as found:
        yield Gated(found, till)


@pytest.fixture
async def sale(tmp_path: Path, redis: ScriptRunner, valkey_url: str) -> AsyncIterator[Gated]:
    async with gated(tmp_path, redis, valkey_url, new_users_per_minute=60_000.0) as found:
        yield found


async def joined(sale: Gated) -> str:
    return str((await sale.room.join())["ticket"])


async def test_a_ticket_on_two_devices_reserves_for_one(sale: Gated) -> None:
    ticket = await joined(sale)
    passes = [await sale.claim(ticket) for _ in range(2)]

    outcomes = await asyncio.gather(*(sale.reserve(pass_) for pass_ in passes * 5))

    assert sorted(outcomes) == ["held"] * LIMIT + ["limit-reached"] * (10 - LIMIT)
    assert await sale.taken() == LIMIT


async def test_a_renewed_session_is_the_same_shopper(sale: Gated) -> None:
    first = await sale.claim(await joined(sale))
    assert await sale.reserve(first, LIMIT) == "held"
    signer, now_ms = PassSigner(KEYS), sale.room.edge.rooms.now_ms()
    used_up = signer.sign(replace(signer.verify(first, room="drop", now_ms=now_ms), expires_ms=now_ms + 30_000))
    answer = await sale.room.get("/drop/", headers=as_app(used_up))
    renewed = answer.headers["Waitroom-Token"]

    assert renewed != used_up
    assert await sale.reserve(renewed) == "limit-reached"


async def test_a_ticket_whose_session_is_over_has_no_other(sale: Gated) -> None:
    ticket = await joined(sale)
    pass_ = await sale.claim(ticket)
    assert await sale.reserve(pass_, LIMIT) == "held"
    await sale.room.post(f"{QUEUE}/leave", headers=as_app(pass_))

    assert await sale.claim(ticket) == "lapsed"
    await sale.room.edge.rooms.control("drop", Change(ChangeKind.PAUSE), who="ops")  # else they come straight in, anew
    await sale.room.tick()
    assert await sale.reserve(pass_) == "waiting"


async def test_after_redis_lost_who_came_in_a_ticket_is_the_shopper_it_was(sale: Gated, redis: ScriptRunner) -> None:
    ticket = await joined(sale)
    assert await sale.reserve(await sale.claim(ticket), LIMIT) == "held"
    await redis.client.flushdb()
    again = await sale.claim(ticket)
    async with asyncio.timeout(60):
        while (outcome := await sale.reserve(again)) == "store-unavailable":  # until the till has put its stock back
            await asyncio.sleep(0.05)

    assert outcome == "limit-reached"
    assert await sale.taken() == LIMIT


async def test_who_lapsed_and_returned_has_one_right(tmp_path: Path, redis: ScriptRunner, valkey_url: str) -> None:
    async with gated(tmp_path, redis, valkey_url, claim_window="1s", new_users_per_minute=60_000.0) as sale:
        ticket = await joined(sale)
        async with asyncio.timeout(60):
            while not (await _ticked(sale)).lapsed:  # Redis's own clock decides
                await asyncio.sleep(0.05)
        standing = await (await sale.room.get(f"{QUEUE}/status", headers=as_app(ticket))).json()
        assert standing["state"] == "called", "once more"
        pass_ = await sale.claim(ticket)

        assert [await sale.reserve(pass_, qty) for qty in (LIMIT, 1)] == ["held", "limit-reached"]
        assert await sale.reserve(await sale.claim(ticket)) == "limit-reached"


async def test_who_comes_straight_in_is_limited_too(sale: Gated) -> None:
    answer = await sale.room.get("/drop/", headers=HTML)
    pass_ = answer.headers["Set-Cookie"].partition(";")[0].partition("=")[2]

    assert [await sale.reserve(pass_, qty) for qty in (LIMIT, 1)] == ["held", "limit-reached"]


async def test_two_tickets_are_two_shoppers(sale: Gated) -> None:
    """Knowingly: who stands in line twice has done the work twice. Identity is another matter."""
    passes = [await sale.claim(await joined(sale)) for _ in range(2)]

    assert [await sale.reserve(pass_, LIMIT) for pass_ in passes] == ["held", "held"]


async def _ticked(sale: Gated) -> Any:
    await sale.room.tick()
    return sale.room.edge.board.get("drop")
