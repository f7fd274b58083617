"""Render the waiting page: once a while for everybody, and by itself for who has no JavaScript."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from math import ceil, floor

from waitroom.gate.looks import Look, look
from waitroom.gate.squeeze import squeezed
from waitroom.kernel.pages import Pages, csp, nonce
from waitroom.kernel.prepared import Prepared
from waitroom.rules.stock import Stock, about, in_line, is_short

HTML = "text/html; charset=utf-8"

_WORDS = {
    "prequeue": (
        "Opening soon",
        "Your place in line",
        "The doors are not open yet. Your place is kept, and this page lets you in.",
    ),
    "waiting": ("In line", "Your place in line", "This page lets you in by itself when it is your turn."),
    "called": ("Your turn", "It is your turn", "You are being let in."),
    "paused": (
        "Paused",
        "Your place in line",
        "Nobody is let in at the moment. Your place is kept, and the line goes on by itself.",
    ),
    "down": (
        "In line",
        "Your place in line",
        "The shop does not answer at the moment. Nobody is let in until it does, and the line goes on by itself.",
    ),
    "sold_out": ("Sold out", "Everything is sold", "Should something come back, this page goes on by itself."),
    "ended": ("Closed", "This sale has ended", "Thank you for coming. Nobody is let in any more."),
    "lapsed": (
        "Waiting room",
        "Your turn has passed",
        "You were called, but nobody came in in time. You can join again at the end of the line.",
    ),
}
_NOTES = {
    "sold_out": "This page asks again every {} seconds. Your place is kept.",
    "ended": "You can close this page.",
    "lapsed": "You can close this page.",
}
_NOTE = "This page asks again every {} seconds, and lets you in by itself when it is your turn. Your place is kept."
_NAMELESS_PLACE = {"called", "sold_out", "ended", "lapsed"}


@dataclass(frozen=True, slots=True)
class SlowVisitor:
    """What is known of a visitor without JavaScript.

    `wait` is the range of the expected wait in seconds; `state` is a ticket's state, or the room's phase where
    that says more ("prequeue", "paused", "sold_out", "ended"); the page asks again after `refresh_s`.
    """

    place: int | None
    wait: tuple[float, float] | None
    refresh_s: int
    state: str = "waiting"
    message: str | None = None
    stock: Stock | None = None


@dataclass(frozen=True, slots=True)
class SlowPage:
    """The page of one visitor without JavaScript: the text, and the headers that must go with it."""

    body: str
    headers: Mapping[str, str]


class WaitingPage:
    """The waiting page of every room."""

    def __init__(self, pages: Pages, looks: Mapping[str, Look] | None = None) -> None:
        """Take the templates, and the look of the rooms that have one of their own."""
        self._pages = pages
        self._looks = dict(looks or {})
        self._mark = nonce()
        self._squeezed = cache(self._rendered)

    def prepared(self, room: str, *, status: int = 200, retry_after_s: int = 5) -> Prepared:
        """Return the page as bytes that are the same for everybody; nothing in it is about anybody.

        Make it anew each minute or so: one rendering has one nonce. `status` is the room's `queueing_status_code`.
        """
        mark = nonce()
        headers = _headers(mark)
        if status in {429, 503}:
            headers["Retry-After"] = str(retry_after_s)
        html = self._squeezed(room).replace(self._mark, mark)
        return Prepared(html.encode(), HTML, status=status, headers=headers)

    def for_slow(self, room: str, visitor: SlowVisitor) -> SlowPage:
        """Return the page of a visitor without JavaScript, who has a place already."""
        state, stock = visitor.state, visitor.stock
        eyebrow, headline, lead = _WORDS.get(state, _WORDS["waiting"])
        shown, wait = None if state in _NAMELESS_PLACE else visitor.place, visitor.wait
        if shown is None or state in {"paused", "down"} or (stock is not None and is_short(stock, shown - 1)):
            wait = None
        if stock is not None and state == "prequeue":
            lead = f"{about(stock.left)} to sell. {lead}"
        elif stock is not None and shown is not None and state == "waiting":
            lead = f"{in_line(stock, shown - 1)} {lead}"
        slow = {
            "state": state,
            "eyebrow": eyebrow,
            "headline": headline,
            "lead": lead,
            "place": None if shown is None else f"{shown:,}",
            "ahead": None if shown is None else f"{shown - 1:,}",
            "wait": None if wait is None else wait_text(*wait),
            "message": visitor.message,
            "refresh_s": None if state == "ended" else visitor.refresh_s,
            "note": _NOTES.get(state, _NOTE).format(visitor.refresh_s),
        }
        mark = nonce()
        html = self._pages.render("gate/waiting.html", room=room, look=self._look(room), nonce=mark, slow=slow)
        return SlowPage(squeezed(html), {"Content-Type": HTML, **_headers(mark)})

    def _rendered(self, room: str) -> str:
        """Return the page of `room` with a mark in place of the nonce: squeezing takes longer than all the rest."""
        look = self._look(room)
        return squeezed(self._pages.render("gate/waiting.html", room=room, look=look, nonce=self._mark, slow=None))

    def _look(self, room: str) -> Look:
        return self._looks.get(room) or look(room)


def wait_text(low_s: float, high_s: float) -> str:
    """Return an expected wait as an honest range, rounded outwards; the page's JavaScript has the same rule."""
    unit_s, step, name = (3600, 1, "hours") if high_s > 7200 else (60, 5 if high_s > 3600 else 1, "minutes")
    low = floor(low_s / unit_s / step) * step
    high = ceil(high_s / unit_s / step) * step
    if high <= 1:
        return "Less than a minute"
    if low == 0:
        return f"Up to {high} {name}"
    return f"About {high} {name}" if low == high else f"{low}\u2013{high} {name}"


def _headers(mark: str) -> dict[str, str]:
    return {
        "Cache-Control": "no-store",
        "Content-Security-Policy": csp(mark, worker=True),
        "Referrer-Policy": "same-origin",
        "X-Content-Type-Options": "nosniff",
    }
