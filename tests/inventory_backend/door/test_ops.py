"""Ops send the money of an order back over HTTP: once, on record with who, when and why."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from inventory_backend.ledger.schema import audit
from inventory_backend.secret_files import OPS_TOKEN_VARIABLE
from tests.bookkeeping import books
from tests.till import Answer, Shop, config, gateway, shop

TOKEN = "a-token-of-ops-that-nobody-can-guess"
WHY = "sent the wrong size"


@pytest.fixture
async def till(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    monkeypatch.setenv(OPS_TOKEN_VARIABLE, TOKEN)
    async with gateway() as url, shop(config(tmp_path, redis_url, url)) as found:
        yield found


async def paid(till: Shop, name: str = "alice") -> str:
    """Return the id of a paid order."""
    shopper = till.shopper(name)
    order = str((await shopper.commit((await shopper.reserve()).body["reservation_id"])).body["order_id"])
    await shopper.settled(order, "paid")
    return order


async def refund(till: Shop, order: str, key: str | None = "r1", why: str = WHY, **headers: str) -> Answer:
    told: dict[str, Any] = {"Authorization": f"Bearer {TOKEN}", "X-Waitroom-Operator": "ann"} | headers
    if key is not None:
        told["Idempotency-Key"] = key
    path = f"{till.url}/ops/orders/{order}/refund"
    async with till.session.post(path, json={"why": why}, headers=told) as answer:
        return Answer(answer.status, await answer.json(content_type=None), answer.headers)


async def test_a_refund_goes_back_to_the_shopper_once_and_stands_in_the_audit(till: Shop) -> None:
    order = await paid(till)

    begun = await refund(till, order)
    again, known = await refund(till, order), await refund(till, order, key="r2")

    assert (begun.status, begun.body) == (202, {"order_id": order, "status": "refunded", "refund": "begun"})
    assert (again.status, again.body, again.headers["Idempotent-Replayed"]) == (202, begun.body, "true")
    assert (known.status, known.body["refund"]) == (200, "known")
    assert begun.headers["Cache-Control"] == "no-store"
    await till.shopper().settled(order, "refunded")
    while not (sent := await till.refunds()):
        await till.till.jobs.saga.resume()
    assert [one["amount"] for one in sent] == [12900]
    said = select(audit.c.actor, audit.c.why, audit.c.at_ms).where(audit.c.to_state == "refund_due")
    [(actor, why, at_ms)] = await till.till.jobs.ledger.read(lambda c: [tuple(row) for row in c.execute(said)])
    assert (actor, why) == ("ops:ann (127.0.0.0/24)", WHY)
    assert abs(at_ms - till.clock.now_ms()) < 60_000
    await books(till.till.jobs.ledger)


async def test_what_cannot_be_refunded_is_told_apart(till: Shop) -> None:
    shopper = till.shopper()
    held = (await shopper.reserve()).body["reservation_id"]
    declined = (await shopper.commit(held, "card_declined")).body["order_id"]
    await shopper.settled(declined, "declined")

    told = {
        "declined": await refund(till, declined),
        "a hold": await refund(till, held),
        "nothing": await refund(till, "0" * 36),
        "no id": await refund(till, "%00"),
    }

    assert {name: (answer.status, answer.kind) for name, answer in told.items()} == {
        "declined": (409, "order-not-paid"),
        "a hold": (404, "unknown-order"),
        "nothing": (404, "unknown-order"),
        "no id": (404, "unknown-order"),
    }


async def test_the_key_is_of_one_refund_of_one_order(till: Shop) -> None:
    first, second = await paid(till), await paid(till, "bob")
    await refund(till, first)

    told = [
        await refund(till, second),
        await refund(till, first, why="another reason"),
        await refund(till, second, key=None),
        await refund(till, second, key="k" * 256),
    ]

    assert [(one.status, one.kind) for one in told] == [
        (422, "idempotency-key-reused"),
        (422, "idempotency-key-reused"),
        (400, "idempotency-key-missing"),
        (400, "idempotency-key-missing"),
    ]
    assert (await till.shopper("bob").order(second))["status"] == "paid"


async def test_who_gives_no_name_is_written_down_so_and_a_long_one_is_cut(till: Shop) -> None:
    await refund(till, await paid(till), **{"X-Waitroom-Operator": ""})
    await refund(till, await paid(till, "bob"), key="r2", **{"X-Waitroom-Operator": "b" * 300})

    said = select(audit.c.actor).where(audit.c.to_state == "refund_due").order_by(audit.c.seq)
    actors = await till.till.jobs.ledger.read(lambda c: list(c.execute(said).scalars()))
    assert actors == ["ops:nobody named (127.0.0.0/24)", f"ops:{'b' * 40} (127.0.0.0/24)"]


async def test_without_a_token_nobody_may_and_it_says_what_to_set(tmp_path: Path, redis_url: str) -> None:
    async with shop(config(tmp_path, redis_url), with_jobs=False) as till:
        told = await refund(till, "0" * 36)

    assert (told.status, told.kind) == (403, "no-ops-token")
    assert OPS_TOKEN_VARIABLE in told.body["detail"]
