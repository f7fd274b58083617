"""Two tills that ops ask at once send the money of an order back once, and give one answer."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inventory_backend.secret_files import OPS_TOKEN_VARIABLE
from tests.inventory_backend.door.test_ops import TOKEN, paid, refund
from tests.till import Shop, config, gateway, shop


@pytest.fixture
async def tills(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Shop, Shop]]:
    monkeypatch.setenv(OPS_TOKEN_VARIABLE, TOKEN)
    async with gateway() as url:
        chosen = config(tmp_path, redis_url, url)
        async with shop(chosen) as one, shop(chosen, with_jobs=False) as other:
            await other.till.jobs.rebuild.step()
            yield one, other


async def test_one_key_that_reaches_two_tills_at_once_has_one_answer(tills: tuple[Shop, Shop]) -> None:
    one, other = tills
    order = await paid(one)

    told = await asyncio.gather(*(refund(till, order) for till in (one, other, one, other)))

    answers = {(answer.status, answer.body.get("refund")) for answer in told if answer.status != 409}
    assert answers == {(202, "begun")}
    assert {answer.kind for answer in told if answer.status == 409} <= {"request-in-flight"}
    await one.shopper().settled(order, "refunded")


async def test_one_key_for_two_orders_at_two_tills_refunds_one(tills: tuple[Shop, Shop]) -> None:
    one, other = tills
    orders = [await paid(one), await paid(one, "bob")]

    told = await asyncio.gather(*(refund(till, order) for till, order in zip(tills, orders, strict=True)))

    assert sorted(answer.status for answer in told) == [202, 422]
    statuses = [
        (await other.shopper(name).order(order))["status"] for name, order in zip(("alice", "bob"), orders, strict=True)
    ]
    assert sorted(statuses) == ["paid", "refunded"]
