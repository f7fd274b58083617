"""The page on which a demo shopper answers their bank (3-D Secure): a plain form, for who was sent there only."""

import hmac
from collections.abc import Callable

from aiohttp import web

from inventory_backend.payments.payments import ChargeStatus
from inventory_backend.payments.simulated_books import Books
from inventory_backend.payments.simulated_cards import PaymentIntent
from inventory_backend.prices import price_text
from waitroom.kernel.answers import read_form
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused
from waitroom.kernel.origins import is_from_elsewhere
from waitroom.kernel.pages import Pages, csp, nonce

_TITLE = "Demo bank"


class ShopperPage:
    """What the shopper of a payment intent sees while it waits for their word."""

    def __init__(self, books: Books, clock: Clock, changed: Callable[[PaymentIntent], None]) -> None:
        """Ask about what is in `books`; `changed` writes down the answer."""
        self._books = books
        self._clock = clock
        self._changed = changed
        self._pages = Pages()

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the page."""
        router.add_get("/pay/{ref}", self.show)
        router.add_post("/pay/{ref}", self.answer)

    @staticmethod
    def url(request: web.Request, found: PaymentIntent) -> str:
        """Return where the shopper of `found` answers, seen from who sent `request`."""
        return f"{request.scheme}://{request.host}/pay/{found.ref}?secret={found.secret}"

    async def show(self, request: web.Request) -> web.Response:
        """Ask; or say that there is nothing to ask."""
        found = self._found(request, request.query.get("secret", ""))
        return self._page(found, "asking" if found and self._is_asking(found) else "gone")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Take the answer once, and send the shopper back to where the shop wants them."""
        if is_from_elsewhere(request):
            raise Refused(403, "foreign-origin", "Please use the buttons of the page itself.")
        form = await read_form(request)
        found = self._found(request, form.get("secret", ""))
        if found is None or not self._is_asking(found):
            return self._page(found, "gone")
        has_agreed = form.get("answer") == "yes"
        found.authorised_ms = self._clock.now_ms() if has_agreed else None
        self._changed(found)
        if found.return_url:
            raise web.HTTPSeeOther(found.return_url, headers={"Cache-Control": "no-store"})
        return self._page(found, "agreed" if has_agreed else "refused")

    def _found(self, request: web.Request, secret: str) -> PaymentIntent | None:
        found = self._books.intents.get(request.match_info["ref"])
        return found if found and hmac.compare_digest(found.secret.encode(), secret.encode()) else None

    def _is_asking(self, found: PaymentIntent) -> bool:
        return found.status(self._clock.now_ms()) is ChargeStatus.ACTION_REQUIRED

    def _page(self, found: PaymentIntent | None, state: str) -> web.Response:
        """Return the page of a payment; who has not its secret learns nothing of one, not even that it is there."""
        mark, shown = nonce(), {"amount": "", "secret": "", "return_url": ""}
        if found is not None:
            amount = price_text({"amount": found.amount, "currency": found.currency.upper()})
            shown = {"amount": amount, "secret": found.secret, "return_url": found.return_url}
        html = self._pages.render("gateway/pay.html", nonce=mark, title=_TITLE, state=state, **shown)
        headers = {
            "Content-Security-Policy": csp(mark, form_action="'self' http: https:"),  # also where it sends them back
            "Cache-Control": "no-store",
            "Referrer-Policy": "same-origin",  # with none at all, the form would say that it comes from nowhere
            "X-Content-Type-Options": "nosniff",
        }
        status = 200 if found is not None else 404
        return web.Response(
            status=status, body=html.encode(), content_type="text/html", charset="utf-8", headers=headers
        )
