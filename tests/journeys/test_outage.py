"""Valkey stops for a while, and a crowd goes on joining: pages ask again, nobody loses a place, the admitted shop on.

The outage lasts until everybody has been refused and has asked again; `make soak` lets it last 20 seconds at least.
"""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser_visitor import PHONE, Visitor, visiting
from tests.http_shopper import OWN, HttpShopper, solve
from tests.whole_site import WholeSite, read, until, whole_site

pytestmark = [pytest.mark.journey, pytest.mark.browser, pytest.mark.xdist_group("journey")]

CROWD = 20
REFUSED_AT_LEAST = 2
OUTAGE_S = float(os.environ.get("OUTAGE_S", "0"))
HTML = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}


@pytest.fixture(scope="module")
def site() -> Iterator[WholeSite]:
    """Give an installation of its own, whose Valkey these tests stop."""
    with whole_site() as running:
        yield running


class Newcomer:
    """Somebody who solved their challenge just before Valkey stopped, and asks until they have a place."""

    def __init__(self, site: WholeSite) -> None:
        self.shopper = HttpShopper(site.url)
        self.shopper.patience_s = 0
        self.challenge = self.shopper.pose()["challenge"]
        self.solution = solve(self.challenge)
        self.refusals = 0

    def join(self) -> None:
        until(self._has_place, within_s=120, every_s=0.2)

    def _has_place(self) -> bool:
        answer = self.shopper.register(self.challenge, self.solution)
        if answer.status in {200, 201}:
            return True
        assert (answer.status, answer.kind) == (503, "store-unavailable"), answer
        assert int(answer.headers["retry-after"]) >= 1
        self.refusals += 1
        return False


@contextmanager
def beside(site: WholeSite, visitor: Visitor) -> Iterator[HttpShopper]:
    """Give a shopper who holds the ticket of the browser."""
    shopper = HttpShopper(site.url)
    shopper.cookies = {str(cookie["name"]): str(cookie["value"]) for cookie in visitor.context.cookies()}
    yield shopper
    shopper.close()


def status(shopper: HttpShopper) -> dict[str, Any]:
    shopper.patience_s = 30
    answer = shopper.get(f"{OWN}/queue/status")
    assert answer.status == 200, answer
    return answer.body


@contextmanager
def stopped(site: WholeSite, ending: signal.Signals) -> Iterator[None]:
    """Stop Valkey while the block lasts; `ending` lets it go on, or die and be started again from its file."""
    (valkey,) = site.pids("valkey.sock") or site.pids("unixsocket")
    os.kill(valkey, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(valkey, ending)


@pytest.mark.parametrize("ending", [signal.SIGCONT, signal.SIGKILL], ids=["and goes on", "and dies"])
def test_valkey_stops_and_every_join_arrives_in_the_end(
    browser: Browser, line: WholeSite, ending: signal.Signals
) -> None:
    with ExitStack() as stack:
        crowd = [Newcomer(line) for _ in range(CROWD)]
        inside = HttpShopper(line.url)
        for shopper in (inside, *(newcomer.shopper for newcomer in crowd)):
            stack.callback(shopper.close)
        come_in(line, inside)
        visitor = stack.enter_context(visiting(browser, PHONE))
        hands = stack.enter_context(ThreadPoolExecutor(CROWD))

        with stopped(line, ending):
            begun_s = time.monotonic()
            joining = [hands.submit(newcomer.join) for newcomer in crowd]
            visitor.page.goto(f"{line.url}/drop/")
            while not (has_gone_on(begun_s) and all_were_refused(crowd, joining, visitor)):
                what_needs_no_valkey_works(line, inside)

        for joined in joining:
            joined.result(timeout=120)
        expect(visitor.page.locator("#place")).to_be_visible(timeout=60_000)
        shoppers = [*(newcomer.shopper for newcomer in crowd), stack.enter_context(beside(line, visitor))]
        standing = [status(shopper) for shopper in shoppers]
        scores = [told["score"] for told in standing]
        for told in standing:
            assert told["place"] == sum(score <= told["score"] for score in scores), "everybody is in line, and once"
        assert len({told["ticket_id"] for told in standing}) == CROWD + 1
        line.ops("resume", {})
        for newcomer in crowd:
            newcomer.shopper.wait_for_turn()
        expect(visitor.page.get_by_role("heading", level=1, name="The Drop")).to_be_visible(timeout=60_000)
        assert inside.get("/drop/").status == 200
        assert told_of_the_outage_alone(visitor)


def come_in(line: WholeSite, shopper: HttpShopper) -> None:
    """Let one in before; then everybody else waits."""
    shopper.join()
    line.ops("resume", {})
    shopper.wait_for_turn()
    line.ops("pause", {})
    until(lambda: all(line.pulse()["phase"] == "paused" for _ in range(12)))  # on both workers: who knows which answers


def has_gone_on(begun_s: float) -> bool:
    return time.monotonic() - begun_s >= OUTAGE_S


def all_were_refused(crowd: list[Newcomer], joining: list[Future[None]], visitor: Visitor) -> bool:
    for early in joining:
        assert not early.done(), "while Valkey is stopped nobody is told of a place"
    expect(visitor.page.locator("#live")).to_have_text("Live", timeout=30_000)
    by_page = sum("503" in fault and "/queue/register" in fault for fault in visitor.faults)
    return min(by_page, *(newcomer.refusals for newcomer in crowd)) >= REFUSED_AT_LEAST


def what_needs_no_valkey_works(line: WholeSite, inside: HttpShopper) -> None:
    """Ask for pulse, page and the store with a pass, as somebody new each time: any worker may answer."""
    assert line.pulse()["phase"] == "paused"
    assert read(f"{line.url}/.waitroom/healthz"), "a worker without Valkey is not a worker to be killed"
    passing = HttpShopper(line.url)
    passing.always |= HTML
    page = passing.get("/drop/")
    passing.cookies = dict(inside.cookies)
    shop = passing.get("/drop/")
    passing.close()
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert shop.status == 200


def told_of_the_outage_alone(visitor: Visitor) -> bool:
    return all("503" in fault for fault in visitor.faults)
