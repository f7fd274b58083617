"""Admission follows the till: nobody is called in vain, sold out stands everywhere, what comes back calls the next."""

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, expect

from tests.browser_visitor import PHONE, visiting
from tests.http_shopper import Answer, HttpShopper
from tests.whole_site import WholeSite, until, whole_site

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey")]

PEOPLE, HOLD_S = 8, 6


@pytest.fixture
def small() -> Iterator[WholeSite]:
    """Give a site with two units, and its room paused."""
    with whole_site(hold=f"{HOLD_S}s", stock=(2, 0, 0)) as site:
        site.ops("pause", {})
        until(lambda: site.pulse().get("phase") == "paused")
        yield site


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def shopper(site: WholeSite, closing: ExitStack) -> HttpShopper:
    made = HttpShopper(site.url)
    closing.callback(made.close)
    return made


def stock(site: WholeSite) -> dict[str, int] | None:
    found: dict[str, int] | None = site.pulse().get("stock")
    return found


def called(site: WholeSite) -> int:
    return int(site.pulse()["lanes"]["main"]["called"])


def stays(site: WholeSite, count: int, *, for_s: float) -> None:
    """Look for a while that nobody more is called."""
    end_s = time.monotonic() + for_s
    while time.monotonic() < end_s:
        assert called(site) <= count  # a worker may be a tick behind
        time.sleep(0.1)


def comes_in(waiting: list[HttpShopper]) -> HttpShopper:
    """Return whoever of those who wait is called next, once they are in."""
    until(lambda: any(one.is_called() for one in waiting))
    found = next(one for one in waiting if one.is_called())
    waiting.remove(found)
    found.wait_for_turn()
    return found


def reserved(somebody: HttpShopper) -> Answer:
    answer = somebody.reserve()
    assert answer.status == 201, answer
    return answer


def paid(somebody: HttpShopper, held: Answer) -> None:
    placed = somebody.commit(held.body["reservation_id"])
    assert somebody.settled(placed.body["order_id"])["status"] == "paid"


def test_the_line_stands_while_nothing_is_free_and_moves_on_with_what_comes_back(
    small: WholeSite, browser: Browser, closing: ExitStack
) -> None:
    waiting = [shopper(small, closing) for _ in range(PEOPLE)]
    for one in waiting:
        one.join()
    with visiting(browser, PHONE) as looker:
        looker.page.goto(f"{small.url}/drop/")
        until(lambda: small.ops()["waiting"] == PEOPLE + 1)
        until(lambda: stock(small) == {"left": 2, "held": 0})
        small.ops("resume", {})
        until(lambda: called(small) >= 2)
        stays(small, 2, for_s=2)

        first, second = comes_in(waiting), comes_in(waiting)
        kept, _lapses = reserved(first), reserved(second)
        until(lambda: stock(small) == {"left": 0, "held": 2})
        assert small.pulse()["phase"] == "open"
        assert small.ops()["figures"]["limit"] == "stock"
        paid(first, kept)
        until(lambda: stock(small) == {"left": 0, "held": 1})
        stays(small, 2, for_s=1)
        lead = looker.page.locator("#lead")
        expect(lead).to_contain_text("Nothing is free this moment. 1 set aside may come back")
        assert looker.fits()

        until(lambda: called(small) > 2, within_s=2 * HOLD_S)
        third = comes_in(waiting)
        paid(third, reserved(third))
        until(lambda: small.pulse()["phase"] == "sold_out")
        until(lambda: {small.pulse()["phase"] for _ in range(20)} == {"sold_out"})  # whichever worker is asked
        many = called(small)
        stays(small, many, for_s=1)
        expect(looker.page.locator("#headline")).to_have_text("Everything is sold")
        assert shopper(small, closing).get("/drop/").kind == "waiting", "nobody comes straight in"
        assert first.get("/drop/").status == 200, "who is inside stays"
        assert looker.faults == []
