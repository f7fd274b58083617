"""One installation for all journeys that leave it as they found it."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.browser_visitor import PHONE, Visitor, visiting
from tests.conftest import CHROMIUM_FLAGS
from tests.http_shopper import HttpShopper
from tests.whole_site import WholeSite, until, whole_site

NewShopper = Callable[..., HttpShopper]


@pytest.fixture(scope="session")
def site() -> Iterator[WholeSite]:
    """Give an installation whose doors are open; whoever turns something turns it back."""
    with whole_site() as running:
        yield running


@pytest.fixture
def new_shopper(site: WholeSite) -> Iterator[NewShopper]:
    """Give shoppers to the installation; their connections end with the test."""
    shoppers: list[HttpShopper] = []

    def make(url: str = "", **kept: object) -> HttpShopper:
        shoppers.append(HttpShopper(url or site.url, **kept))  # type: ignore[arg-type]  # passed through
        return shoppers[-1]

    yield make
    for shopper in shoppers:
        shopper.close()


@pytest.fixture
def line(site: WholeSite) -> Iterator[WholeSite]:
    """Give the installation with its room paused, so that everybody waits; afterwards it goes on."""
    site.ops("pause", {})
    until(lambda: site.pulse().get("phase") == "paused")
    yield site
    for what, body in (("rate", {"per_minute": 60000}), ("message", {"text": ""}), ("resume", {})):
        site.ops(what, body)
    until(lambda: site.pulse().get("phase") == "open" and site.ops().get("waiting") == 0)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield launched
        launched.close()


@pytest.fixture
def visitor(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Visitor]:
    """Give a visitor on a phone; `indirect` parameters are another size."""
    with visiting(browser, getattr(request, "param", PHONE)) as somebody:
        yield somebody
