"""What every gateway must do, the same for each that the till can talk to: no answer is ever taken for a no."""

import asyncio
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest
from aiohttp import web

from inventory_backend.payments.payments import (
    Charge,
    ChargeStatus,
    Gateway,
    GatewayBusy,
    GatewayRefused,
    GatewayUnavailable,
    Intent,
)
from inventory_backend.payments.simulated_gateway import SimulatedGateway
from inventory_backend.payments.stripe_gateway import StripeGateway
from inventory_backend.payments.stripe_shapes import Marks
from inventory_backend.sales import Money
from tests.fakes import FakeClock
from tests.till import gateway, serving

MARKS = Marks("shop-1", "https://shop.example/orders/{order_id}")
Making = Callable[..., Gateway]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as found:
        yield found


@pytest.fixture(params=["simulated", "stripe"])
def talking_to(request: pytest.FixtureRequest, session: aiohttp.ClientSession) -> Making:
    """Give how to make each gateway of the till, to talk to the address of a server of Stripe's shape."""

    def made(url: str, timeout_ms: int = 1000) -> Gateway:
        if request.param == "stripe":
            return StripeGateway(session, "sk_test_1", url, timeout_ms=timeout_ms, marks=MARKS)
        return SimulatedGateway(session, url, timeout_ms=timeout_ms, marks=MARKS)

    return made


def intent(card: str = "card_ok", pid: str = "p1") -> Intent:
    return Intent(pid, "r1", "o1", Money(12900, "EUR"), card, expires_ms=0)


async def script(session: aiohttp.ClientSession, url: str, **fault: object) -> None:
    """Let the gateway meet a fault."""
    async with session.post(f"{url}/control/faults", json=fault) as answer:
        assert answer.status == 204


async def test_authorise_capture_refund(talking_to: Making) -> None:
    async with gateway() as url:
        psp = talking_to(url)
        charge = await psp.authorise(intent(), key="pay:p1")

        assert charge.status is ChargeStatus.AUTHORISED
        assert charge.ref is not None
        assert await psp.authorise(intent(), key="pay:p1") == charge
        assert (await psp.capture(charge.ref, key="cap:p1")).status is ChargeStatus.CAPTURED
        assert (await psp.capture(charge.ref, key="other")).status is ChargeStatus.CAPTURED
        assert (await psp.cancel(charge.ref)).status is ChargeStatus.CAPTURED
        await psp.refund(charge.ref, key="rf:p1")
        await psp.refund(charge.ref, key="rf:p1")
        await psp.refund(charge.ref, key="a key that was forgotten")


async def test_money_is_set_aside_and_taken_only_by_the_capture(
    talking_to: Making, session: aiohttp.ClientSession
) -> None:
    async def taken(url: str, ref: str) -> tuple[str, int]:
        async with session.get(f"{url}/v1/payment_intents/{ref}") as answer:
            found = await answer.json()
        return found["capture_method"], found["amount_received"]

    async with gateway() as url:
        psp = talking_to(url)
        charge = await psp.authorise(intent(), key="pay:p1")
        assert charge.ref is not None

        assert await taken(url, charge.ref) == ("manual", 0)
        await psp.capture(charge.ref, key="cap:p1")
        assert await taken(url, charge.ref) == ("manual", 12900)


async def test_what_a_bank_is_working_on_cannot_be_called_off(talking_to: Making) -> None:
    async with gateway() as url:
        psp = talking_to(url)
        late = Intent("p1", "r1", "o1", Money(12900, "EUR"), "card_late", expires_ms=4_000_000_000_000)
        charge = await psp.authorise(late, key="k")
        assert charge.ref is not None

        assert (charge.status, (await psp.cancel(charge.ref)).status) == (ChargeStatus.PROCESSING,) * 2
        assert (await psp.capture(charge.ref, key="c")).status is ChargeStatus.PROCESSING


async def test_a_declined_card_is_an_answer(talking_to: Making) -> None:
    async with gateway() as url:
        assert (await talking_to(url).authorise(intent("card_declined"), key="k")).status is ChargeStatus.DECLINED


async def test_a_request_that_the_gateway_does_not_take_is_a_no(talking_to: Making) -> None:
    async with gateway() as url:
        psp = talking_to(url)

        assert await psp.authorise(intent("card_gold"), key="k") == Charge(None, ChargeStatus.DECLINED)
        await psp.authorise(intent("card_ok"), key="other")
        with pytest.raises(GatewayUnavailable):  # the key was used for something else: that is our fault, not theirs
            await psp.authorise(intent("card_slow"), key="other")


async def test_cancel_twice_is_cancelled(talking_to: Making) -> None:
    async with gateway() as url:
        psp = talking_to(url)
        charge = await psp.authorise(intent(), key="k")
        assert charge.ref is not None

        assert [(await psp.cancel(charge.ref)).status for _ in range(2)] == [ChargeStatus.CANCELLED] * 2
        assert (await psp.retrieve(charge.ref)).status is ChargeStatus.CANCELLED
        assert (await psp.capture(charge.ref, key="c")).status is ChargeStatus.CANCELLED
        with pytest.raises(GatewayRefused):
            await psp.refund(charge.ref, key="rf")


