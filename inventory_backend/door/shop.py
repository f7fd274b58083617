"""The demo shop: product, checkout and receipt as pages, made of the same calls that every client has.

Plain forms, so that it sells without JavaScript too; the script only makes it livelier.
"""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from json import loads

from aiohttp import web

from inventory_backend import documents
from inventory_backend.catalogue import Catalogue
from inventory_backend.checkout import Checkout, Paying
from inventory_backend.door.guard import Guard
from inventory_backend.ledger.idempotency import asked
from inventory_backend.prices import price_text
from inventory_backend.refusals import refused
from inventory_backend.sales import HoldState, OrderStatus, WaitlistState
from inventory_backend.waitlist import Waitlist
from waitroom.kernel.answers import read_form
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused, WaitroomError
from waitroom.kernel.origins import is_from_elsewhere
from waitroom.kernel.pages import Pages, csp, nonce
from waitroom.kernel.tokens import Pass

Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]

CARDS = (
    ("card_ok", "Card that works", "4242 4242 4242 4242"),
    ("card_3ds", "Card that its bank checks first", "4000 0000 0000 3220"),
    ("card_page", "Card whose bank asks you", "4000 0000 0000 3063"),
    ("card_slow", "Card with a slow bank", "4000 0000 0000 0077"),
    ("card_declined", "Card that is declined", "4000 0000 0000 0002"),
)
"""The simulated gateway's methods, as a shopper may choose them."""

_BUTTONS = ("reserve", "waitlist/leave", "checkout/{id}/pay", "checkout/{id}/cancel", "leave")
"""Where forms lead: who comes there by a reload, or by "Try again", gets the product."""
_HELD_COOKIE = "shop_hold"
"""Which hold a shopper was at last, for the way back to it; it opens nothing, their pass does."""
_OVER = {HoldState.EXPIRED, HoldState.CANCELLED, HoldState.REFUND_DUE, HoldState.REFUNDED}
_ON_THE_LIST = {WaitlistState.WAITING, WaitlistState.OFFERED}
_HEADLINES = {
    "sold-out": "Sold out",
    "not-sold-out": "There are some again",
    "waitlist-full": "The waitlist is full",
    "other-wish": "You wait for something else",
    "limit-reached": "You have yours already",
    "sale-not-active": "Not on sale right now",
    "hold-expired": "Time is up",
    "not-found": "There is nothing here",
    "no-pass": "Please come in through the waiting room",
    "store-unavailable": "One moment, please",
}


