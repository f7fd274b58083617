"""A demo shopper answers their bank: once, on the page they were sent to, and nobody does it for them."""

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from playwright.async_api import async_playwright, expect

from tests.barriers import CONTRAST
from tests.conftest import CHROMIUM_FLAGS
from tests.fakes import FakeClock
from tests.inventory_backend.payments.test_simulated_server import FORM, Client
from tests.till import gateway

ASKING = FORM | {"payment_method": "card_page"}


class Shopper(Client):
    """Was sent to the page."""

    async def sent(self, return_url: str = "") -> tuple[str, str]:
        form = ASKING | ({"return_url": return_url} if return_url else {})
        made = (await self.post("/v1/payment_intents", form))[1]
        return made["id"], made["next_action"]["redirect_to_url"]["url"]

    async def opened(self, url: str) -> tuple[int, str]:
        async with self.session.get(url) as answer:
            return answer.status, await answer.text()

    async def answered(self, url: str, headers: dict[str, str] | None = None, **form: str) -> tuple[int, str]:
        path, _, secret = url.partition("?secret=")
        form = {"secret": secret} | form
        async with self.session.post(path, data=form, headers=headers, allow_redirects=False) as answer:
            return answer.status, answer.headers.get("Location", "")

    async def status(self, ref: str) -> Any:
        return (await self.get(f"/v1/payment_intents/{ref}"))[1]["status"]


@pytest.fixture
async def shopper(clock: FakeClock) -> AsyncIterator[Shopper]:
    async with gateway(clock) as url, aiohttp.ClientSession() as session:
        yield Shopper(session, url)


async def test_yes_sets_the_money_aside_and_sends_them_back(shopper: Shopper) -> None:
    ref, url = await shopper.sent("https://shop.example/drop/orders/o1")
    assert "€129.00" in (await shopper.opened(url))[1]

    assert await shopper.answered(url, answer="yes") == (303, "https://shop.example/drop/orders/o1")
    assert await shopper.status(ref) == "requires_capture"


async def test_no_refuses_and_is_not_changed_by_a_later_yes(shopper: Shopper) -> None:
    ref, url = await shopper.sent()

    assert (await shopper.answered(url, answer="no"))[0] == 200
    assert (await shopper.answered(url, answer="yes"))[0] == 200
    assert await shopper.status(ref) == "requires_payment_method"
    assert "does not wait" in (await shopper.opened(url))[1]


async def test_without_its_secret_there_is_no_page_and_no_answer(shopper: Shopper) -> None:
    ref, url = await shopper.sent()
    bare = url.partition("?")[0]

    for bad in (bare, f"{bare}?secret=", f"{bare}?secret=x", url.replace(ref, "pi_other")):
        assert (await shopper.opened(bad))[0] == 404
        assert (await shopper.answered(bad, answer="yes"))[0] == 404
    assert await shopper.status(ref) == "requires_action"


@pytest.mark.parametrize("headers", [{"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://evil.example"}])
async def test_a_page_of_another_site_answers_for_nobody(shopper: Shopper, headers: dict[str, str]) -> None:
    ref, url = await shopper.sent()

    assert (await shopper.answered(url, headers, answer="yes"))[0] == 403
    assert await shopper.status(ref) == "requires_action"


@pytest.mark.browser
async def test_a_phone_pays_by_keyboard_alone_and_can_read_it(shopper: Shopper, chromium: str) -> None:
    ref, url = await shopper.sent()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        page = await browser.new_page(viewport={"width": 320, "height": 640})
        await page.goto(url)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 320
        assert await page.evaluate(CONTRAST) == []
        assert await page.locator("h1").count() == await page.locator("main").count() == 1

        await page.keyboard.press("Tab")
        await page.keyboard.press("Enter")

        await expect(page.get_by_role("status")).to_have_text("Your bank agreed to this payment.")
        assert await page.evaluate(CONTRAST) == []
        await browser.close()
    assert await shopper.status(ref) == "requires_capture"


async def test_the_page_may_run_nothing_and_be_framed_by_nobody(shopper: Shopper) -> None:
    _, url = await shopper.sent()

    async with shopper.session.get(url) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in policy
        assert "default-src 'none'" in policy
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-store"
