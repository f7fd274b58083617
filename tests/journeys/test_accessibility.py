"""Everybody can use every page: names, headings, language, contrast, and the keyboard alone."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.barriers import barriers
from tests.browser_visitor import DESK, PHONE, Visitor, visiting
from tests.http_shopper import HttpShopper
from tests.whole_site import WholeSite

pytestmark = [pytest.mark.journey, pytest.mark.browser, pytest.mark.xdist_group("journey")]

Way = Callable[[Visitor, WholeSite], None]


def prequeue(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/hard/")
    expect(visitor.page.locator("#lead")).to_contain_text("You are in the draw", timeout=60_000)


def solving(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/hard/")
    expect(visitor.page.locator("#work")).to_be_visible()


def waiting(visitor: Visitor, site: WholeSite) -> None:
    site.ops("pause", {})
    site.ops("message", {"text": "More sizes come in at six."})
    visitor.page.goto(f"{site.url}/drop/")
    expect(visitor.page.locator("#place")).to_be_visible()
    expect(visitor.page.locator("#message")).to_be_visible()
    visitor.page.locator("summary").click()


def left(visitor: Visitor, site: WholeSite) -> None:
    waiting(visitor, site)
    visitor.page.get_by_role("button", name="Leave the line").click()
    visitor.page.get_by_role("button", name="Really leave?").click()
    expect(visitor.page.get_by_role("button", name="Join again")).to_be_visible()


def product(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/drop/")
    expect(visitor.page.locator("[data-buy=sneaker]")).to_be_enabled()


def checkout(visitor: Visitor, site: WholeSite) -> None:
    product(visitor, site)
    visitor.reserve()


def receipt(visitor: Visitor, site: WholeSite) -> None:
    checkout(visitor, site)
    visitor.pay()
    expect(visitor.page.get_by_role("heading", name="It is yours")).to_be_visible(timeout=20_000)


def declined(visitor: Visitor, site: WholeSite) -> None:
    checkout(visitor, site)
    visitor.pay("Card that is declined")
    expect(visitor.page.get_by_role("heading", name="declined")).to_be_visible(timeout=20_000)


def refused(visitor: Visitor, site: WholeSite) -> None:
    checkout(visitor, site)
    visitor.page.goto(f"{site.url}/drop/")
    visitor.page.locator("[data-buy=sneaker]").click()
    expect(visitor.page.get_by_role("heading", name="You have yours already")).to_be_visible()


def nowhere(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/.waitroom/nowhere/wait")


def sign_in(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(site.ops_url)


def console(visitor: Visitor, site: WholeSite) -> None:
    sign_in(visitor, site)
    visitor.page.get_by_label("Console token").fill(site.token)
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.locator("#waiting")).not_to_have_text("\u2013")


@pytest.fixture(autouse=True)
def _restored(site: WholeSite) -> Iterator[None]:
    yield
    for what, body in (("message", {"text": ""}), ("resume", {})):
        site.ops(what, body)


PAGES = (
    prequeue,
    solving,
    waiting,
    left,
    product,
    checkout,
    receipt,
    declined,
    refused,
    nowhere,
    sign_in,
    console,
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("way", PAGES, ids=lambda way: way.__name__)
def test_everybody_can_use_the_page(browser: Browser, site: WholeSite, way: Way, scheme: str) -> None:
    size = PHONE if scheme == "light" else DESK
    with visiting(browser, size, color_scheme=scheme, reduced_motion="reduce") as visitor:
        way(visitor, site)

        assert barriers(visitor.page) == []
        assert visitor.fits()


def test_the_line_is_told_to_a_screen_reader(browser: Browser, line: WholeSite) -> None:
    ahead = HttpShopper(line.url)
    ahead.join()
    with visiting(browser, PHONE) as visitor:
        visitor.page.goto(f"{line.url}/drop/")

        expect(visitor.page.get_by_role("status")).to_have_text("Your place in line: 2")
    ahead.close()
