"""Shoppers and operators in real browsers, before a whole installation."""

import json
import re
import time

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser_visitor import DESK, PHONE, Visitor, visiting
from tests.http_shopper import HttpShopper
from tests.whole_site import WholeSite, until, whole_demo

pytestmark = [pytest.mark.journey, pytest.mark.browser, pytest.mark.xdist_group("journey")]

BOTH = pytest.mark.parametrize("visitor", [PHONE, DESK], indirect=True, ids=["390", "1440"])


SHOP = re.compile(r"^(The Drop|Meridian One)$")
"""The shop's heading: the name of the sale, or of the one thing that it sells."""


def heading(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def test_the_doors_open_and_people_wait_come_in_and_buy(browser: Browser) -> None:
    options = ("--opens-in", "7", "--crowd", "30", "--rate", "240", "--difficulty", "12", "--stock", "200")
    with whole_demo(*options) as demo, visiting(browser, PHONE) as ann, visiting(browser, DESK) as ben:
        for visitor in (ann, ben):
            visitor.page.goto(f"{demo.url}/drop/")
        for visitor in (ann, ben):
            heading(visitor.page, "Doors open in")
            expect(visitor.page.locator("#lead")).to_contain_text("You are in the draw")
            expect(visitor.page.locator("#clock")).to_have_text(re.compile(r"^00minutes0\dseconds$"))
            assert visitor.fits()
        for visitor in (ann, ben):
            heading(visitor.page, re.compile("^(Your place in line|It is your turn|Meridian One)$"))
        for visitor in (ann, ben):
            heading(visitor.page, SHOP)
            assert visitor.page.url == f"{demo.url}/drop/"
            assert visitor.fits()
            visitor.reserve()
            assert visitor.fits()
            visitor.pay()
            heading(visitor.page, "It is yours")
            assert visitor.fits()
            assert visitor.faults == []


@BOTH
def test_a_visitor_waits_in_line_and_is_let_in(visitor: Visitor, line: WholeSite) -> None:
    visitor.page.goto(f"{line.url}/drop/?colour=red")
    expect(visitor.page.locator("#place")).to_have_text("1")
    assert visitor.fits()
    heading(visitor.page, "Your place in line")

    line.ops("resume", {})

    heading(visitor.page, SHOP)
    assert visitor.page.url == f"{line.url}/drop/?colour=red"
    visitor.buy()
    assert visitor.faults == []


def test_without_javascript_a_visitor_waits_comes_in_and_buys(browser: Browser, line: WholeSite) -> None:
    wishes = {"java_script_enabled": False, "extra_http_headers": {"X-Forwarded-For": "203.0.113.7"}}
    with visiting(browser, PHONE, **wishes) as visitor:
        page = visitor.page
        page.goto(f"{line.url}/drop/?colour=red")
        page.get_by_role("button", name="Join the line").click()
        heading(page, "Your place in line")
        assert page.url == f"{line.url}/drop/?colour=red"
        assert visitor.fits()
        line.ops("resume", {})

        expect(page.get_by_role("heading", level=1, name=SHOP)).to_be_visible(timeout=40_000)
        assert page.url == f"{line.url}/drop/?colour=red"
        visitor.buy()
        assert visitor.fits()
        assert visitor.faults == []


def test_two_tabs_and_a_reload_while_solving_make_one_ticket(visitor: Visitor, site: WholeSite) -> None:
    site.ops("pause", {}, room="hard")
    before = site.ops(room="hard")["waiting"]
    first, second = visitor.page, visitor.tab()
    posed = [challenges(tab) for tab in (first, second)]
    first.goto(f"{site.url}/hard/")
    until(lambda: done(first) >= 1)  # else the second may be the one that works

    second.goto(f"{site.url}/hard/")

    expect(second.locator("#work-label")).to_have_text("Reserving your place in another tab")
    until(lambda: done(first) >= 3)
    steps = done(first)

    first.reload()

    expect(first.locator("#work")).to_be_visible()
    until(lambda: done(first) >= steps)
    for tab in (first, second):
        expect(tab.locator("#work")).to_be_hidden(timeout=60_000)
        expect(tab.locator("#leave")).to_be_visible()
    until(lambda: site.ops(room="hard")["waiting"] == before + 1)
    tickets = [cookie for cookie in visitor.context.cookies() if cookie.get("name") == "wr_hard_ticket"]
    assert len(tickets) == 1
    assert [len(each) for each in posed] == [1, 0], "what was solved before the reload counts"
    assert visitor.faults == []


def test_a_tab_that_asked_before_another_had_its_ticket_solves_nothing(visitor: Visitor, line: WholeSite) -> None:
    """It hears late that there is none, and finds nobody at work any more."""
    first, second = visitor.page, visitor.tab()
    asked, posed = list[Route](), challenges(second)
    second.route("**/queue/status", lambda route: route.continue_() if asked else asked.append(route))
    second.goto(f"{line.url}/drop/")
    until(lambda: second.evaluate("1") and asked)

    first.goto(f"{line.url}/drop/")
    expect(first.locator("#place")).to_have_text("1")
    problem = {"type": "urn:waitroom:problem:no-ticket", "title": "Not Found", "status": 404}
    asked[0].fulfill(status=404, content_type="application/problem+json", body=json.dumps(problem))

    expect(second.locator("#place")).to_have_text("1")
    assert posed == []
    assert line.ops()["waiting"] == 1
    assert visitor.faults == []


def challenges(page: Page) -> list[str]:
    """Return a list to which each challenge that this page asks for will be added."""
    posed = list[str]()
    page.on("request", lambda request: posed.append(request.url) if request.url.endswith("/challenge") else None)
    return posed


def done(page: Page) -> int:
    """Return how many steps of the challenge are solved."""
    return int(page.locator("[role=progressbar]").get_attribute("aria-valuenow") or 0)


def test_a_reload_while_waiting_keeps_the_place(visitor: Visitor, line: WholeSite) -> None:
    page = visitor.page
    page.goto(f"{line.url}/drop/")
    expect(page.locator("#place")).to_have_text("1")
    later = HttpShopper(line.url)
    later.join()
    ticket = {cookie.get("value") for cookie in visitor.context.cookies() if cookie.get("name") == "wr_drop_ticket"}

    page.reload()

    expect(page.locator("#place")).to_have_text("1")
    assert ticket == {
        cookie.get("value") for cookie in visitor.context.cookies() if cookie.get("name") == "wr_drop_ticket"
    }
    assert line.ops()["waiting"] == 2
    later.post("/.waitroom/drop/queue/leave")
    later.close()
    assert visitor.faults == []


def test_a_visitor_leaves_the_line_and_joins_again(visitor: Visitor, line: WholeSite) -> None:
    page = visitor.page
    page.goto(f"{line.url}/drop/")
    expect(page.locator("#place")).to_have_text("1")
    page.get_by_role("button", name="Leave the line").click()
    page.get_by_role("button", name="Really leave?").click()
    heading(page, "You have left the line")
    until(lambda: line.ops()["waiting"] == 0)

    page.get_by_role("button", name="Join again").click()

    expect(page.locator("#place")).to_have_text("1")
    assert visitor.faults == []


def test_a_declined_card_is_followed_by_another(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/drop/")
    visitor.reserve()
    visitor.pay("Card that is declined")
    heading(visitor.page, "Your card was declined")
    assert visitor.fits()

    visitor.page.get_by_role("link", name="Choose another card").click()
    visitor.pay("Card that its bank checks first")

    heading(visitor.page, "It is yours")
    assert visitor.faults == []


def test_letting_go_leads_back_to_the_product(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/drop/")
    visitor.reserve()

    visitor.page.get_by_role("button", name="Let it go").click()

    expect(visitor.page.locator("[data-buy=sneaker]")).to_be_visible()
    visitor.buy()
    assert visitor.faults == []


def test_a_second_one_is_refused_in_words(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/drop/")
    visitor.buy()
    visitor.page.goto(f"{site.url}/drop/")

    visitor.page.locator("[data-buy=sneaker]").click()

    heading(visitor.page, "You have yours already")
    assert visitor.fits()
    assert [fault for fault in visitor.faults if "409" not in fault] == []


def test_what_is_sold_out_says_so_by_itself_and_after_a_late_click(browser: Browser, site: WholeSite) -> None:
    with visiting(browser, PHONE) as early, visiting(browser, DESK) as late:
        for visitor in (early, late):
            visitor.page.goto(f"{site.url}/drop/")
        button = late.page.locator("[data-buy=last]")
        expect(button).to_have_text("Reserve mine")
        late.context.set_offline(True)
        early.reserve("last")
        until(lambda: site.stock("last") == 0)
        late.context.set_offline(False)
        button.evaluate("button => { button.disabled = false; button.form.submit() }")
        heading(late.page, "Sold out")
        assert late.fits()

        late.page.goto(f"{site.url}/drop/")
        expect(button).to_have_text("Sold out")
        expect(button).to_be_disabled()
        early.page.get_by_role("button", name="Let it go").click()
        expect(button).to_have_text("Reserve mine")
        assert early.faults == []


def test_who_leaves_the_shop_gives_the_place_inside_back(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(f"{site.url}/drop/")
    until(lambda: any(cookie.get("name") == "wr_drop_pass" for cookie in visitor.context.cookies()))
    sessions = site.ops()["sessions"]

    visitor.page.get_by_role("button", name="Leave and free my place").click()

    heading(visitor.page, "Thank you")
    assert not [cookie for cookie in visitor.context.cookies() if cookie.get("name") == "wr_drop_pass"]
    until(lambda: site.ops()["sessions"] < sessions)
    assert visitor.faults == []


@BOTH
def test_an_operator_turns_the_rate_and_speaks_to_the_line(visitor: Visitor, browser: Browser, line: WholeSite) -> None:
    console = visitor.page
    console.goto(line.ops_url)
    heading(console, "Sign in")
    assert visitor.fits()
    console.get_by_label("Console token").fill(line.token)
    console.get_by_label("Your name").fill("Grace")
    console.get_by_role("button", name="Sign in").click()
    heading(console, "drop")
    assert visitor.fits()
    with visiting(browser, PHONE) as shopper:
        shopper.page.goto(f"{line.url}/drop/")
        expect(shopper.page.locator("#place")).to_have_text("1")
        expect(console.locator("#waiting")).to_have_text("1")

        console.get_by_role("textbox", name="Rate").fill("1200")
        console.get_by_role("button", name="Set 1,200 a minute").click()
        expect(console.locator("#rate")).to_have_text("1,200")
        until(lambda: line.pulse()["rate_per_minute"] == 1200)
        expect(console.locator("#audit li").first).to_contain_text("Grace")

        told = f"More sizes at {time.time_ns()}."
        console.get_by_role("textbox", name="Message").fill(told)
        console.get_by_role("button", name="Show it").click()
        expect(shopper.page.locator("#message-text")).to_have_text(told)
        console.get_by_role("button", name="Take the message away").click()
        expect(shopper.page.locator("#message")).to_be_hidden()

        console.get_by_role("button", name="Resume").click()
        console.get_by_role("button", name="Resume the room").click()
        heading(shopper.page, SHOP)
        expect(console.locator("#waiting")).to_have_text("0")
        assert visitor.fits()
        assert shopper.faults == []
    console.get_by_role("button", name="Sign out").click()
    heading(console, "Sign in")
    assert visitor.faults == []


def test_a_wrong_token_is_refused_in_words(visitor: Visitor, site: WholeSite) -> None:
    visitor.page.goto(site.ops_url)
    visitor.page.get_by_label("Console token").fill("guess")

    visitor.page.get_by_role("button", name="Sign in").click()

    expect(visitor.page.get_by_role("alert")).to_contain_text("not the console token")
    assert [fault for fault in visitor.faults if "403" not in fault] == []
