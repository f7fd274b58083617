"""The console in a real browser, on the real listener and a real Valkey."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, ConsoleMessage, Page, Route, async_playwright, expect

from inventory_backend.counters import DEAD_LETTERS
from tests.conftest import CHROMIUM_FLAGS
from waitroom.console.door import Console
from waitroom.console.guard import Guard
from waitroom.console.sign_ins import Role
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.pages import Pages
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tasks import running
from waitroom.kernel.tokens import Keys, StockReport
from waitroom.rules.health import HealthRules, Sample
from waitroom.rules.rooms import ALWAYS, Change, ChangeKind, Phase, RoomRules
from waitroom.store.audit import Audit
from waitroom.store.health import HealthReports
from waitroom.store.rooms import Entered, Rooms
from waitroom.store.stock import Stocks

pytestmark = pytest.mark.browser
Open = Callable[..., Awaitable[Page]]


@pytest.fixture
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        yield await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)


@pytest.fixture
async def server(redis: ScriptRunner, rooms: Rooms, keys: Keys, tokens: dict[Role, str]) -> AsyncIterator[TestServer]:
    clock = SystemClock()
    console = Console(rooms, Audit(redis), Guard(tokens, keys, clock), Pages(), clock)
    server = TestServer(console.application())
    async with running(*console.loops(), clock=clock), server:
        yield server


@pytest.fixture
async def opened(browser: Browser, server: TestServer, tokens: dict[Role, str]) -> AsyncIterator[Open]:
    """Sign somebody in; whatever the page complains about in its log fails the test."""
    complaints: list[str] = []

    def complain(said: ConsoleMessage) -> None:
        if said.type == "error" and "409 (Conflict)" not in said.text:  # what is asked back was refused first
            complaints.append(said.text)

    async def sign_in(role: Role = Role.OPERATOR, *, width: int = 1440, scheme: str = "light") -> Page:
        page = await browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)  # type: ignore[arg-type]  # a word
        page.on("console", complain)
        page.on("pageerror", lambda fault: complaints.append(str(fault)))
        await page.goto(f"http://127.0.0.1:{server.port}/#ignored")
        await page.get_by_label("Console token").fill(tokens[role])
        await page.get_by_label("Your name").fill("Ada")
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.locator("#live")).to_contain_text("Live")
        return page

    yield sign_in
    assert complaints == []


async def test_a_rate_set_on_the_page_holds_in_the_room_and_stands_in_the_audit(opened: Open, rooms: Rooms) -> None:
    page = await opened()
    await page.get_by_label("Why").first.fill("the till has air")
    await page.get_by_role("button", name="Rate 10 percent higher").click()
    await page.get_by_role("button", name="Set 660 a minute").click()

    await expect(page.locator("#rate")).to_have_text("660")
    await expect(page.locator("#audit li").first).to_contain_text("Rate 600 → 660 a minute by Ada")
    await expect(page.locator("#audit li").first).to_contain_text("the till has air")
    assert (await rooms.tick("drop")).rate_per_minute == 660


async def test_what_another_operator_changes_is_seen_without_a_reload(opened: Open, rooms: Rooms) -> None:
    page = await opened()

    await rooms.control("drop", Change(ChangeKind.CAP, "77"), who="Grace")

    await expect(page.locator("#cap")).to_have_text("of 77")
    await expect(page.locator("#cap-input")).to_have_value("77")
    await expect(page.locator("#audit")).to_contain_text("Cap 2 → 77 by Grace")


async def test_a_shop_that_slows_and_fails_shows(opened: Open, redis: ScriptRunner, rooms: Rooms) -> None:
    page = await opened()
    await expect(page.locator("#states")).to_be_hidden()
    rules, reports = RoomRules("drop", health=HealthRules(200)), HealthReports(redis)
    now_ms = (await rooms.tick("drop")).now_ms
    await reports.report(rules, ALWAYS, Sample(100, 30, 0), None)
    await reports.report(rules, ALWAYS, Sample(), None, now_ms=now_ms + 1100)
    await expect(page.locator("#states")).to_have_text("Slowed by the shop: 360 of 600 a minute")

    await reports.report(rules, ALWAYS, Sample(100, 0, 100), None, now_ms=now_ms + 2200)
    await expect(page.locator("#states")).to_have_text("Shop does not answer: nobody is let in")
    await expect(page.locator("#audit li").first).to_contain_text("Shop does not answer: nobody is let in by health")


async def test_what_the_till_has_given_up_shows(opened: Open) -> None:
    DEAD_LETTERS.clear()  # what the tills of other tests in this process gave up
    page, given_up = await opened(), DEAD_LETTERS.labels("webhook:erp")
    await expect(page.locator("#letters")).to_be_hidden()
    given_up.set(2)
    try:
        await expect(page.locator("#letters")).to_have_text("2 dead letters")
    finally:
        given_up.set(0)
    await expect(page.locator("#letters")).to_be_hidden()


async def test_what_the_store_has_shows_and_a_resume_is_not_offered_for_what_it_cannot_do(
    opened: Open, redis: ScriptRunner, rooms: Rooms
) -> None:
    page = await opened()
    at = (await rooms.tick("drop")).now_ms
    stocks = Stocks(redis)
    await stocks.hear(StockReport("drop", 1040, 3, at))
    await expect(page.locator("#states")).to_have_text("1,040 left, 3 may come back")

    await stocks.hear(StockReport("drop", 0, 0, at + 1))
    await expect(page.locator("#phase")).to_contain_text("Sold out")
    await expect(page.locator("#flow")).to_contain_text("as the shop reports")
    await expect(page.locator("#resume")).to_be_hidden()
    await stocks.hear(StockReport("drop", 1, 0, at + 2))
    await expect(page.locator("#phase")).not_to_contain_text("Sold out")


async def test_what_somebody_is_typing_is_not_overwritten(opened: Open, rooms: Rooms) -> None:
    page = await opened()
    await page.locator("#rate-input").fill("450")

    await rooms.control("drop", Change(ChangeKind.RATE, "90"), who="Grace")

    await expect(page.locator("#rate")).to_have_text("90")
    await expect(page.locator("#rate-input")).to_have_value("450")
    await page.locator("#rate-form").get_by_role("button", name="Undo").click()
    await expect(page.locator("#rate-input")).to_have_value("90")


async def test_pause_is_asked_back_and_resume_follows_by_keyboard(opened: Open, rooms: Rooms) -> None:
    page = await opened()
    await page.get_by_role("button", name="Pause", exact=True).click()
    await page.keyboard.press("Escape")
    assert (await rooms.tick("drop")).phase is Phase.IDLE

    await page.get_by_role("button", name="Pause", exact=True).click()
    await page.keyboard.press("Enter")

    await expect(page.locator("#phase")).to_have_text("Paused")
    await expect(page.locator("#resume")).to_be_focused()


async def test_the_end_needs_the_name_of_the_room(opened: Open, rooms: Rooms) -> None:
    page = await opened()
    await page.get_by_role("button", name="End…").click()
    end = page.get_by_role("button", name="End for everybody")
    await expect(end).to_be_disabled()

    await page.get_by_label("Type drop to confirm").fill("drop")
    await expect(end).to_be_disabled()
    await page.locator("#end-why").fill("the day is over")
    await end.click()

    await expect(page.locator("#phase")).to_have_text("Ended")
    assert (await rooms.tick("drop")).phase is Phase.ENDED


DANGERS = [
    ("Sold out…", {}, "Say sold out", "#phase", "Sold out", "Sold out by Ada"),
    ("Close…", {}, "Refuse everybody", "#phase", "Closed", "Closed to everybody by Ada"),
    (
        "Open to all…",
        {"#danger-minutes": "15"},
        "Let everybody in for 15 min",
        "#states",
        "Open to all until",
        "for 15 min",
    ),
    ("End all sessions…", {}, "End 1 session", "#sessions", "0", "Ended all sessions: 1 by Ada"),
    ("End one session…", {"#danger-session": "{inside}"}, "End this session", "#sessions", "0", "Ended the session"),
]


@pytest.mark.parametrize(
    ("button", "fields", "go", "where", "shown", "audited"), DANGERS, ids=lambda each: str(each)[:16]
)
async def test_what_is_dangerous_says_what_it_does_and_asks_why(
    button: str, fields: dict[str, str], go: str, where: str, shown: str, audited: str, opened: Open, rooms: Rooms
) -> None:
    await rooms.tick("drop")
    inside = await rooms.enter("drop")
    assert isinstance(inside, Entered)
    page = await opened()
    await expect(page.locator("#sessions")).to_have_text("1")
    await page.locator(".more summary").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("button", name=button).click()
    for selector, value in fields.items():
        await page.locator(selector).fill(value.format(inside=inside.session_id))
    confirm = page.get_by_role("button", name=go, exact=True)
    await expect(confirm).to_be_disabled()

    await page.locator("#danger-why").fill("the till is on fire")
    await confirm.click()

    await expect(page.locator(where)).to_contain_text(shown)
    await expect(page.locator("#audit li").first).to_contain_text(audited)
    await expect(page.locator("#audit li").first).to_contain_text("the till is on fire")


async def test_closed_is_undone_by_resume_and_a_dialog_left_changes_nothing(opened: Open, rooms: Rooms) -> None:
    page = await opened()
    await page.locator(".more summary").click()
    await page.get_by_role("button", name="Close…").click()
    await page.locator("#danger-why").fill("no")
    await page.keyboard.press("Escape")
    assert not (await rooms.tick("drop")).is_closed

    await rooms.control("drop", Change(ChangeKind.CLOSE), who="Grace")
    await expect(page.locator("#phase")).to_have_text("Closed")
    await page.get_by_role("button", name="Resume", exact=True).click()
    await page.get_by_role("button", name="Resume the room").click()

    await expect(page.locator("#phase")).not_to_have_text("Closed")
    assert not (await rooms.tick("drop")).is_closed


async def test_a_rate_above_the_ceiling_is_asked_back(opened: Open, rooms: Rooms) -> None:
    page = await opened()
    await page.get_by_role("button", name="other").click()
    await page.locator("#rate-input").fill("5000")
    await page.locator("#rate-input").press("Enter")
    await expect(page.locator("#danger-effect")).to_contain_text("above what the configuration allows (1,000)")
    assert (await rooms.tick("other")).rate_per_minute == 600

    await page.locator("#danger-why").fill("the store has grown")
    await page.keyboard.press("Enter")

    await expect(page.locator("#rate")).to_have_text("5,000")
    assert (await rooms.tick("other")).rate_per_minute == 5000


async def test_lanes_are_a_table_and_a_draw_that_waits_for_its_beacon_is_told(opened: Open) -> None:
    page = await opened()
    await expect(page.locator("#lanes")).to_be_hidden()

    told = await (await page.request.get(page.url.partition("#")[0] + "api/rooms")).json()
    lanes = {"main": {"waiting": 1200, "called": 30}, "priority": {"waiting": 7, "called": 900}}
    told["rooms"][0] |= {"lanes": lanes, "awaits_spin": True}

    async def tell(route: Route) -> None:
        await route.fulfill(body=f"event: figures\ndata: {json.dumps(told)}\n\n", content_type="text/event-stream")

    await page.route("**/api/events", tell)  # which ends at once, so that the page asks by itself until it is back
    await page.route("**/api/rooms", lambda route: route.fulfill(json=told))
    await page.reload()

    rows = page.locator("#lanes tbody tr")
    await expect(rows).to_have_text(["main1,20030", "priority7900"])
    await expect(page.locator("#states")).to_have_text("Waiting for the beacon")


async def test_a_message_is_previewed_then_shown_and_taken_away(opened: Open, rooms: Rooms) -> None:
    page = await opened()
    await page.get_by_label("Message").first.fill("More <b>sizes</b> at 18:00")
    await expect(page.locator("#message-shown")).to_contain_text("PreviewMore <b>sizes</b> at 18:00")

    await page.get_by_role("button", name="Show it").click()
    await expect(page.locator("#message-shown")).to_contain_text("Shown to everybody in line")
    assert (await rooms.tick("drop")).message == "More <b>sizes</b> at 18:00"

    await page.get_by_role("button", name="Take the message away").click()
    await expect(page.locator("#message-shown")).to_be_hidden()


async def test_nonsense_is_told_beside_the_field_and_not_sent(opened: Open, redis: ScriptRunner) -> None:
    page = await opened()

    for nonsense in ("0", "-5", "abc", "1e9", ""):
        await page.locator("#rate-input").fill(nonsense)
        await page.locator("#rate-input").press("Enter")
        await expect(page.locator("#rate-fault")).to_contain_text("Give a number above 0")

    assert await Audit(redis).read("drop") == []


async def test_another_room_is_a_click_away_and_keeps_its_own_figures(opened: Open) -> None:
    page = await opened()

    await page.get_by_role("button", name="other").click()

    await expect(page.get_by_role("heading", level=1)).to_have_text("other")
    await expect(page.locator("#cap")).to_have_text("of 500")
    assert page.url.endswith("#other")


async def test_a_viewer_sees_figures_and_no_controls(opened: Open) -> None:
    page = await opened(Role.VIEWER)

    await expect(page.locator("#waiting")).to_have_text("0")
    await expect(page.get_by_text("You are signed in as a viewer")).to_be_visible()
    assert await page.locator("#rate-form, #pause").count() == 0


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (390, "light"), (768, "light"), (1440, "dark")])
async def test_the_page_fits_every_screen(width: int, scheme: str, opened: Open) -> None:
    page = await opened(width=width, scheme=scheme)

    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    small = "e => e.offsetParent && e.getBoundingClientRect().height < 40"
    assert await page.locator("button").evaluate_all(f"all => all.filter({small}).map(e => e.id)") == []


async def test_signing_out_leaves_nothing_open(opened: Open) -> None:
    page = await opened()

    await page.get_by_role("button", name="Sign out").click()

    await expect(page.get_by_label("Console token")).to_be_visible()