class Shop:
    """The pages below `/{sale}/`."""

    def __init__(
        self, checkout: Checkout, waitlist: Waitlist, catalogue: Catalogue, guard: Guard, pages: Pages, clock: Clock
    ) -> None:
        """Sell through `checkout` what `catalogue` has, to whom `guard` lets in; `waitlist` knows who is next."""
        self._checkout = checkout
        self._waitlist = waitlist
        self._catalogue = catalogue
        self._guard = guard
        self._pages = pages
        self._clock = clock

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the pages of every sale; the bare address leads to the first one."""
        first, *_ = self._catalogue.sales
        router.add_get("/", self._leads_to(f"/{first}/"))
        for sale in self._catalogue.sales:
            own = f"/{{sale:{sale}}}"
            router.add_get(f"/{sale}", self._leads_to(f"/{sale}/"))
            router.add_get(f"{own}/", self._for_people(self.product))
            router.add_post(f"{own}/reserve", self._for_people(self.reserve))
            router.add_get(f"{own}/waitlist", self._for_people(self.waitlist))
            router.add_post(f"{own}/waitlist", self._for_people(self.join))
            router.add_post(f"{own}/waitlist/leave", self._for_people(self.leave_waitlist))
            router.add_get(f"{own}/checkout/{{reservation_id}}", self._for_people(self.checkout))
            router.add_post(f"{own}/checkout/{{reservation_id}}/pay", self._for_people(self.pay))
            router.add_post(f"{own}/checkout/{{reservation_id}}/cancel", self._for_people(self.cancel))
            router.add_get(f"{own}/orders/{{order_id}}", self._for_people(self.receipt))
            router.add_post(f"{own}/leave", self._for_people(self.leave))
            for button in _BUTTONS:
                router.add_get(f"{own}/{button}", self._leads_to(f"/{sale}/"))
            router.add_get(f"{own}/{{nothing:.+}}", self._for_people(self.nothing))

    async def product(self, request: web.Request) -> web.StreamResponse:
        """Show what is for sale, and who waits how they stand."""
        shopper, name = self._guard.shopper(request), request.match_info["sale"]
        standing = None
        if self._catalogue.is_short(name):  # else nobody waits, and the ledger is left alone
            standing, _ = await self._waitlist.standing(shopper, name)
        starts_ms, shown = self._catalogue.sales[name].starts_ms, self._catalogue.as_json(name)
        opens_in_ms = 0 if starts_ms is None else max(0, starts_ms - self._clock.now_ms())
        place = None if standing is None or standing.state not in _ON_THE_LIST else standing.state
        key, mine = secrets.token_urlsafe(16), await self._mine(request, shopper)
        return self._page("product", request, shown=shown, place=place, mine=mine, opens_in_ms=opens_in_ms, key=key)

    async def reserve(self, request: web.Request) -> web.StreamResponse:
        """Set one unit aside, and go on to the checkout; if there is none left, to the waitlist for who wants that."""
        shopper, form = await self._form(request)
        sale, sku = request.match_info["sale"], form.get("sku", "")
        body = {"sale": sale, "lines": [{"sku": sku, "qty": 1}]}
        ask = asked("reserve", shopper.session_id, form.get("key"), body)
        try:
            answer = await self._checkout.reserve(shopper, sale, [(sku, 1)], ask)
        except Refused as fault:
            if fault.kind != "sold-out":
                raise
            return self._refusal(request, fault, wait_for=sku)
        raise _see_other(f"/{sale}/checkout/{loads(answer.body)['reservation_id']}")

    async def join(self, request: web.Request) -> web.StreamResponse:
        """Wait for one unit, and see how one stands."""
        shopper, form = await self._form(request)
        sale = request.match_info["sale"]
        await self._waitlist.join(shopper, sale, [(form.get("sku", ""), 1)])
        raise _see_other(f"/{sale}/waitlist")

    async def waitlist(self, request: web.Request) -> web.StreamResponse:
        """Show how somebody stands: in line, with an offer and the time for it, or too late."""
        name = request.match_info["sale"]
        standing, offer = await self._waitlist.standing(self._guard.shopper(request), name)
        if standing is None:
            raise _see_other(f"/{name}/")
        if offer is not None and standing.state in {WaitlistState.PAYING, WaitlistState.BOUGHT}:
            raise _see_other(f"/{name}/orders/{offer.order_id}")
        left_ms = 0 if offer is None else max(0, offer.held_until_ms - self._clock.now_ms())
        shown = documents.standing(name, standing, offer)
        offer_s = self._catalogue.sales[name].offer_ms // 1000
        return self._page("waitlist", request, shown=shown, left_ms=left_ms, offer_s=offer_s)

    async def leave_waitlist(self, request: web.Request) -> web.StreamResponse:
        """Give up the place or the offer, and go back to the product."""
        shopper, _ = await self._form(request)
        await self._waitlist.leave(shopper, request.match_info["sale"])
        raise _see_other(f"/{request.match_info['sale']}/")

    async def checkout(self, request: web.Request) -> web.StreamResponse:
        """Show a hold, how long it still stands, and the ways to pay."""
        shopper = self._guard.shopper(request)
        found = await self._checkout.hold(shopper, request.match_info["reservation_id"])
        if found.order_id is not None and found.state is not HoldState.HELD:
            raise _see_other(f"/{found.sale}/orders/{found.order_id}")
        if found.state in _OVER:
            raise refused("hold-expired")
        left_ms = max(0, found.held_until_ms - self._clock.now_ms())
        shown = documents.hold(found)
        key = secrets.token_urlsafe(16)
        answer = self._page("checkout", request, shown=shown, left_ms=left_ms, cards=CARDS, key=key)
        answer.set_cookie(_HELD_COOKIE, found.rid, path=f"/{found.sale}/", httponly=True, samesite="Lax")
        return answer

    async def pay(self, request: web.Request) -> web.StreamResponse:
        """Begin to pay, and go on to the order."""
        shopper, form = await self._form(request)
        rid, method = request.match_info["reservation_id"], form.get("method", "")
        if method not in {card for card, _, _ in CARDS}:
            raise refused("unknown-provider")
        body = {"reservation_id": rid, "payment": {"provider": "simulated", "method": method}}
        ask = asked("commit", shopper.session_id, form.get("key"), body)
        answer = await self._checkout.commit(shopper, rid, Paying("simulated", method), ask)
        raise _see_other(f"/{request.match_info['sale']}/orders/{loads(answer.body)['order_id']}")

    async def cancel(self, request: web.Request) -> web.StreamResponse:
        """Let go of a hold, and go back to the product."""
        shopper, _ = await self._form(request)
        await self._checkout.cancel(shopper, request.match_info["reservation_id"])
        raise _see_other(f"/{request.match_info['sale']}/")

    async def receipt(self, request: web.Request) -> web.StreamResponse:
        """Show how an order stands: under way, paid, or what to do next."""
        found = await self._checkout.order(self._guard.shopper(request), request.match_info["order_id"])
        shown = documents.order(found)
        is_under_way = shown["status"] == OrderStatus.PAYING
        return self._page("receipt", request, shown=shown, is_under_way=is_under_way)

    async def leave(self, request: web.Request) -> web.StreamResponse:
        """Say goodbye, and let the next one have the place inside, and that on the waitlist."""
        shopper, _ = await self._form(request)
        with suppress(Refused):  # who pays at this moment keeps what is paid for
            await self._waitlist.leave(shopper, request.match_info["sale"])
        answer = self._notice(request, "Thank you", "Your place inside is free for the next one in line.")
        answer.headers["Waitroom-Command"] = "revoke"
        return answer

    async def nothing(self, _request: web.Request) -> web.StreamResponse:
        """Say so on a page: a person mistyped an address."""
        raise refused("not-found")

    async def _mine(self, request: web.Request, shopper: Pass) -> dict[str, str] | None:
        """Return where a shopper finds what they hold or have bought; only who was at a checkout costs a look."""
        rid, name = request.cookies.get(_HELD_COOKIE, ""), request.match_info["sale"]
        if not rid:
            return None
        try:
            found = await self._checkout.hold(shopper, rid)
        except Refused:
            return None  # of another shopper, or of nobody
        if found.sale != name or found.state in _OVER:
            return None
        if found.state is HoldState.HELD:
            is_over = found.held_until_ms <= self._clock.now_ms()
            return None if is_over else {"state": "held", "path": f"/{name}/checkout/{rid}"}
        return {"state": "ordered", "path": f"/{name}/orders/{found.order_id}"}

    async def _form(self, request: web.Request) -> tuple[Pass, dict[str, str]]:
        """Return who sent a form and what is in it; a page of another site sends none."""
        shopper = self._guard.shopper(request)
        if is_from_elsewhere(request):
            raise Refused(403, "foreign-origin", "Please use the buttons of this shop.")
        return shopper, await read_form(request)

    def _for_people(self, answering: Answering) -> Answering:
        """Return `answering` with its refusals as pages."""

        async def answer(request: web.Request) -> web.StreamResponse:
            try:
                return await answering(request)
            except WaitroomError as fault:
                return self._refusal(request, fault)

        return answer

    def _leads_to(self, path: str) -> Answering:
        async def answer(_request: web.Request) -> web.StreamResponse:
            raise _see_other(path)

        return answer

    def _refusal(self, request: web.Request, fault: WaitroomError, *, wait_for: str = "") -> web.Response:
        """Return `fault` as a page, which offers the waitlist for the sku `wait_for`."""
        headline = _HEADLINES.get(fault.kind, "That did not work")
        is_waited_for = bool(wait_for) and self._catalogue.sales[request.match_info["sale"]].max_waitlist > 0
        answer = self._notice(request, headline, fault.public, wait_for=wait_for if is_waited_for else "")
        answer.set_status(fault.status)
        if fault.retry_after_s is not None:
            answer.headers["Retry-After"] = str(fault.retry_after_s)
        return answer

    def _notice(self, request: web.Request, headline: str, detail: str, *, wait_for: str = "") -> web.Response:
        return self._page("notice", request, headline=headline, detail=detail, wait_for=wait_for)

    def _page(self, template: str, request: web.Request, **values: object) -> web.Response:
        mark, name = nonce(), request.match_info["sale"]
        sale = self._catalogue.sales[name]
        common = {"nonce": mark, "sale": name, "title": sale.title, "skus": sale.skus, "price_text": price_text}
        html = self._pages.render(f"inventory/{template}.html", **common, **values)
        headers = {
            "Content-Security-Policy": csp(mark),
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(body=html.encode(), content_type="text/html", charset="utf-8", headers=headers)


def _see_other(path: str) -> web.HTTPSeeOther:
    return web.HTTPSeeOther(path, headers={"Cache-Control": "no-store"})
