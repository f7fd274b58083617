"""A visitor with a real browser, who keeps a list of everything the browser complains of."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request, Response, expect

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1440, "height": 900}
_NO_TICKET_YET = re.compile(r"/\.waitroom/\w+/queue/status$")
"""A newcomer asks for a place they may have from before; that there is none is an answer, not a fault."""


@dataclass
class Visitor:
    """One person: one browser profile, one page in front of them, more tabs if they like."""

    context: BrowserContext
    page: Page
    faults: list[str] = field(default_factory=list)

    def tab(self) -> Page:
        page = self.context.new_page()
        self.watch(page)
        return page

    def watch(self, page: Page) -> None:
        page.on("pageerror", lambda fault: self.faults.append(f"script: {fault}"))
        page.on("console", self._heard)
        page.on("requestfailed", self._failed)
        page.on("response", self._answered)

    def reserve(self, sku: str = "sneaker") -> None:
        self.page.locator(f"[data-buy={sku}]").click()
        expect(self.page.get_by_role("heading", name="Confirm and pay")).to_be_visible()

    def pay(self, card: str | None = None) -> None:
        if card is not None:
            self.page.get_by_label(card).check()
        self.page.get_by_role("button", name="Pay ").click()

    def buy(self) -> None:
        """Go from the product to the receipt."""
        self.reserve()
        self.pay()
        expect(self.page.get_by_role("heading", name="It is yours")).to_be_visible(timeout=20_000)

    def fits(self) -> bool:
        """Whether nothing sticks out at the side."""
        sizes = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        return bool(sizes[0] <= sizes[1])

    def _heard(self, message: ConsoleMessage) -> None:
        is_expected = _NO_TICKET_YET.search(message.location["url"]) and "404" in message.text
        if message.type in {"error", "warning"} and not is_expected:
            self.faults.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _failed(self, request: Request) -> None:
        is_left = request.failure == "net::ERR_ABORTED"  # the page went on while it was asking
        if not is_left:
            self.faults.append(f"failed: {request.method} {request.url} {request.failure}")

    def _answered(self, response: Response) -> None:
        is_expected = response.status == 404 and _NO_TICKET_YET.search(response.url)
        if response.status >= 400 and not is_expected:
            self.faults.append(f"status: {response.status} {response.request.method} {response.url}")


@contextmanager
def visiting(browser: Browser, size: dict[str, int], **wishes: Any) -> Iterator[Visitor]:
    """Give a visitor with a browser profile of their own."""
    context = browser.new_context(viewport={"width": size["width"], "height": size["height"]}, **wishes)
    context.set_default_timeout(30_000)
    visitor = Visitor(context, context.new_page())
    visitor.watch(visitor.page)
    try:
        yield visitor
    finally:
        context.close()
