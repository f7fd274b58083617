"""Bad input to the till gets the right answer, and leaves every table and every key of the stock as they were."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from inventory_backend.paying import WEBHOOK_SECRET_VARIABLE
from inventory_backend.payments.signatures import HEADER, sign
from tests import postgresql
from tests.everything import everything
from tests.till import LEDGER_URL, Answer, Shop, config, gateway, shop
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.redis import ScriptRunner

SECRET = b"whsec_of-the-gateway"
NOBODYS = "0" * 36


@dataclass(frozen=True)
class Sale:
    """A sale under way: what alice holds, what she paid for, and what waits for her bank."""

    till: Shop
    held: str
    paid: str
    order: str
    waiting: str


@pytest.fixture(params=["sqlite", "postgresql"])
async def sale(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    redis: ScriptRunner,
    valkey_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Sale]:
    monkeypatch.setenv(WEBHOOK_SECRET_VARIABLE, SECRET.decode())
    if request.param == "postgresql":
        folder = request.getfixturevalue("postgresql_folder")
        (tmp_path / LEDGER_URL).write_text(await postgresql.new_database(folder))
    assert await redis.client.dbsize() == 0
    chosen = config(tmp_path, f"{valkey_url}?db=1", limit_per_shopper=4, window="1h")
    async with gateway() as url:
        at = chosen.model_copy(update={"payments": chosen.payments.model_copy(update={"url": url})})
        async with shop(at, with_jobs=False) as till:
            alice = till.shopper("alice")
            held, paid, waiting = [
                str((await alice.reserve(key=key)).body["reservation_id"]) for key in ("held", "paid", "waiting")
            ]
            order = str((await alice.commit(paid, key="pay")).body["order_id"])
            await alice.settled(order, "paid")
            await alice.commit(waiting, "card_page", key="wait")
            while len(await till.charges()) < 2:
                await asyncio.sleep(0.02)
            await quiet(till)
            yield Sale(till, held, paid, order, waiting)


async def quiet(till: Shop) -> None:
    """Wait until nothing is between two steps."""
    async with asyncio.timeout(60):
        checkout = till.till.jobs.checkout
        checkout._counter._tell()  # what gathers for a moment
        while under_way := till.till.jobs.saga._errands._tasks | checkout._counter._errands._tasks:
            await asyncio.wait(under_way)


Case = Callable[[Sale], Awaitable[Answer]]


def lines(*wanted: tuple[str, Any], key: str = "new") -> Case:
    body = {"sale": "drop", "lines": [{"sku": sku, "qty": qty} for sku, qty in wanted]}
    return lambda sale: sale.till.shopper("eve").post("/checkout/reserve", body, key)


def told(body: Callable[[dict[str, Any]], object], mark: Callable[[bytes, int], list[str]]) -> Case:
    async def tell(sale: Sale) -> Answer:
        charge = (await sale.till.charges())[0]
        sent = json.dumps(body(charge | {"status": "succeeded"})).encode()
        headers = [(HEADER, one) for one in mark(sent, SystemClock().now_ms() // 1000)]
        url = f"{sale.till.url}/webhooks/simulated"
        async with sale.till.session.post(url, data=sent, headers=headers) as answer:
            return Answer(answer.status, await answer.json(content_type=None), answer.headers)

    return tell


def event(charge: dict[str, Any]) -> object:
    return {"id": "evt_1", "type": "payment_intent.succeeded", "data": {"object": charge}}


def stranger(act: str, *about: str, **more: str) -> Case:
    """Let eve do with what is alice's."""
    return lambda sale: getattr(sale.till.shopper("eve"), act)(*(getattr(sale, one) for one in about), **more)


def alice(act: str, *about: str, **more: Any) -> Case:
    return lambda sale: getattr(sale.till.shopper("alice"), act)(*(getattr(sale, one, one) for one in about), **more)