async def test_what_asks_the_shopper_says_where(talking_to: Making) -> None:
    async with gateway() as url:
        psp = talking_to(url)
        charge = await psp.authorise(intent("card_page"), key="k")

        assert charge.status is ChargeStatus.ACTION_REQUIRED
        assert charge.ref is not None
        assert (charge.action_url or "").startswith(f"{url}/pay/{charge.ref}?secret=")
        assert await psp.retrieve(charge.ref) == charge


async def test_a_charge_is_found_by_what_was_written_beside_it(talking_to: Making) -> None:
    async with gateway() as url:
        psp = talking_to(url)
        for pid in ("p1", "p2", "p3"):
            await psp.authorise(intent(pid=pid), key=pid)

        found = await psp.find("p2")
        assert found is not None
        assert found == await psp.authorise(intent(pid="p2"), key="p2")
        assert await psp.find("p4") is None


async def test_every_charge_is_listed_with_our_marks_however_many_pages(talking_to: Making, clock: FakeClock) -> None:
    async with gateway(clock) as url:
        psp = talking_to(url)
        await psp.authorise(intent(pid="old"), key="old")
        await clock.advance(10)
        refs = [(await psp.authorise(intent(pid=f"p{n}"), key=f"k{n}")).ref or "" for n in range(102)]
        await psp.capture(refs[7], key="c")
        await psp.refund(refs[7], key="rf")

        listed = [one async for one in psp.listed(clock.now_ms() - 5000)]

        assert [one.ref for one in listed] == refs[::-1]
        assert {(one.shop, one.cost) for one in listed} == {("shop-1", Money(12900, "EUR"))}
        assert [one.pid for one in listed] == [f"p{n}" for n in reversed(range(102))]
        assert {one.pid: (one.status, one.refunded) for one in listed}["p7"] == (ChargeStatus.CAPTURED, 12900)
        assert await psp.look(refs[7]) == next(one for one in listed if one.ref == refs[7])


async def test_an_error_of_the_gateway_is_not_an_answer(talking_to: Making) -> None:
    async with gateway() as url:
        psp = talking_to(url)

        with pytest.raises(GatewayUnavailable):
            await psp.authorise(intent("card_error"), key="k")
        assert (await psp.authorise(intent("card_error"), key="k")).status is ChargeStatus.AUTHORISED


@pytest.mark.parametrize("fate", ["failed", "failed-kept", "lost-before", "lost-after"])
async def test_a_call_that_failed_is_made_once_however_often_it_is_tried(
    talking_to: Making, session: aiohttp.ClientSession, fate: str
) -> None:
    async with gateway() as url:
        psp = talking_to(url)
        await script(session, url, on="create", fate=fate)

        with pytest.raises(GatewayUnavailable):
            await psp.authorise(intent(), key="k")
        if fate == "failed-kept":
            with pytest.raises(GatewayUnavailable):
                await psp.authorise(intent(), key="k")
            return
        charge = await psp.authorise(intent(), key="k")
        assert [one.ref async for one in psp.listed(0)] == [charge.ref]


async def test_a_busy_gateway_says_for_how_long(talking_to: Making, session: aiohttp.ClientSession) -> None:
    async with gateway() as url:
        await script(session, url, fate="too-many-requests", retry_after_s=7)

        with pytest.raises(GatewayBusy) as busy:
            await talking_to(url).authorise(intent(), key="k")
        assert busy.value.wait_s == 7


async def test_nobody_there_is_not_an_answer(talking_to: Making) -> None:
    with pytest.raises(GatewayUnavailable):
        await talking_to("http://127.0.0.1:9").retrieve("pi_1")


@pytest.mark.parametrize(
    ("status", "text", "wait_s"),
    [
        (429, '{"error":{"type":"rate_limit"}}', 7),
        (401, '{"error":{"type":"invalid_request_error"}}', 1),
        (404, '{"error":{"type":"invalid_request_error","code":"resource_missing"}}', 1),
        (503, "<html>", 1),
        (200, "<html>", 1),
        (200, "{}", 1),
        (200, '{"id":"pi_1","status":"teapot"}', 1),
        (200, "[]", 1),
        (500, '{"error":{"payment_intent":{"id":"pi_1","status":"succeeded"}}}', 1),
        (400, '{"error":"plain"}', 1),
    ],
)
async def test_a_strange_answer_is_not_an_answer(talking_to: Making, status: int, text: str, wait_s: int) -> None:
    async def strange(_request: web.Request) -> web.Response:
        headers = {"Retry-After": "7"} if status == 429 else {}
        return web.Response(status=status, text=text, content_type="application/json", headers=headers)

    app = web.Application()
    app.router.add_get("/v1/payment_intents/pi_1", strange)
    async with serving(app) as url:
        with pytest.raises(GatewayUnavailable) as refused:
            await talking_to(url).retrieve("pi_1")
    assert refused.value.wait_s == wait_s


async def test_a_gateway_that_hangs_is_given_up_in_time(talking_to: Making) -> None:
    release = asyncio.Event()

    async def hang(_request: web.Request) -> web.Response:
        await release.wait()
        return web.Response()

    app = web.Application()
    app.router.add_get("/v1/payment_intents/pi_1", hang)
    async with serving(app) as url:
        with pytest.raises(GatewayUnavailable):
            await talking_to(url, timeout_ms=100).retrieve("pi_1")
        release.set()
