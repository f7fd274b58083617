"""The waiting page in a real browser, against a small real server that says what a room would say."""

import asyncio
import hmac
import json
import re
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import pairwise

import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, async_playwright, expect

from tests.conftest import CHROMIUM_FLAGS
from waitroom.gate.looks import look
from waitroom.gate.waiting import SlowVisitor, WaitingPage
from waitroom.kernel.answers import Handler
from waitroom.kernel.pages import Pages
from waitroom.rules import challenges
from waitroom.rules.challenges import ChallengeKeys, RefusedChallenge, Terms

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]  # one browser for all of them

KEYS = ChallengeKeys.from_secrets([b"c" * 32], [b"t" * 32])
SEED = bytes(range(32))
STORE = "<!doctype html><title>Store</title><h1>Welcome to the store</h1>"
TICKET, PASS = "wr_drop_ticket", "wr_drop_pass"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass
class FakeRoom:
    """A room whose every answer a test may set; it speaks the shapes of the public API and keeps a log of the calls."""

    page: WaitingPage = field(default_factory=lambda: WaitingPage(Pages(), {"drop": look("Northlight sneaker drop")}))
    phase: str = "open"
    event: str = "opening"
    generation: str = "g1"
    starts_ms: int | None = None
    serving: float | None = None
    called: int = 0
    waiting: int = 1203
    rate: int = 240
    health: dict[str, object] | None = None
    others: int | None = None  # how many were called in another lane
    guests: int = 0  # how many wait there
    open_until_ms: int | None = None
    is_closed: bool = False
    message: str | None = None
    stock: dict[str, int] | None = None
    seed: bytes | None = None
    state: str = "waiting"
    score: float | None = 5000.5
    place: int | None = 1204  # while nobody is called yet
    wait: dict[str, float] | None = field(default_factory=lambda: {"low": 240.0, "likely": 301.0, "high": 420.0})
    terms: Terms = field(default_factory=lambda: Terms(steps=16, difficulty=10))
    poll: dict[str, int] = field(default_factory=lambda: {"floor_ms": 100, "ceiling_ms": 300, "divisor": 10})
    spin: float | None = 0
    refusals: dict[str, list[web.Response]] = field(default_factory=dict)
    log: list[tuple[float, str]] = field(default_factory=list)
    tickets: set[str] = field(default_factory=set)
    posed: list[str] = field(default_factory=list)
    held: dict[str, asyncio.Event] = field(default_factory=dict)
    base: str = ""

    def calls(self, path: str) -> list[float]:
        return [at for at, called in self.log if called == path]

    def pulse(self) -> dict[str, object]:
        lanes = {"main": {"serving": self.serving, "called": self.called, "waiting": self.waiting}}
        if self.others is not None:
            lanes["priority"] = {"serving": None, "called": self.others, "waiting": self.guests}
        told: dict[str, object] = {
            "room": "drop",
            "event": self.event,
            "generation": self.generation,
            "phase": self.phase,
            "server_ms": now_ms(),
            "starts_ms": self.starts_ms,
            "ends_ms": None,
            "lanes": lanes,
            "rate_per_minute": self.rate,
            "poll": self.poll,
            "commitment": sha256(SEED).hexdigest(),
            "seed": self.seed.hex() if self.seed else None,
            "spin": self.spin,
            "message": self.message,
            "stock": self.stock,
        }
        sometimes = {"health": self.health, "open_until_ms": self.open_until_ms, "is_closed": self.is_closed}
        return told | {name: value for name, value in sometimes.items() if value}

    def place_of(self, request: web.Request) -> dict[str, object]:
        place = None if self.place is None else max(1, self.place - self.called)
        return {
            "state": self.state,
            "ticket_id": request.cookies.get(TICKET),
            "lane": "main",
            "score": self.score,
            "place": place,
            "ahead": None if place is None else place - 1,
            "wait_s": self.wait,
            "next_poll_ms": 1000,
        }

    def application(self) -> web.Application:
        own = "/.waitroom/drop"
        app = web.Application(middlewares=[self._logged])
        app.router.add_get(f"{own}/pulse", self._pulse)
        app.router.add_post(f"{own}/challenge", self._challenge)
        app.router.add_post(f"{own}/queue/register", self._register)
        app.router.add_get(f"{own}/queue/status", self._status)
        app.router.add_post(f"{own}/queue/claim", self._claim)
        app.router.add_post(f"{own}/queue/leave", self._leave)
        app.router.add_post(f"{own}/queue/slow", self._slow)
        app.router.add_get("/{path:.*}", self._door)
        return app

    @web.middleware
    async def _logged(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        path = request.path.removeprefix("/.waitroom/drop/")
        self.log.append((time.monotonic(), path))
        if self.refusals.get(path):
            refusal = self.refusals[path].pop(0)
            return web.Response(status=refusal.status, headers=refusal.headers, body=refusal.body)
        if path in self.held:
            await self.held[path].wait()
        return await handler(request)

    async def _pulse(self, request: web.Request) -> web.Response:
        return web.json_response(self.pulse(), headers={"Cache-Control": "no-store"})

    async def _challenge(self, request: web.Request) -> web.Response:
        assert await request.read() == b""
        posed = challenges.pose(
            KEYS,
            event=self.event,
            client_tag=bytes(8),
            terms=self.terms,
            now_ms=now_ms(),
            challenge_id=secrets.token_bytes(16),
        )
        self.posed.append(posed)
        expires_ms = now_ms() + 1000 * self.terms.ttl_s
        return web.json_response(
            {"challenge": posed, "k": self.terms.steps, "d": self.terms.difficulty, "expires_ms": expires_ms}
        )

    async def _register(self, request: web.Request) -> web.Response:
        sent = await request.json()
        try:
            ticket_id = challenges.verify(
                KEYS, event=self.event, challenge=sent["challenge"], solution=sent["solution"], now_ms=now_ms()
            )
        except RefusedChallenge as refused:
            return problem(403, f"challenge-{refused.fault}")
        self.tickets.add(ticket_id)
        self.state = "waiting" if self.state == "lapsed" else self.state
        body = {"state": "waiting", "ticket": "x", "ticket_id": ticket_id, "lane": "main", "score": self.score}
        answer = web.json_response({**body, "place": self.place}, status=201)
        answer.set_cookie(TICKET, ticket_id, httponly=True, samesite="Lax")
        return answer

    async def _status(self, request: web.Request) -> web.Response:
        if TICKET not in request.cookies:
            return problem(404, "no-ticket")
        return web.json_response(self.place_of(request))

    async def _claim(self, request: web.Request) -> web.Response:
        answer = web.json_response({"state": "admitted", "pass": "p", "return_to": "/elsewhere"})
        answer.set_cookie(PASS, "p", httponly=True, samesite="Lax")
        self.state = "admitted"
        return answer

    async def _leave(self, request: web.Request) -> web.Response:
        answer = web.Response(status=204)
        answer.del_cookie(TICKET)
        return answer

    async def _slow(self, request: web.Request) -> web.Response:
        sent = await request.post()
        assert sent["website"] == ""
        back = web.Response(status=303, headers={"Location": request.headers["Referer"]})
        back.set_cookie(TICKET, "slow", httponly=True, samesite="Lax")
        return back

    async def _door(self, request: web.Request) -> web.Response:
        if PASS in request.cookies or self.open_until_ms:
            return web.Response(text=STORE, content_type="text/html")
        if request.cookies.get(TICKET) == "slow":
            if self.state == "called":
                answer = web.Response(text=STORE, content_type="text/html")
                answer.set_cookie(PASS, "p")
                return answer
            slow = self.page.for_slow("drop", SlowVisitor(self.place, (240, 420), 1, message=self.message))
            return web.Response(text=slow.body, headers=slow.headers)
        return self.page.prepared("drop").answer(request)


def problem(status: int, kind: str, *, retry_after_s: int | None = None, detail: str = "No.") -> web.Response:
    headers = {"Content-Type": "application/problem+json", "Cache-Control": "no-store"}
    if retry_after_s is not None:
        headers["Retry-After"] = str(retry_after_s)
    document = {"type": f"urn:waitroom:problem:{kind}", "status": status, "detail": detail}
    return web.Response(status=status, headers=headers, body=json.dumps(document).encode())


@pytest_asyncio.fixture(loop_scope="module")
async def room() -> AsyncIterator[FakeRoom]:
    fake = FakeRoom()
    runner = web.AppRunner(fake.application(), shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    fake.base = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield fake
    await runner.cleanup()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def visitor(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    context.set_default_timeout(30_000)
    yield context
    await context.close()


async def opened(visitor: BrowserContext, room: FakeRoom, path: str = "/drop/shoe?size=42") -> tuple[Page, list[str]]:
    """Open the page; the list fills with whatever the browser complains of."""
    page = await visitor.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda fault: faults.append(str(fault)))
    page.on("console", lambda line: faults.append(line.text) if "Content Security" in line.text else None)
    await page.goto(room.base + path)
    return page, faults


async def test_a_visitor_solves_waits_is_called_and_lands_on_the_page_they_asked_for(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    page, faults = await opened(visitor, room)
    await expect(page.locator("#place")).to_have_text("1,204")
    await expect(page.locator("#ahead")).to_have_text("1,203")
    await expect(page.locator("#wait")).to_have_text("4\u20137 minutes")
    await expect(page).to_have_title("1,204 in line \u2013 Northlight sneaker drop")
    room.called, room.serving = 1000, 4000.0
    await expect(page.locator("#place")).to_have_text("204")
    room.serving = 5000.5

    await expect(page.locator("h1")).to_have_text("Welcome to the store")
    assert page.url == f"{room.base}/drop/shoe?size=42"
    assert len(room.tickets) == 1
    assert len(room.calls("queue/register")) == len(room.calls("queue/claim")) == 1
    assert faults == []


async def test_the_countdown_runs_on_the_clock_of_the_server(visitor: BrowserContext, room: FakeRoom) -> None:
    await visitor.add_init_script("const real = Date.now; Date.now = () => real() - 5 * 3600 * 1000")
    room.phase, room.starts_ms, room.score, room.place = "prequeue", now_ms() + 125_000, None, None

    page, faults = await opened(visitor, room)

    await expect(page.locator("#clock")).to_have_text(re.compile(r"^02minutes0[0-5]seconds$"))
    await expect(page.locator("#lead")).to_contain_text("draw")
    assert faults == []


async def test_at_the_opening_the_page_works_out_its_own_score_and_checks_the_draw(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    room.phase, room.starts_ms, room.score, room.place = "prequeue", now_ms() + 1500, None, None
    page, faults = await opened(visitor, room)
    await expect(page.locator("#lead")).to_contain_text("draw")
    (ticket_id,) = room.tickets
    room.held["queue/status"] = asyncio.Event()
    room.phase, room.seed, room.serving, room.wait = "open", SEED, 0.0, None
    await expect(page.locator("#place")).to_contain_text(re.compile(r"~[\d,]+"))
    score = drawn(ticket_id)
    room.score, room.place = score, 7
    room.held["queue/status"].set()
    await expect(page.locator("#place")).to_have_text("7")
    await page.locator("summary").click()
    await expect(page.locator("#proof")).to_contain_text(f"{score:.6f}")
    await expect(page.locator("#proof")).to_contain_text("Seed and number fit")

    room.serving = score - 2**-52
    await asyncio.sleep(0.7)
    assert room.calls("queue/claim") == []
    room.serving = score

    await expect(page.locator("h1")).to_have_text("Welcome to the store")
    assert faults == []


async def test_while_the_spin_is_awaited_nobody_is_told_a_place(visitor: BrowserContext, room: FakeRoom) -> None:
    room.phase, room.seed, room.spin = "open", SEED, None
    room.score, room.place, room.wait, room.called, room.waiting = None, None, None, 0, 1000

    page, faults = await opened(visitor, room)
    await expect(page.locator("#lead")).to_have_text("Your place is being worked out.")
    await expect(page.locator("#place")).to_be_hidden()
    (ticket_id,) = room.tickets
    asked = len(room.calls("queue/status"))
    room.held["queue/status"] = asyncio.Event()
    room.spin = 0.5
    turned = round((drawn(ticket_id) - 0.5) % 1 * 1000) + 1
    await expect(page.locator("#place")).to_have_text(f"~{turned:,}")

    await page.locator("summary").click()
    await expect(page.locator("#check")).to_have_attribute("href", "/.waitroom/drop/proof.html")
    room.score, room.place = drawn(ticket_id), 7
    room.held["queue/status"].set()
    await expect(page.locator("#place")).to_have_text("7")
    assert len(room.calls("queue/status")) > asked, "it asks for its exact place once there is one"
    assert faults == []


def drawn(ticket_id: str) -> float:
    """Return the score of a ticket in the draw, as the design has it."""
    return (int.from_bytes(hmac.digest(SEED, ticket_id.encode(), "sha256")[:8], "big") >> 12) / 2**52


async def test_the_wait_page_goes_to_return_to_of_this_site_and_nowhere_else(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    room.serving = 9e9
    page, _ = await opened(visitor, room, "/.waitroom/drop/wait?return_to=/drop/shoe%3Fsize=42")
    await page.wait_for_url(f"{room.base}/drop/shoe?size=42")

    for bad in (
        "//evil.example/",
        "https://evil.example/",
        "javascript:alert(1)",
        "/%5Cevil.example",
        "%09//evil.example",
    ):
        await visitor.clear_cookies()
        room.state = "waiting"
        await page.goto(f"{room.base}/.waitroom/drop/wait?return_to={bad}")
        await page.wait_for_url(f"{room.base}/elsewhere")


async def test_a_reload_goes_on_where_the_solver_was(visitor: BrowserContext, room: FakeRoom) -> None:
    room.terms = Terms(steps=64, difficulty=16)
    page, _ = await opened(visitor, room)
    async with asyncio.timeout(60):
        while await steps_done(page) < 5:
            await asyncio.sleep(0.02)
    before = await steps_done(page)

    await page.reload()
    await page.locator("#work").wait_for(state="visible")

    assert await steps_done(page) >= before
    await expect(page.locator("#place")).to_be_visible(timeout=60_000)
    assert len(room.posed) == 1


async def steps_done(page: Page) -> int:
    done = await page.locator("[role=progressbar]").get_attribute("aria-valuenow")
    return int(done or 0)


@pytest.mark.parametrize("locks", ["web locks", "storage"])
async def test_two_tabs_make_one_ticket(visitor: BrowserContext, room: FakeRoom, locks: str) -> None:
    if locks == "storage":
        await visitor.add_init_script(
            "Object.defineProperty(navigator, 'locks', {value: undefined}); delete window.BroadcastChannel"
        )
    room.terms = Terms(steps=16, difficulty=18)  # the first still works when the second is opened
    first, faults = await opened(visitor, room)
    second, more_faults = await opened(visitor, room)

    await expect(first.locator("#place")).to_have_text("1,204")
    await expect(second.locator("#place")).to_have_text("1,204")
    assert len(room.posed) == len(room.tickets) == len(room.calls("queue/register")) == 1
    assert faults == more_faults == []


async def test_a_tab_takes_over_when_the_solving_one_is_closed(visitor: BrowserContext, room: FakeRoom) -> None:
    room.terms = Terms(steps=64, difficulty=17)
    first, _ = await opened(visitor, room)
    second, _ = await opened(visitor, room)
    await expect(second.locator("#work-label")).to_have_text("Reserving your place in another tab")

    await first.close()

    await expect(second.locator("#place")).to_have_text("1,204", timeout=100_000)
    assert len(room.posed) == 1


async def test_the_solver_works_where_workers_are_forbidden(visitor: BrowserContext, room: FakeRoom) -> None:
    await visitor.add_init_script("window.Worker = function () { throw new Error('no workers here') }")

    page, faults = await opened(visitor, room)

    await expect(page.locator("#place")).to_have_text("1,204")
    assert faults == []


async def test_nothing_hangs_on_webcrypto_wasm_or_storage(visitor: BrowserContext, room: FakeRoom) -> None:
    await visitor.add_init_script(
        "Object.defineProperty(window, 'crypto', {value: undefined}); delete window.WebAssembly;"
        "Object.defineProperty(window, 'localStorage', {get() { throw new Error('private') }});"
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new Error('private') }});"
    )

    page, faults = await opened(visitor, room)

    await expect(page.locator("#place")).to_have_text("1,204")
    assert faults == []


async def test_an_outage_is_told_calmly_and_ends_by_itself(visitor: BrowserContext, room: FakeRoom) -> None:
    page, faults = await opened(visitor, room)
    await expect(page.locator("#live")).to_have_text("Live")
    room.refusals["pulse"] = [web.Response(status=502, text="<h1>Traceback</h1>")] * 3
    await expect(page.locator("#live")).to_have_text("Reconnecting…")
    await expect(page.locator("#place")).to_have_text("1,204")
    await expect(page.locator("#why")).to_contain_text("Your place is kept")

    await expect(page.locator("#live")).to_have_text("Live")
    assert "Traceback" not in await page.content()
    assert faults == []


async def test_a_solved_challenge_survives_an_outage_and_is_sent_again(visitor: BrowserContext, room: FakeRoom) -> None:
    room.refusals["queue/register"] = [problem(503, "store-unavailable", retry_after_s=1)] * 2

    page, _ = await opened(visitor, room)

    await expect(page.locator("#place")).to_have_text("1,204")
    first, second, third = room.calls("queue/register")
    assert second - first >= 1
    assert third - second >= 1
    assert len(room.posed) == 1


async def test_too_many_requests_is_a_reason_to_wait_as_long_as_was_said(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    room.refusals["challenge"] = [problem(429, "too-many-requests", retry_after_s=2)]

    page, _ = await opened(visitor, room)

    await expect(page.locator("#place")).to_have_text("1,204")
    first, second = room.calls("challenge")
    assert second - first >= 2


async def test_too_early_waits_and_says_that_it_is_nearly_there(visitor: BrowserContext, room: FakeRoom) -> None:
    room.refusals["queue/claim"] = [problem(425, "not-called", retry_after_s=1)]
    room.serving = 9e9

    page, _ = await opened(visitor, room)

    await expect(page.locator("#headline")).to_have_text("You are next")
    await expect(page.locator("h1")).to_have_text("Welcome to the store")
    first, second = room.calls("queue/claim")
    assert second - first >= 1


async def test_a_lapsed_visitor_joins_again_with_a_new_ticket(visitor: BrowserContext, room: FakeRoom) -> None:
    room.refusals["queue/claim"] = [problem(410, "lapsed")]
    room.refusals["queue/status"] = [problem(404, "no-ticket"), problem(410, "lapsed")]
    room.serving = 9e9
    page, _ = await opened(visitor, room)
    await expect(page.locator("#headline")).to_have_text("Your turn has passed")
    room.serving, room.state = None, "lapsed"

    await page.get_by_role("button", name="Join again").click()

    await expect(page.locator("#place")).to_have_text("1,204")
    assert len(room.tickets) == 2


async def test_who_missed_the_call_and_is_called_once_more_comes_in(visitor: BrowserContext, room: FakeRoom) -> None:
    room.refusals["queue/claim"] = [problem(410, "lapsed")]
    room.state = "called"
    room.serving = 9e9
    page, _ = await opened(visitor, room)

    await expect(page.locator("h1")).to_have_text("Welcome to the store")
    assert len(room.calls("queue/claim")) == 2
    assert len(room.tickets) == 1


async def test_who_lapsed_is_let_back_to_their_place_where_the_room_grants_it_after_all(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    room.refusals["queue/claim"] = [problem(410, "lapsed")]
    room.refusals["queue/status"] = [problem(404, "no-ticket"), problem(410, "lapsed")]
    room.serving = 9e9
    page, _ = await opened(visitor, room)
    await expect(page.locator("#headline")).to_have_text("Your turn has passed")
    room.serving, room.place = None, 3

    await page.get_by_role("button", name="Join again").click()

    await expect(page.locator("#place")).to_have_text("3")
    assert len(room.tickets) == len(room.posed) == 1


async def test_a_full_room_is_told_and_the_page_tries_again_when_it_says(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    room.refusals["queue/register"] = [problem(503, "full", retry_after_s=3)]

    page, faults = await opened(visitor, room)

    await expect(page.locator("#headline")).to_have_text("The waiting room is full")
    await expect(page.locator("#lead")).to_contain_text(re.compile("tries again by itself in [1-4] seconds?"))
    await expect(page.locator("#live")).to_have_text("Live")
    await expect(page.locator("#place")).to_have_text("1,204")
    first, second = room.calls("queue/register")
    assert second - first >= 3
    assert len(room.posed) == 1, "the work is not done twice"
    assert faults == []


async def test_where_everybody_is_let_in_nobody_waits_for_a_turn(visitor: BrowserContext, room: FakeRoom) -> None:
    page, faults = await opened(visitor, room)
    await expect(page.locator("#place")).to_have_text("1,204")

    room.open_until_ms = now_ms() + 600_000

    await expect(page.locator("h1")).to_have_text("Welcome to the store")
    assert room.calls("queue/claim") == []
    assert faults == []


async def test_who_is_at_the_front_comes_in_before_what_the_crowd_asks_at_the_opening(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    await visitor.add_init_script("Math.random = () => 0")  # the first of the crowd to ask for its place
    room.phase, room.starts_ms, room.score, room.place = "prequeue", now_ms() + 1500, None, None
    room.waiting = 1_000_000
    page, _ = await opened(visitor, room)
    await expect(page.locator("#lead")).to_contain_text("draw")
    room.held["queue/status"] = asyncio.Event()  # the crowd is more than this answers in time

    room.phase, room.seed, room.serving = "open", SEED, 1.0

    await expect(page.locator("h1")).to_have_text("Welcome to the store")


@pytest.mark.parametrize(("before", "after", "guests"), [(10, 500, 0), (None, 0, 300)], ids=["called", "arrived"])
async def test_a_wait_that_grows_because_of_another_lane_comes_with_the_reason(
    visitor: BrowserContext, room: FakeRoom, before: int | None, after: int, guests: int
) -> None:
    room.others = before
    page, _ = await opened(visitor, room)
    await expect(page.locator("#wait")).to_have_text("4\u20137 minutes")

    room.others, room.guests, room.called = after, guests, 700  # so few are left that the page asks anew
    room.wait = {"low": 400.0, "likely": 500.0, "high": 600.0}

    await expect(page.locator("#why")).to_contain_text("People with a place in another lane")
    await expect(page.locator("#wait")).to_have_text("6\u201310 minutes")
    await expect(page.locator("#place")).to_have_text("504")


async def test_leaving_takes_two_presses_and_can_be_undone_by_joining_again(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    page, _ = await opened(visitor, room)
    await page.get_by_role("button", name="Leave the line").click()
    assert room.calls("queue/leave") == []
    await page.get_by_role("button", name="Really leave?").click()
    await expect(page.locator("#headline")).to_have_text("You have left the line")
    assert len(room.calls("queue/leave")) == 1

    await page.get_by_role("button", name="Join again").click()

    await expect(page.locator("#place")).to_have_text("1,204")


async def test_a_new_generation_presents_the_ticket_again(visitor: BrowserContext, room: FakeRoom) -> None:
    page, _ = await opened(visitor, room)
    await expect(page.locator("#wait")).to_have_text("4\u20137 minutes")
    room.called = 100
    await expect(page.locator("#place")).to_have_text("1,104")
    before = len(room.calls("queue/status"))

    room.generation, room.called, room.place = "g2", 0, 1104

    await expect(page.locator("#why")).to_have_text("The waiting room has restarted. Your place is kept.")
    await expect(page.locator("#place")).to_have_text("1,104")
    async with asyncio.timeout(60):
        while len(room.calls("queue/status")) == before:
            await asyncio.sleep(0.05)
    assert len(room.calls("queue/register")) == 1


async def test_a_number_that_goes_up_comes_with_the_reason(visitor: BrowserContext, room: FakeRoom) -> None:
    page, _ = await opened(visitor, room)
    await expect(page.locator("#wait")).to_have_text("4\u20137 minutes")
    room.place, room.generation = 1206, "g2"

    await expect(page.locator("#place")).to_have_text("1,206")
    await expect(page.locator("#why")).to_have_text(re.compile("^Your number went up by 2: people who asked"))


async def test_a_slower_rate_is_told(visitor: BrowserContext, room: FakeRoom) -> None:
    page, _ = await opened(visitor, room)
    await expect(page.locator("#wait")).to_have_text("4\u20137 minutes")

    room.rate = 120

    await expect(page.locator("#wait")).to_have_text("8\u201314 minutes")
    await expect(page.locator("#why")).to_contain_text("more slowly")


async def test_a_shop_that_slows_and_fails_is_told_and_no_wait_is_made_up(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    page, _ = await opened(visitor, room)
    await expect(page.locator("#wait")).to_have_text("4\u20137 minutes")

    room.rate, room.health = 120, {"ratio": 0.5, "circuit": "closed"}
    await expect(page.locator("#why")).to_contain_text("The shop is very busy")
    room.rate, room.health = 1, {"ratio": 0.0, "circuit": "open"}
    await expect(page.locator("#why")).to_contain_text("The shop does not answer at the moment")
    await expect(page.locator("#place")).to_have_text("1,204")
    await expect(page.locator("#wait")).not_to_contain_text("hours")
    room.rate, room.health = 240, None
    await expect(page.locator("#wait")).to_have_text("4\u20137 minutes")
    await expect(page.locator("#why")).not_to_contain_text("does not answer")


async def test_what_is_left_is_told_and_no_wait_is_made_up_for_what_may_be_gone(
    visitor: BrowserContext, room: FakeRoom
) -> None:
    room.stock = {"left": 1953, "held": 5}
    page, faults = await opened(visitor, room)
    lead, wait = page.locator("#lead"), page.locator("#wait")

    await expect(lead).to_have_text(re.compile("^About 1,900 left, 1,203 ahead of you. This page lets you in"))
    await expect(wait).to_have_text("4\u20137 minutes")
    room.stock = {"left": 40, "held": 3}
    await expect(lead).to_have_text(re.compile("^About 40 left, 1,203 ahead of you: it may sell out before your turn."))
    await expect(wait).to_have_text("Not known yet")
    room.stock = {"left": 0, "held": 3}
    await expect(lead).to_have_text(re.compile("^Nothing is free this moment. 3 set aside may come back"))
    room.stock, room.phase = {"left": 0, "held": 0}, "sold_out"
    await expect(page.locator("#headline")).to_have_text("Everything is sold")
    await expect(lead).to_have_text(re.compile("^Your place is kept: should something come back"))
    room.stock, room.phase, room.called = {"left": 2, "held": 0}, "open", 1202
    await expect(lead).to_have_text(re.compile("^2 left, 1 ahead of you. This page"))
    room.stock, room.phase = {"left": 104, "held": 0}, "prequeue"
    await expect(lead).to_have_text(re.compile("^About 100 to sell. Your place is kept."))
    room.stock, room.phase = None, "open"
    await expect(lead).to_have_text(re.compile("^This page lets you in"))
    assert faults == []


@pytest.mark.parametrize("width", [320, 390])
async def test_what_is_left_fits_a_phone(visitor: BrowserContext, room: FakeRoom, width: int) -> None:
    room.stock = {"left": 0, "held": 123_456}
    page, _ = await opened(visitor, room)
    await page.set_viewport_size({"width": width, "height": 700})
    await expect(page.locator("#lead")).to_contain_text("123,456 set aside")

    assert await page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize(
    ("phase", "headline"),
    [
        ("paused", "Your place in line"),
        ("sold_out", "Everything is sold"),
        ("ended", "This sale has ended"),
        ("idle", "Your place in line"),
        ("prequeue", "Doors open any moment"),
    ],
)
async def test_every_phase_has_its_words(visitor: BrowserContext, room: FakeRoom, phase: str, headline: str) -> None:
    page, faults = await opened(visitor, room)
    await expect(page.locator("#place")).to_have_text("1,204")

    room.phase, room.message = phase, "<b>Back at six</b>"

    await expect(page.locator("#headline")).to_have_text(headline)
    await expect(page.locator("#message-text")).to_have_text("<b>Back at six</b>")
    assert faults == []


async def test_a_room_that_ops_have_closed_is_not_called_paused(visitor: BrowserContext, room: FakeRoom) -> None:
    page, faults = await opened(visitor, room)
    await expect(page.locator("#place")).to_have_text("1,204")

    room.phase, room.is_closed = "paused", True

    await expect(page.locator("#eyebrow")).to_have_text("Closed")
    await expect(page.locator("#wait")).to_have_text("Closed")
    await expect(page.locator("#lead")).to_contain_text("until the shop opens again")
    room.phase, room.is_closed = "open", False
    await expect(page.locator("#eyebrow")).to_have_text("Doors are open")
    assert faults == []


@pytest.mark.parametrize("phase", ["ended", "sold_out"])
async def test_nobody_solves_for_a_sale_that_is_over(visitor: BrowserContext, room: FakeRoom, phase: str) -> None:
    room.phase = phase
    page, _ = await opened(visitor, room)
    await expect(page.locator("#live")).to_have_text("Live")
    assert room.posed == []

    room.phase = "open"

    await expect(page.locator("#place")).to_have_text("1,204")


async def test_another_event_needs_another_ticket(visitor: BrowserContext, room: FakeRoom) -> None:
    page, _ = await opened(visitor, room)
    await expect(page.locator("#place")).to_have_text("1,204")
    room.refusals["queue/status"] = [problem(403, "foreign-ticket")]

    room.event = "second"

    async with asyncio.timeout(60):
        while len(room.tickets) < 2:
            await asyncio.sleep(0.05)
    await expect(page.locator("#place")).to_have_text("1,204")


async def test_a_refusal_is_shown_in_the_words_of_the_server(visitor: BrowserContext, room: FakeRoom) -> None:
    room.refusals["challenge"] = [problem(403, "room-full", detail="This room takes nobody else today.")]

    page, _ = await opened(visitor, room)

    await expect(page.locator("#lead")).to_contain_text("This room takes nobody else today. This page tries again")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("#place")).to_have_text("1,204")


# The page's own clock when it asks for a pulse; seen from the server, a stalled machine squeezes two together.
BEATS = """
window.beats = [];
const asking = window.fetch;
window.fetch = (url, how) => {
  if (String(url).endsWith("/pulse")) window.beats.push(performance.now());
  return asking(url, how);
};
"""


async def gaps_ms(page: Page) -> list[float]:
    """Return how long lay between the next six pulses, but for the shortest: the end of joining wakes the page once."""
    await page.evaluate("window.beats.length = 0")
    beats: list[float] = []
    async with asyncio.timeout(60):
        while len(beats) < 6:
            await asyncio.sleep(0.1)
            beats = await page.evaluate("window.beats")
    return sorted(later - earlier for earlier, later in pairwise(beats))[1:]


async def test_a_hidden_tab_beats_slowly_and_comes_in_when_looked_at(visitor: BrowserContext, room: FakeRoom) -> None:
    await visitor.add_init_script(
        "window.isAway = true; Object.defineProperty(document, 'hidden', {get: () => window.isAway})"
    )
    room.poll = {"floor_ms": 100, "ceiling_ms": 1000, "divisor": 10_000}
    await visitor.add_init_script(BEATS)
    page, _ = await opened(visitor, room)
    await expect(page.locator("#place")).to_have_text("1,204")
    assert min(await gaps_ms(page)) >= 850
    room.serving = 9e9
    await expect(page).to_have_title("● Your turn \u2013 Northlight sneaker drop")
    await expect(page.locator("#headline")).to_have_text("You are in")

    await page.evaluate("window.isAway = false; document.dispatchEvent(new Event('visibilitychange'))")

    await expect(page.locator("h1")).to_have_text("Welcome to the store")


async def test_the_beat_is_the_expected_wait_divided_and_clamped(visitor: BrowserContext, room: FakeRoom) -> None:
    room.poll = {"floor_ms": 200, "ceiling_ms": 5000, "divisor": 600}
    room.wait = {"low": 290.0, "likely": 300.0, "high": 310.0}  # 300 s / 600 = 500 ms
    await visitor.add_init_script(BEATS)
    page, _ = await opened(visitor, room)
    await expect(page.locator("#wait")).to_have_text("4\u20136 minutes")

    gaps = await gaps_ms(page)
    assert min(gaps) >= 425  # a busy machine adds to a gap, and takes nothing from it
    assert min(gaps) < 4250  # which is the least of the ceiling's
    assert len({round(gap) for gap in gaps}) > 1


async def test_sound_is_asked_for_and_plays(visitor: BrowserContext, room: FakeRoom) -> None:
    page, faults = await opened(visitor, room)
    await page.get_by_role("button", name="Play a sound").click()
    await expect(page.get_by_role("button", name="Sound is on")).to_have_attribute("aria-pressed", "true")

    room.serving = 9e9

    await expect(page.locator("h1")).to_have_text("Welcome to the store")
    assert faults == []


async def test_a_browser_that_loses_the_pass_does_not_reload_for_ever(visitor: BrowserContext, room: FakeRoom) -> None:
    room.state = "admitted"
    await visitor.add_cookies([{"name": TICKET, "value": "x", "url": room.base}])

    page, _ = await opened(visitor, room)

    await expect(page.locator("#headline")).to_have_text("Please allow cookies")
    assert len(room.calls("/drop/shoe")) == 4


async def test_a_browser_without_cookies_is_told(visitor: BrowserContext, room: FakeRoom) -> None:
    await visitor.add_init_script("Object.defineProperty(Navigator.prototype, 'cookieEnabled', {get: () => false})")

    page, _ = await opened(visitor, room)

    await expect(page.locator("#headline")).to_have_text("Please allow cookies")
    assert room.posed == []


async def test_without_javascript_a_visitor_joins_by_a_button_and_comes_in(browser: Browser, room: FakeRoom) -> None:
    async with await browser.new_context(java_script_enabled=False) as visitor:
        page, _ = await opened(visitor, room)
        await page.get_by_role("button", name="Join the line").click()
        await expect(page.locator(".big")).to_have_text("1,204")
        await expect(page.locator("dd").last).to_have_text("4\u20137 minutes")
        assert page.url == f"{room.base}/drop/shoe?size=42"

        room.state = "called"

        await expect(page.locator("h1")).to_have_text("Welcome to the store")
        assert room.posed == []


async def test_a_slow_device_is_offered_the_slow_lane(visitor: BrowserContext, room: FakeRoom) -> None:
    room.terms = Terms(steps=64, difficulty=24)
    page, _ = await opened(visitor, room)
    await expect(page.locator("#slow-text")).to_contain_text("join without it")

    await page.get_by_role("button", name="Join the line").click()

    await expect(page.locator(".big")).to_have_text("1,204")


async def test_a_screen_reader_finds_progress_state_and_names(visitor: BrowserContext, room: FakeRoom) -> None:
    room.terms = Terms(steps=64, difficulty=16)
    page, _ = await opened(visitor, room)

    gauge = page.get_by_role("progressbar", name="Reserving your place")
    await expect(gauge).to_have_attribute("aria-valuemax", "64")
    await expect(page.get_by_role("heading", level=1)).to_have_count(1)
    await expect(page.get_by_role("status")).to_have_text("Getting you a place")
    await expect(page.get_by_role("textbox")).to_have_count(0)


@pytest.mark.parametrize("width", [320, 390, 1440])
async def test_nothing_sticks_out_at_the_side(visitor: BrowserContext, room: FakeRoom, width: int) -> None:
    room.place, room.waiting = 1_204_567, 2_000_000
    room.message = "Averyveryverylongwordwithoutanyspaceinit" * 3
    page, _ = await opened(visitor, room)
    await page.set_viewport_size({"width": width, "height": 844})
    await expect(page.locator("#place")).to_have_text("1,204,567")

    assert await page.evaluate("document.documentElement.scrollWidth") <= width
