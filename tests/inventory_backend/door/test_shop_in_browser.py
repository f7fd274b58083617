"""The shop's pages in a real browser, on a till of their own: what a click shows at once, and what stands then."""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from tests.conftest import CHROMIUM_FLAGS
from tests.till import SIGNER, Shop, config, gateway, shop
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.tokens import Pass
from waitroom.kernel.units import spell_instant

pytestmark = pytest.mark.browser
Visit = Callable[..., Awaitable[Page]]


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)


@pytest.fixture
async def visit(browser: Browser) -> AsyncIterator[Visit]:
    """Let somebody look at a page of a till; whatever breaks in the page fails the test."""
    broken: list[str] = []

    async def open_page(
        till: Shop, path: str = "/drop/", name: str = "ann", *, deaf: bool = False, **wishes: Any
    ) -> Page:
        now_ms = till.clock.now_ms()
        shown = {"Waitroom-Pass": SIGNER.sign(Pass("drop", name, now_ms, now_ms + 600_000))}
        context = await browser.new_context(extra_http_headers=shown, **wishes)
        page = await context.new_page()
        page.on("pageerror", lambda fault: broken.append(str(fault)))
        if deaf:
            await page.route("**/sales/drop/events", lambda route: route.abort())
        await page.goto(till.url + path)
        return page

    yield open_page
    assert broken == []


async def test_a_click_shows_at_once_and_buys(tmp_path: Path, redis_url: str, visit: Visit) -> None:
    async with gateway() as paid_at, shop(config(tmp_path, redis_url, paid_at)) as till:
        page = await visit(till)
        may_go = asyncio.Event()

        async def later(route: Route) -> None:
            await may_go.wait()
            await route.continue_()

        await page.route("**/checkout/reserve", later)
        item = page.locator("article[data-sku=sneaker]")
        await item.get_by_role("button", name="Reserve mine").click()

        await expect(item.get_by_role("button")).to_have_text("Setting yours aside…")
        await expect(item.locator("[data-available]")).to_have_text("9")
        await expect(page.get_by_role("status")).to_have_text("Setting yours aside")
        may_go.set()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Confirm and pay")
        await expect(page.get_by_role("timer")).to_have_text(re.compile("^(10:00|9:5[0-9])$"))
        await page.get_by_role("button", name="Pay ").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("It is yours")
        assert await till.available() == 9


@pytest.mark.parametrize("looks", ["again", "in vain"])
async def test_a_click_too_late_says_so_in_place_and_leads_to_the_waitlist(
    tmp_path: Path, redis_url: str, visit: Visit, looks: str
) -> None:
    async with shop(config(tmp_path, redis_url, total=1)) as till:
        page = await visit(till, deaf=True)  # it does not hear that the last one goes
        item = page.locator("article[data-sku=sneaker]")
        await page.route("**/sales/drop", lambda route: route.abort())

        async def clicked(route: Route) -> None:
            if looks == "again":
                await page.unroute("**/sales/drop")
            await route.continue_()

        await page.route("**/checkout/reserve", clicked)
        await till.shopper("ben").reserve()

        await item.get_by_role("button", name="Reserve mine").click()

        await expect(item.locator("[data-told]")).to_contain_text("Somebody was faster")
        await expect(item.get_by_role("button", name="Join the waitlist")).to_be_focused()
        await expect(item.locator("[data-available]")).to_have_text("0")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", level=1)).to_have_text("You are next")


@pytest.mark.parametrize("kind", ["", "store-unavailable", "upstream-unavailable", "upstream-timeout"])
async def test_an_answer_that_is_lost_is_asked_for_again_under_the_same_key(
    tmp_path: Path, redis_url: str, visit: Visit, kind: str
) -> None:
    """The connection broke, or the room says that the shop did not answer."""
    async with shop(config(tmp_path, redis_url)) as till:
        page = await visit(till)
        keys = []

        async def broken_once(route: Route) -> None:
            keys.append(await route.request.header_value("Idempotency-Key"))
            if len(keys) > 1:
                await route.continue_()
                return
            await route.fetch()  # it arrived, but its answer is lost
            told = {"type": f"urn:waitroom:problem:{kind}"}
            await (route.fulfill(status=502, json=told) if kind else route.abort())

        await page.route("**/checkout/reserve", broken_once)
        await page.locator("article[data-sku=sneaker]").get_by_role("button", name="Reserve mine").click()

        await expect(page.get_by_role("heading", level=1)).to_have_text("Confirm and pay")
        assert len(keys) == 2
        assert len(set(keys)) == 1
        assert await till.available() == 9


