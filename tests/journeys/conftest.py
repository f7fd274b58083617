"""One installation for all journeys that leave it as they found it."""

from collections.abc import Callable, Iterator

import pytest

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
    until(lambda: site.pulse()["phase"] == "paused")
    yield site
    site.ops("resume", {})
    until(lambda: site.pulse()["phase"] == "open" and not site.ops()["waiting"])
