"""Sold out, and then: people wait in their browsers, somebody lets go, the next one is offered it, and pays."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.barriers import barriers
from tests.browser_visitor import DESK, PHONE, Visitor, visiting
from tests.http_shopper import HttpShopper
from tests.whole_site import WholeSite, until, whole_site

pytestmark = [pytest.mark.journey, pytest.mark.browser, pytest.mark.xdist_group("journey")]

NARROW = {"width": 320, "height": 640}


@pytest.fixture
def sold_out() -> Iterator[tuple[WholeSite, HttpShopper, str]]:
    """Give an installation whose last unit of `last` somebody holds, who that is, and their reservation."""
    with whole_site() as site:
        owner = HttpShopper(site.url)
        owner.come_in()
        held = owner.reserve("last")
        assert held.status == 201, held
        until(lambda: site.stock("last") == 0)
        yield site, owner, str(held.body["reservation_id"])
        owner.close()


def heading(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def join(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/drop/")
    visitor.page.locator("article[data-sku=last]").get_by_role("button", name="Join the waitlist").click()
    heading(visitor.page, re.compile("^(You are next|1 unit ahead of yours)$"))


def usable(*visitors: Visitor) -> None:
    for visitor in visitors:
        assert barriers(visitor.page) == []
        assert visitor.fits()


def test_somebody_lets_go_and_who_waits_is_offered_it_and_pays(
    browser: Browser, sold_out: tuple[WholeSite, HttpShopper, str]
) -> None:
    site, owner, rid = sold_out
    calm = {"reduced_motion": "reduce"}
    with visiting(browser, NARROW, **calm) as ann, visiting(browser, DESK, color_scheme="dark", **calm) as ben:
        ann.page.goto(f"{site.url}/drop/")
        usable(ann)
        for visitor in (ann, ben):
            join(visitor, site)
        heading(ben.page, "1 unit ahead of yours")
        expect(ben.page.locator("[data-may-return]")).to_have_text("One unit is held by somebody who has not paid yet.")
        usable(ann, ben)
        ben.page.goto(f"{site.url}/drop/")
        expect(ben.page.get_by_role("complementary")).to_contain_text("You are on the waitlist")
        usable(ben)
        ben.page.get_by_role("link", name="See how you stand").click()

        assert owner.post("/checkout/cancel", {"reservation_id": rid}).status == 200

        heading(ann.page, "It is your turn")
        expect(ann.page.get_by_role("timer")).to_have_text(re.compile("^[45]:[0-5][0-9]$"))
        expect(ann.page.get_by_role("status")).to_have_text("It is your turn. A unit is set aside for you.")
        usable(ann)
        newcomer = HttpShopper(site.url)
        newcomer.come_in()
        assert newcomer.reserve("last").kind == "sold-out"
        newcomer.close()

        ann.page.get_by_role("link", name="Take it and pay").click()
        heading(ann.page, "Confirm and pay")
        ann.pay()
        heading(ann.page, "It is yours")
        heading(ben.page, "You are next")
        expect(ben.page.locator("[data-may-return]")).to_contain_text("Everything is paid for")
        ben.page.get_by_role("button", name="Leave the waitlist").click()
        expect(ben.page.get_by_role("button", name="Join the waitlist")).to_be_visible()
        assert (ann.faults, ben.faults) == ([], [])


def test_without_javascript_somebody_waits_declines_and_the_next_one_has_it(
    browser: Browser, sold_out: tuple[WholeSite, HttpShopper, str]
) -> None:
    site, owner, rid = sold_out
    with visiting(browser, PHONE, java_script_enabled=False) as ann, visiting(browser, PHONE) as ben:
        join(ann, site)
        join(ben, site)
        owner.post("/checkout/cancel", {"reservation_id": rid})

        heading(ann.page, "It is your turn")  # the page asks again by itself
        expect(ann.page.get_by_role("timer")).to_have_text(re.compile("^[45]:[0-5][0-9]$"))
        ann.page.get_by_role("button", name="No, thank you").click()
        heading(ben.page, "It is your turn")
        ben.page.get_by_role("button", name="Leave and free my place").click()

        until(lambda: site.stock("last") == 1)
        assert (ann.faults, ben.faults) == ([], [])