CASES: dict[str, tuple[int, str, Case]] = {
    # lines that must be summed before they are looked at
    "five in five lines": (409, "limit-reached", lines(*[("sneaker", 1)] * 5)),
    "two lines that are too many together": (409, "limit-reached", lines(("sneaker", 3), ("sneaker", 2))),
    "two skus that are too many together": (409, "limit-reached", lines(("laces", 3), ("sneaker", 2))),
    "a sum beyond 32 bits": (409, "limit-reached", lines(*[("sneaker", 2**31 - 1)] * 2)),
    "a sum beyond 32 bits in fifty lines": (409, "limit-reached", lines(*[("laces", 2**31 - 1)] * 50)),
    "too many lines": (422, "invalid-body", lines(*[("sneaker", 1)] * 51)),
    "no lines": (422, "invalid-body", lines()),
    # quantities
    "less than nothing": (422, "invalid-body", lines(("sneaker", -1))),
    "less than nothing, to make room for more": (422, "invalid-body", lines(("sneaker", 6), ("sneaker", -2))),
    "nothing": (422, "invalid-body", lines(("sneaker", 0))),
    "very many": (409, "limit-reached", lines(("sneaker", 2**31 - 1))),
    "more than 32 bits": (422, "invalid-body", lines(("sneaker", 2**31))),
    "more than 64 bits": (422, "invalid-body", lines(("sneaker", 10**30))),
    "a part of one": (422, "invalid-body", lines(("sneaker", 0.5))),
    "a word": (422, "invalid-body", lines(("sneaker", "1"))),
    "one sku of two that is there": (404, "unknown-sku", lines(("sneaker", 1), ("hat", 1))),
    # other people's things
    "another's hold, paid": (404, "not-found", stranger("commit", "held")),
    "another's hold, paid under her key": (404, "not-found", stranger("commit", "held", key="pay")),
    "another's hold, let go of": (404, "not-found", stranger("cancel", "held")),
    "another's order, let go of": (404, "not-found", stranger("cancel", "paid")),
    "another's order as a hold": (404, "not-found", stranger("commit", "order")),
    "nobody's hold, paid": (404, "not-found", alice("commit", NOBODYS, key="n")),
    "nobody's hold, let go of": (404, "not-found", alice("cancel", NOBODYS)),
    "what is paid, let go of": (409, "already-paid", alice("cancel", "paid")),
    "what is paid, paid again": (409, "already-paid", alice("commit", "paid", key="again")),
    "what is being paid, let go of": (409, "payment-in-progress", alice("cancel", "waiting")),
    "what is being paid, paid again": (409, "payment-in-progress", alice("commit", "waiting", key="again")),
    # keys
    "no key": (400, "idempotency-key-missing", lines(("sneaker", 1), key="")),
    "a key too long": (400, "idempotency-key-missing", lines(("sneaker", 1), key="k" * 256)),
    "the key of a hold, for more": (422, "idempotency-key-reused", alice("reserve", qty=2, key="held")),
    "the key of a hold, for another sku": (422, "idempotency-key-reused", alice("reserve", key="held", sku="laces")),
    "the key of what is paid, for more": (422, "idempotency-key-reused", alice("reserve", qty=2, key="paid")),
    "the key of a payment, for another hold": (422, "idempotency-key-reused", alice("commit", "held", key="pay")),
    "the key of a payment, by another card": (
        422,
        "idempotency-key-reused",
        alice("commit", "paid", "card_late", key="pay"),
    ),
    "no key of a payment": (400, "idempotency-key-missing", alice("commit", "held", key="")),
    # webhooks
    "unsigned": (400, "forged-webhook", told(event, lambda _body, _s: [])),
    "signed by another": (400, "forged-webhook", told(event, lambda body, s: [sign(b"whsec_another-one", s, body)])),
    "signed six minutes ago": (400, "forged-webhook", told(event, lambda body, s: [sign(SECRET, s - 360, body)])),
    "signed in six minutes": (400, "forged-webhook", told(event, lambda body, s: [sign(SECRET, s + 360, body)])),
    "signed for other bytes": (400, "forged-webhook", told(event, lambda body, s: [sign(SECRET, s, body + b" ")])),
    "signed twice": (400, "forged-webhook", told(event, lambda body, s: [sign(SECRET, s, body)] * 2)),
    "genuine, and no event": (400, "malformed-webhook", told(lambda _: [], lambda body, s: [sign(SECRET, s, body)])),
}


async def test_bad_input_gets_the_right_answer_and_changes_nothing(sale: Sale) -> None:
    before = await everything(sale.till)
    found = dict[str, tuple[int, str, bool]]()
    for name, (_, _, case) in CASES.items():
        answer = await case(sale)
        await quiet(sale.till)
        found[name] = (answer.status, answer.kind, await everything(sale.till) == before)

    assert found == {name: (status, kind, True) for name, (status, kind, _) in CASES.items()}


async def test_what_is_sound_changes_something(sale: Sale) -> None:
    """The comparison above sees what it should see."""
    seen = [await everything(sale.till)]
    for case in (
        lines(("sneaker", 1), ("sneaker", 1)),
        alice("cancel", "held"),
        told(event, lambda body, s: [sign(SECRET, s, body)]),
    ):
        assert (await case(sale)).status in {200, 201}
        await quiet(sale.till)
        seen.append(await everything(sale.till))

    for before, after in pairwise(seen):
        assert before != after


async def test_too_late_for_the_last_unit_changes_nothing(sale: Sale) -> None:
    assert (await sale.till.shopper("bob").reserve(4)).status == 201
    assert (await sale.till.shopper("carol").reserve(3)).status == 201
    await quiet(sale.till)
    before = await everything(sale.till)

    for wanted in ([("sneaker", 1)], [("laces", 1), ("sneaker", 1)]):  # of the second, the laces were to be had
        answer = await lines(*wanted)(sale)
        await quiet(sale.till)
        assert (answer.status, answer.kind) == (409, "sold-out")
    assert await everything(sale.till) == before
