"""A payment gateway that moves no money: Stripe's shapes and key rules over real HTTP, for demos and tests.

Never expose it: it knows nobody and trusts everybody. `simulated_psp` starts it as a process of its own.
"""

from collections.abc import AsyncIterator, Callable

from aiohttp import web

from inventory_backend.payments.payments import ChargeStatus
from inventory_backend.payments.simulated_books import Books, Refund, Reply
from inventory_backend.payments.simulated_cards import Behaviour, Card, PaymentIntent, authorised_ms, whole
from inventory_backend.payments.simulated_events import Event, Postman
from inventory_backend.payments.simulated_faults import Faults, Operation, failing
from inventory_backend.payments.simulated_forms import odd
from inventory_backend.payments.simulated_journal import Journal
from inventory_backend.payments.simulated_keys import Form, Keys, error, invalid, sent
from inventory_backend.payments.simulated_lists import BadQuery, page, searched
from inventory_backend.payments.simulated_page import ShopperPage
from waitroom.kernel.answers import errors_become_answers
from waitroom.kernel.clock import Clock
from waitroom.kernel.tasks import Loop, running

_CHARGE = "latest_charge"
_LOOK_S = 0.1
"""How soon it sees that a charge moved on with the time, and tells of it."""


class SimulatedGatewayServer:
    """The payment intents and refunds in its books."""

    def __init__(
        self,
        clock: Clock,
        behaviour: Behaviour | None = None,
        books: Books | None = None,
        postman: Postman | None = None,
    ) -> None:
        """Go on from `books`; without any, begin with no charges; without a `postman`, tell nobody."""
        self._clock = clock
        self._behaviour = behaviour or Behaviour()
        self._books = books or Books()
        self._postman = postman or Postman("", b"", clock, self._books.note_event)
        self.journal = Journal(self._books, self._postman, clock)
        self._faults = Faults(clock)
        self._keys = Keys(self._books, clock)
        self._page = ShopperPage(self._books, clock, self._answered)
        self._stumbled: set[str] = set()

    def app(self) -> web.Application:
        """Return the routes."""
        app = web.Application(middlewares=[errors_become_answers])
        router, met, intent = app.router, self._faults.meeting, "/v1/payment_intents/{ref}"
        for path, operation, effect in (
            ("/v1/payment_intents", Operation.CREATE, self._create),
            (f"{intent}/confirm", Operation.CONFIRM, self._confirm),
            (f"{intent}/capture", Operation.CAPTURE, self._capture),
            (f"{intent}/cancel", Operation.CANCEL, self._cancel),
            ("/v1/refunds", Operation.REFUND, self._refund),
        ):
            router.add_post(path, met(operation, self._keys.under(failing(effect))))
        router.add_get("/v1/payment_intents", met(Operation.LIST, self.list_intents))
        router.add_get("/v1/payment_intents/search", met(Operation.SEARCH, self.search_intents))
        router.add_get(intent, met(Operation.RETRIEVE, self.retrieve))
        router.add_get("/v1/refunds", met(Operation.LIST, self.list_refunds))
        router.add_get("/v1/events", met(Operation.LIST, self.list_events))
        router.add_get("/healthz", self.healthz)
        for part in (self._faults, self._postman, self._page):
            part.add_to(router)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        self._books.close()

    async def telling(self, _app: web.Application) -> AsyncIterator[None]:
        """Tell of what happens while the application lives."""
        self.journal.resume()
        async with running(Loop("events", self.journal.step, period_s=_LOOK_S, limit_s=60), clock=self._clock):
            yield

    async def healthz(self, _request: web.Request) -> web.Response:
        """Say that the process answers."""
        return web.json_response({"status": "ok"})

    async def retrieve(self, request: web.Request) -> web.Response:
        """Return one payment intent."""
        found = self._books.intents.get(request.match_info["ref"])
        return sent(Reply(200, self._shown(request, found)) if found else _missing())

    async def list_intents(self, request: web.Request) -> web.Response:
        """Return payment intents, newest first, in pages: what a reconciler reads."""
        rows = list(self._books.intents.values())
        return _listed(lambda: page(request.query, rows, lambda one: self._shown(request, one)))

    async def search_intents(self, request: web.Request) -> web.Response:
        """Return the payment intents that a query fits."""

        def found() -> dict[str, object]:
            rows = searched(request.query, list(self._books.intents.values()), self._clock.now_ms())
            shown = [self._shown(request, one) for one in rows]
            return {"object": "search_result", "data": shown, "has_more": False, "next_page": None}

        return _listed(found)

    async def list_refunds(self, request: web.Request) -> web.Response:
        """Return refunds, newest first, in pages."""
        of = request.query.get("payment_intent")
        rows = [one for one in self._books.refunds.values() if of in {None, one.intent}]
        return _listed(lambda: page(request.query, rows, Refund.as_json))

    async def list_events(self, request: web.Request) -> web.Response:
        """Return what happened, newest first, in pages."""
        self.journal.look()
        kind = request.query.get("type")
        rows = [one for one in self._books.events.values() if kind in {None, one.kind}]
        return _listed(lambda: page(request.query, rows, Event.as_json))

    async def _create(self, request: web.Request, form: Form) -> Reply:
        if (refusal := odd(form)) is not None:
            return refusal
        card = Card(form["payment_method"])
        metadata = {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}
        if card is Card.ERROR and self._stumbles(request.headers.get("Idempotency-Key", "")):
            return error(500, "api_error", "internal", "This card makes the first call fail.")
        if card is Card.SLOW:
            await self._clock.sleep(self._behaviour.slow_ms / 1000)
        amount, currency = int(form["amount"]), form["currency"].lower()
        made = PaymentIntent(amount, currency, card, self._clock.now_ms(), None, metadata, is_confirmed=False)
        made.is_manual = form.get("capture_method") == "manual"
        made.return_url = form.get("return_url", "")
        return self._confirmed(request, made) if form.get("confirm") == "true" else self._noted(request, made)

    async def _confirm(self, request: web.Request, form: Form) -> Reply:
        found = self._books.intents.get(request.match_info["ref"])
        if found is None:
            return _missing()
        if found.status(self._clock.now_ms()) not in {ChargeStatus.UNCONFIRMED, ChargeStatus.DECLINED}:
            return self._unexpected(request, found, "confirmed")
        if form.get("payment_method", found.card) not in set(Card):
            return invalid(f"payment_method must be one of {', '.join(Card)}", "payment_method")
        found.card = Card(form.get("payment_method", found.card))
        return self._confirmed(request, found)

    def _confirmed(self, request: web.Request, found: PaymentIntent) -> Reply:
        found.is_confirmed = True
        found.authorised_ms = authorised_ms(found.card, self._clock.now_ms(), found.metadata, self._behaviour)
        reply = self._noted(request, found)
        if found.authorised_ms is None:
            return _kept_error(402, "card_error", "card_declined", "Your card was declined.", reply)
        return reply

    async def _capture(self, request: web.Request, _form: Form) -> Reply:
        found = self._books.intents.get(request.match_info["ref"])
        if found is None:
            return _missing()
        if found.status(self._clock.now_ms()) is not ChargeStatus.AUTHORISED:
            return self._unexpected(request, found, "captured")
        found.captured = found.amount
        return self._noted(request, found)

    async def _cancel(self, request: web.Request, _form: Form) -> Reply:
        found = self._books.intents.get(request.match_info["ref"])
        if found is None:
            return _missing()
        if not found.can_be_cancelled(self._clock.now_ms()):
            return self._unexpected(request, found, "cancelled")
        found.is_cancelled = True
        return self._noted(request, found)

    async def _refund(self, request: web.Request, form: Form) -> Reply:
        found, now_ms = self._books.intents.get(form.get("payment_intent", "")), self._clock.now_ms()
        if found is None:
            return _missing()
        received = found.received(now_ms)
        left = received - found.refunded
        if received and not left:
            told = "This charge has already been refunded."
            return error(400, "invalid_request_error", "charge_already_refunded", told, param="payment_intent")
        amount = whole(form["amount"]) if "amount" in form else left
        if amount is None or not 1 <= amount <= left:
            return invalid("nothing is left to refund, or less than that", "amount")
        found.refunded += amount
        made = Refund(f"re_{len(self._books.refunds) + 1:012d}", amount, found.ref, found.currency, now_ms)
        self._noted(request, found)
        self._books.note_refund(made)
        self.journal.happened("charge.refunded", found.charge_json(now_ms))
        return Reply(200, made.as_json())

    def _stumbles(self, key: str) -> bool:
        is_first = key not in self._stumbled
        self._stumbled.add(key)
        return is_first

    def _noted(self, request: web.Request, found: PaymentIntent) -> Reply:
        self.journal.changed(found)
        return Reply(200, self._shown(request, found))

    def _answered(self, found: PaymentIntent) -> None:
        self.journal.changed(found)
        self._books.commit()

    def _shown(self, request: web.Request, found: PaymentIntent) -> dict[str, object]:
        now_ms = self._clock.now_ms()
        shown = found.as_json(now_ms, self._page.url(request, found))
        wanted = {value for name, value in request.query.items() if name.startswith("expand[")}
        if shown[_CHARGE] and wanted & {_CHARGE, f"data.{_CHARGE}"}:
            shown[_CHARGE] = found.charge_json(now_ms)
        return shown

    def _unexpected(self, request: web.Request, found: PaymentIntent, verb: str) -> Reply:
        code = "payment_intent_unexpected_state"
        about = Reply(400, self._shown(request, found))
        return _kept_error(400, "invalid_request_error", code, f"It cannot be {verb} in this state.", about)


def _kept_error(status: int, kind: str, code: str, message: str, about: Reply) -> Reply:
    return Reply(status, {"error": {"type": kind, "code": code, "message": message, "payment_intent": about.body}})


def _missing() -> Reply:
    return error(404, "invalid_request_error", "resource_missing", "There is no such object.")


def _listed(found: Callable[[], dict[str, object]]) -> web.Response:
    try:
        return sent(Reply(200, found()))
    except BadQuery as fault:
        return sent(invalid(str(fault), fault.param))
