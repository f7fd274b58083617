"""The gateway's answers, read; no answer is never taken for a no."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web

from inventory_backend.payments.payments import Charge, ChargeStatus, GatewayUnavailable, Intent, SimulatedGateway
from inventory_backend.sales import Money
from tests.till import gateway, serving


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


def intent(card: str = "card_ok") -> Intent:
    return Intent("p1", "r1", "o1", Money(12900, "EUR"), card, expires_ms=0)


async def test_authorise_capture_refund(session: aiohttp.ClientSession) -> None:
    async with gateway() as url:
        psp = SimulatedGateway(session, url, timeout_ms=1000)
        charge = await psp.authorise(intent(), key="pay:p1")

        assert charge.status is ChargeStatus.AUTHORISED
        assert charge.ref is not None
        assert await psp.authorise(intent(), key="pay:p1") == charge
        assert (await psp.capture(charge.ref, key="cap:p1")).status is ChargeStatus.CAPTURED
        assert (await psp.capture(charge.ref, key="other")).status is ChargeStatus.CAPTURED
        assert (await psp.cancel(charge.ref)).status is ChargeStatus.CAPTURED
        await psp.refund(charge.ref, key="rf:p1")
        await psp.refund(charge.ref, key="rf:p1")


async def test_a_declined_card_is_an_answer(session: aiohttp.ClientSession) -> None:
    async with gateway() as url:
        psp = SimulatedGateway(session, url, timeout_ms=1000)

        assert (await psp.authorise(intent("card_declined"), key="k")).status is ChargeStatus.DECLINED


async def test_a_request_that_the_gateway_does_not_take_is_a_no(session: aiohttp.ClientSession) -> None:
    async with gateway() as url:
        psp = SimulatedGateway(session, url, timeout_ms=1000)

        assert await psp.authorise(intent("card_gold"), key="k") == Charge(None, ChargeStatus.DECLINED)
        await psp.authorise(intent("card_ok"), key="other")
        with pytest.raises(GatewayUnavailable):  # the key was used for something else: that is our fault, not theirs
            await psp.authorise(intent("card_slow"), key="other")


async def test_cancel_twice_is_cancelled(session: aiohttp.ClientSession) -> None:
    async with gateway() as url:
        psp = SimulatedGateway(session, url, timeout_ms=1000)
        charge = await psp.authorise(intent(), key="k")
        assert charge.ref is not None

        assert [(await psp.cancel(charge.ref)).status for _ in range(2)] == [ChargeStatus.CANCELLED] * 2
        assert (await psp.retrieve(charge.ref)).status is ChargeStatus.CANCELLED
        assert (await psp.capture(charge.ref, key="c")).status is ChargeStatus.CANCELLED


async def test_an_error_of_the_gateway_is_not_an_answer(session: aiohttp.ClientSession) -> None:
    async with gateway() as url:
        psp = SimulatedGateway(session, url, timeout_ms=1000)

        with pytest.raises(GatewayUnavailable):
            await psp.authorise(intent("card_error"), key="k")
        assert (await psp.authorise(intent("card_error"), key="k")).status is ChargeStatus.AUTHORISED


async def test_nobody_there_is_not_an_answer(session: aiohttp.ClientSession) -> None:
    with pytest.raises(GatewayUnavailable):
        await SimulatedGateway(session, "http://127.0.0.1:9", timeout_ms=1000).retrieve("pi_1")


@pytest.mark.parametrize(
    ("status", "text", "wait_s"),
    [
        (429, '{"error":{"type":"rate_limit"}}', 7),
        (503, "<html>", 1),
        (200, "<html>", 1),
        (200, "{}", 1),
        (200, '{"id":"pi_1","status":"teapot"}', 1),
        (200, "[]", 1),
        (500, '{"error":{"payment_intent":{"id":"pi_1","status":"succeeded"}}}', 1),
        (400, '{"error":"plain"}', 1),
    ],
)
async def test_a_strange_answer_is_not_an_answer(
    session: aiohttp.ClientSession, status: int, text: str, wait_s: int
) -> None:
    async def strange(_request: web.Request) -> web.Response:
        headers = {"Retry-After": "7"} if status == 429 else {}
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)

    app = web.Application()
    app.router.add_get("/v1/payment_intents/pi_1", strange)
    async with serving(app) as url:
        with pytest.raises(GatewayUnavailable) as refused:
            await SimulatedGateway(session, url, timeout_ms=1000).retrieve("pi_1")
    assert refused.value.wait_s == wait_s


async def test_a_gateway_that_hangs_is_given_up_in_time(session: aiohttp.ClientSession) -> None:
    release = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/payment_intents/pi_1", hang)
    async with serving(app) as url:
        with pytest.raises(GatewayUnavailable):
            await SimulatedGateway(session, url, timeout_ms=100).retrieve("pi_1")
        release.set()
