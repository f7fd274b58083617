"""Attacks on what ops may do at the till: whoever has not their token, or comes through the room, moves no money."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from inventory_backend.secret_files import OPS_TOKEN_VARIABLE
from tests.edges import Store, as_app, front
from tests.everything import everything
from tests.till import KEYS, SIGNER, Shop, config, gateway, shop
from tests.wire import Reply, faults_of, request, send
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Pass, PassSigner

TOKEN = "a-token-of-ops-that-nobody-can-guess"
BEARER = f"Authorization: Bearer {TOKEN}"
JSON, KEY = "Content-Type: application/json", "Idempotency-Key: r1"
BODY = b'{"why":"because"}'


@pytest.fixture
async def till(
    tmp_path: Path, redis: ScriptRunner, valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Shop]:
    monkeypatch.setenv(OPS_TOKEN_VARIABLE, TOKEN)
    async with gateway() as url, shop(config(tmp_path, f"{valkey_url}?db=1", url), with_jobs=False) as found:
        yield found


async def paid(till: Shop) -> str:
    eve = till.shopper("eve")
    order = str((await eve.commit((await eve.reserve()).body["reservation_id"])).body["order_id"])
    await eve.settled(order, "paid")
    return order


async def refund(till: Shop, order: str, *headers: str | bytes, body: bytes = BODY) -> Reply:
    line = f"POST /ops/orders/{order}/refund"
    reply = await send(int(till.url.rpartition(":")[2]), request(line, *headers, body=body))
    assert faults_of(reply) == []
    return reply


def a_pass(till: Shop) -> str:
    now_ms = till.clock.now_ms()
    return SIGNER.sign(Pass("drop", "eve", now_ms, now_ms + 60_000))


async def test_only_the_token_of_ops_sends_money_back(till: Shop, caplog: pytest.LogCaptureFixture) -> None:
    order = await paid(till)
    before = await everything(till)
    caplog.set_level(logging.DEBUG)
    for given in (
        [],
        ["Authorization:"],
        ["Authorization: Bearer"],
        [f"Authorization: {TOKEN}"],
        [f"Authorization: Basic {TOKEN}"],
        [f"Authorization: Bearer {TOKEN[:-1]}"],
        [f"Authorization: Bearer {TOKEN}x"],
        [f"Authorization: Bearer {TOKEN.upper()}"],
        ["Authorization: Bearer " + "x" * 4000],
        [b"Authorization: Bearer \xff\xfe"],
        [f"Authorization: Bearer {a_pass(till)}"],
        [f"Authorization: Waitroom {a_pass(till)}"],
        ["Authorization: Bearer x", BEARER],
        [f"Cookie: wr_console={TOKEN}; token={TOKEN}"],
        [f"X-Waitroom-Operator: {TOKEN}"],
    ):
        reply = await refund(till, order, JSON, KEY, *given)

        assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, "Bearer"), given
        assert reply.content_type == "application/problem+json"
    assert await everything(till) == before
    assert TOKEN not in caplog.text
    assert (await refund(till, order, JSON, KEY, BEARER)).status == 202


async def test_a_shoppers_pass_sends_no_money_back_nor_does_it_beside_the_token(till: Shop) -> None:
    order = await paid(till)
    before = await everything(till)

    for given in ([f"Waitroom-Pass: {a_pass(till)}"], [f"Waitroom-Pass: {a_pass(till)}", BEARER]):
        assert (await refund(till, order, JSON, KEY, *given)).status == 404
    assert await everything(till) == before


@pytest.mark.parametrize(
    "mark", ["X-Forwarded-For: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Real-IP: 127.0.0.1", "Via: 1.1 x"]
)
async def test_what_a_proxy_passed_on_finds_nothing_even_with_the_token(till: Shop, mark: str) -> None:
    order = await paid(till)
    before = await everything(till)

    assert (await refund(till, order, JSON, KEY, BEARER, mark)).status == 404
    assert await everything(till) == before


async def test_no_shopper_reaches_what_is_for_ops_through_the_room(till: Shop, redis: ScriptRunner) -> None:
    order = await paid(till)
    now_ms = till.clock.now_ms()
    inside = as_app(PassSigner(KEYS).sign(Pass("drop", "eve", now_ms, now_ms + 600_000)))["Authorization"]
    before = await everything(till)
    async with front(redis, KEYS, Store(url=till.url), paths=["/drop/", "/checkout/"]) as room:
        port = room.client.port
        assert port is not None
        for path in (
            f"/ops/orders/{order}/refund",
            f"//ops/orders/{order}/refund",
            f"/./ops/orders/{order}/refund",
            f"/%6fps/orders/{order}/refund",
            f"/checkout/../ops/orders/{order}/refund",
            f"/checkout/%2e%2e/ops/orders/{order}/refund",
        ):
            for more in ([], ["X-Forwarded-For:"], ["Connection: x-forwarded-for"], [f"Authorization: {inside}"]):
                line = f"POST {path}"
                reply = await send(port, request(line, JSON, KEY, BEARER, *more, body=BODY, host=f"127.0.0.1:{port}"))

                assert reply.status in {400, 403, 404, 405, 503}, (path, more, reply.status)
        found = await room.post(f"/ops/orders/{order}/refund", json={"why": "because"})
        assert (found.status, (await found.json())["detail"]) == (404, "There is no such thing of yours."), "the till's"
    assert await everything(till) == before


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("Content-Type: application/x-www-form-urlencoded", b"why=because"),
        ("Content-Type: text/plain", BODY),
        (
            "Content-Type: multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="why"\r\n\r\nx\r\n--x--',
        ),
        (JSON, b""),
        (JSON, b"[]"),
        (JSON, b"{}"),
        (JSON, b'{"why":""}'),
        (JSON, b'{"why":" "}'),
        (JSON, b'{"why":1}'),
        (JSON, b'{"why":"a\\nb"}'),
        (JSON, b'{"why":"\\u0000"}'),
        (JSON, b'{"why":"\\ud800"}'),
        (JSON, b'{"why":"x","amount":1}'),
        (JSON, b'{"why":"' + b"x" * 201 + b'"}'),
        (JSON, b'{"why":"' + b"x" * 20_000 + b'"}'),
    ],
)
async def test_what_a_foreign_page_can_send_or_is_odd_moves_no_money(
    till: Shop, content_type: str, body: bytes
) -> None:
    order = await paid(till)
    before = await everything(till)
    origin = "Origin: https://evil.example"

    assert (await refund(till, order, content_type, origin, KEY, f"Cookie: token={TOKEN}", body=body)).status == 401
    assert (await refund(till, order, content_type, KEY, BEARER, body=body)).status in {400, 413, 415, 422}
    assert await everything(till) == before


async def test_a_key_of_another_order_and_odd_ids_move_no_money(till: Shop) -> None:
    order = await paid(till)
    assert (await refund(till, order, JSON, KEY, BEARER)).status == 202
    await till.shopper("eve").settled(order, "refunded")
    await till.till.jobs.saga.close()
    bob = till.shopper("bob")
    other = str((await bob.commit((await bob.reserve()).body["reservation_id"])).body["order_id"])
    await bob.settled(other, "paid")
    before = await everything(till)

    assert (await refund(till, other, JSON, KEY, BEARER)).status == 422
    for odd in ("x", "%00", "..", "%2e%2e", "'%20OR%201=1", "%F0%9F%92%B8", other.upper(), f"{other}%0a", "x" * 4000):
        assert (await refund(till, odd, JSON, "Idempotency-Key: r2", BEARER)).status in {400, 404}, odd
    for odd_key in ("", "Idempotency-Key: " + "k" * 256):
        assert (await refund(till, other, JSON, BEARER, *([odd_key] if odd_key else []))).status == 400
    assert await everything(till) == before
