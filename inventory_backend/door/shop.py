"""The demo shop: product, checkout and receipt as pages, made of the same calls that every client has.

Plain forms, so that it sells without JavaScript too; the script only makes it livelier.
"""

import secrets
from collections.abc import Awaitable, Callable
from json import loads

from aiohttp import web

from inventory_backend import documents
from inventory_backend.catalogue import Catalogue
from inventory_backend.checkout import Checkout, Paying
from inventory_backend.door.guard import Guard
from inventory_backend.ledger.idempotency import asked
from inventory_backend.prices import price_text
from inventory_backend.refusals import refused
from inventory_backend.sales import HoldState, OrderStatus
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
    ("card_3ds", "Card that asks the bank first", "4000 0000 0000 3220"),
    ("card_slow", "Card with a slow bank", "4000 0000 0000 0077"),
    ("card_declined", "Card that is declined", "4000 0000 0000 0002"),
)
"""The simulated gateway's methods, as a shopper may choose them."""

_OVER = {HoldState.EXPIRED, HoldState.CANCELLED, HoldState.REFUND_DUE, HoldState.REFUNDED}
_HEADLINES = {
    "sold-out": "Sold out",
    "limit-reached": "You have yours already",
    "sale-not-active": "Not on sale right now",
    "hold-expired": "Time is up",
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
            router.add_get(f"{own}/checkout/{{reservation_id}}", self._for_people(self.checkout))
            router.add_post(f"{own}/checkout/{{reservation_id}}/pay", self._for_people(self.pay))
            router.add_post(f"{own}/checkout/{{reservation_id}}/cancel", self._for_people(self.cancel))
            router.add_get(f"{own}/orders/{{order_id}}", self._for_people(self.receipt))
            router.add_post(f"{own}/leave", self._for_people(self.leave))

    async def product(self, request: web.Request) -> web.StreamResponse:
        """Show what is for sale."""
        self._guard.shopper(request)
        sale = self._catalogue.as_json(request.match_info["sale"])
        return self._page("product", request, shown=sale, key=secrets.token_urlsafe(16))

    async def reserve(self, request: web.Request) -> web.StreamResponse:
        """Set one unit aside, and go on to the checkout."""
        shopper, form = await self._form(request)
        sale = request.match_info["sale"]
        body = {"sale": sale, "lines": [{"sku": form.get("sku", ""), "qty": 1}]}
        ask = asked("reserve", shopper.session_id, form.get("key"), body)
        answer = await self._checkout.reserve(shopper, sale, [(form.get("sku", ""), 1)], ask)
        raise _see_other(f"/{sale}/checkout/{loads(answer.body)['reservation_id']}")

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
        return self._page("checkout", request, shown=shown, left_ms=left_ms, cards=CARDS, key=secrets.token_urlsafe(16))

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
        """Say goodbye, and let the waiting room give the place to the next one."""
        await self._form(request)
        answer = self._notice(request, 200, "Thank you", "Your place inside is free for the next one in line.")
        answer.headers["Waitroom-Command"] = "revoke"
        return answer

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
                headline = _HEADLINES.get(fault.kind, "That did not work")
                shown = self._notice(request, fault.status, headline, fault.public)
                if fault.retry_after_s is not None:
                    shown.headers["Retry-After"] = str(fault.retry_after_s)
                return shown

        return answer

    def _leads_to(self, path: str) -> Answering:
        async def answer(_request: web.Request) -> web.StreamResponse:
            raise _see_other(path)

        return answer

    def _notice(self, request: web.Request, status: int, headline: str, detail: str) -> web.Response:
        answer = self._page("notice", request, headline=headline, detail=detail)
        answer.set_status(status)
        return answer

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