async def test_stock_is_live_and_who_waits_is_served_first(tmp_path: Path, redis_url: str, visit: Visit) -> None:
    async with shop(config(tmp_path, redis_url, total=1)) as till:
        page = await visit(till)
        item = page.locator("article[data-sku=sneaker]")
        await expect(item.get_by_role("button", name="Reserve mine")).to_be_enabled()

        held = await till.shopper("ben").reserve()
        await expect(item.get_by_role("button", name="Join the waitlist")).to_be_visible()
        await till.shopper("cat").post("/sales/drop/waitlist", {"lines": [{"sku": "sneaker", "qty": 1}]})
        await expect(item.locator("[data-waited-for]")).to_have_text("1 unit is waited for already.")
        await till.shopper("ben").cancel(held.body["reservation_id"])
        await expect(item.locator("[data-waited-for]")).to_have_text("Nobody waits yet.")
        await expect(item.get_by_role("button", name="Join the waitlist")).to_be_visible()
        await till.shopper("cat").cancel((await _offer(till, "cat"))["reservation_id"])

        await expect(item.get_by_role("button", name="Reserve mine")).to_be_enabled()


async def test_where_nobody_more_may_look_on_the_page_asks(tmp_path: Path, redis_url: str, visit: Visit) -> None:
    tables = {"server": {"max_streams": 1}}
    async with (
        shop(config(tmp_path, redis_url, total=1, tables=tables)) as till,
        till.session.get(f"{till.url}/sales/drop/events") as stream,
    ):
        await stream.content.readline()
        page = await visit(till)
        item = page.locator("article[data-sku=sneaker]")
        await expect(item.get_by_role("button", name="Reserve mine")).to_be_enabled()

        await till.shopper("ben").reserve()

        await expect(item.get_by_role("button", name="Join the waitlist")).to_be_visible()


async def test_a_clock_that_stood_still_is_put_right(tmp_path: Path, redis_url: str, visit: Visit) -> None:
    """A laptop that slept shows what the server says when it is looked at again."""
    async with shop(config(tmp_path, redis_url)) as till:
        held = await till.shopper("ann").reserve()
        page = await visit(till, f"/drop/checkout/{held.body['reservation_id']}")

        async def hours_ago(route: Route) -> None:
            answer = await route.fetch()
            found = await answer.json()
            await route.fulfill(response=answer, json=found | {"expires_at": "2020-01-01T00:00:00Z"})

        await page.route("**/checkout/reservations/*", hours_ago)
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

        await expect(page.get_by_role("status")).to_have_text("Time is up")


async def test_a_page_before_the_opening_counts_down(tmp_path: Path, redis_url: str, visit: Visit) -> None:
    opens = spell_instant(SystemClock().now_ms() + 3_600_000)
    async with shop(config(tmp_path, redis_url, starts_at=opens)) as till:
        page = await visit(till)
        clock = page.get_by_role("timer")
        await expect(clock).to_have_text(re.compile("^(1:00:00|[3-5][0-9]:[0-5][0-9])$"))
        await expect(page.locator("article[data-sku=sneaker]").get_by_role("button")).to_have_text("Not open yet")
        seen = await clock.text_content()

        await expect(clock).not_to_have_text(str(seen))


async def test_a_page_before_the_opening_opens_by_itself(tmp_path: Path, redis_url: str, visit: Visit) -> None:
    opens = spell_instant(SystemClock().now_ms() + 3000)
    async with shop(config(tmp_path, redis_url, starts_at=opens)) as till:
        page = await visit(till)

        await expect(page.locator("article[data-sku=sneaker]").get_by_role("button")).to_have_text("Reserve mine")


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_on_the_narrowest_screen_nothing_sticks_out(
    tmp_path: Path, redis_url: str, visit: Visit, scheme: str
) -> None:
    async with shop(config(tmp_path, redis_url, total=1)) as till:
        held = await till.shopper("ann").reserve()
        for name, path in (
            ("ann", f"/drop/checkout/{held.body['reservation_id']}"),
            ("ben", "/drop/"),
            ("ben", "/drop/waitlist"),
        ):
            await till.shopper("ben").post("/sales/drop/waitlist", {"lines": [{"sku": "sneaker", "qty": 1}]})
            page = await visit(till, path, name, viewport={"width": 320, "height": 640}, color_scheme=scheme)
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


async def _offer(till: Shop, name: str) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while (found := (await till.shopper(name).get("/sales/drop/waitlist")).body)["status"] != "offered":
            await asyncio.sleep(0.02)
    return dict(found["offer"])
