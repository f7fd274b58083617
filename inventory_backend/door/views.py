"""The till over HTTP: read the request, ask, answer in JSON."""

from collections.abc import Coroutine
from typing import Annotated, Any

from aiohttp import web
from pydantic import AfterValidator

from inventory_backend import documents
from inventory_backend.catalogue import Catalogue
from inventory_backend.checkout import Checkout, Paying
from inventory_backend.door.guard import admitted
from inventory_backend.door.wishes import Body, WaitAsked, Word, wished
from inventory_backend.ledger.idempotency import Answer, asked, asked_again
from inventory_backend.receivers import mail_address
from inventory_backend.refusals import refused
from inventory_backend.waitlist import Waitlist
from waitroom.kernel.answers import NO_STORE, json_answer, problem, read_json, read_json_body
from waitroom.kernel.tokens import Pass


class PaymentAsked(Body):
    """How to pay."""

    provider: Word
    method: Word


class CommitAsked(Body):
    """Which hold to pay for, and how."""

    reservation_id: Word
    payment: PaymentAsked
    email: Annotated[str, AfterValidator(mail_address)] | None = None


class CancelAsked(Body):
    """Which hold to let go of."""

    reservation_id: Word


class Views:
    """The routes of the till; what lies under /checkout/ or concerns a waitlist has passed the guard."""

    def __init__(self, checkout: Checkout, waitlist: Waitlist, catalogue: Catalogue) -> None:
        """Answer for `checkout`, `waitlist` and `catalogue`."""
        self._checkout = checkout
        self._waitlist = waitlist
        self._catalogue = catalogue
        self._sold_out: dict[str, web.Response] = {}

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_post("/checkout/reserve", self.reserve)
        router.add_post("/checkout/commit", self.commit)
        router.add_post("/checkout/cancel", self.cancel)
        router.add_get("/checkout/orders/{order_id}", self.order)
        router.add_get("/checkout/reservations/{reservation_id}", self.reservation)
        router.add_get("/sales/{sale}", self.sale)
        router.add_post("/sales/{sale}/waitlist", self.join)
        router.add_get("/sales/{sale}/waitlist", self.standing)
        router.add_delete("/sales/{sale}/waitlist", self.leave)

    async def reserve(self, request: web.Request) -> web.Response:
        """Set units aside: 201."""
        shopper, body = admitted(request), await read_json_body(request)
        work = self.begin_to_reserve(shopper, body, request.headers.get("Idempotency-Key"))
        return self.gone(work) if isinstance(work, str) else sent(await work)

    def begin_to_reserve(self, shopper: Pass, body: bytes, key: str | None) -> "str | Coroutine[Any, Any, Answer]":
        """Return what sets units aside, or the name of a sale of which nothing is left.

        Raises:
            Refused: the body or the key are not usable, or there are none to be had of what is wanted.
        """
        wish = wished(body)
        ask = asked_again("reserve", shopper.session_id, key, wish.fingerprint)
        if self._checkout.is_too_late(shopper, wish.sale, wish.lines):
            return wish.sale
        return self._checkout.reserve(shopper, wish.sale, wish.lines, ask, wish.identity)

    def gone(self, name: str) -> web.Response:
        """Answer that nothing is left of a sale, as everybody is answered who comes too late."""
        ready = self._sold_out.get(name)
        if ready is None:
            ready = self._sold_out[name] = problem(refused("sold-out", sale=name))
        return web.Response(status=ready.status, body=ready.body, headers=ready.headers)

    async def commit(self, request: web.Request) -> web.Response:
        """Begin to pay: 202, and where to ask how it went."""
        shopper = admitted(request)
        body = await read_json(request, CommitAsked)
        said = body.model_dump(exclude_none=True)
        ask = asked("commit", shopper.session_id, request.headers.get("Idempotency-Key"), said)
        paying = Paying(body.payment.provider, body.payment.method, body.email)
        answer = await self._checkout.commit(shopper, body.reservation_id, paying, ask)
        return sent(answer)

    async def cancel(self, request: web.Request) -> web.Response:
        """Let go of a hold: 200, also the second time."""
        shopper = admitted(request)
        body = await read_json(request, CancelAsked)
        await self._checkout.cancel(shopper, body.reservation_id)
        return json_answer({"reservation_id": body.reservation_id, "status": "cancelled"})

    async def order(self, request: web.Request) -> web.Response:
        """Tell how an order stands."""
        found = await self._checkout.order(admitted(request), request.match_info["order_id"])
        return json_answer(documents.order(found))

    async def reservation(self, request: web.Request) -> web.Response:
        """Tell how a hold stands."""
        found = await self._checkout.hold(admitted(request), request.match_info["reservation_id"])
        return json_answer(documents.hold(found))

    async def sale(self, request: web.Request) -> web.Response:
        """Tell what is for sale and how much is left, from memory."""
        document = self._catalogue.document(request.match_info["sale"])
        if document is None:
            raise refused("unknown-sale")
        return document.answer(request)

    async def join(self, request: web.Request) -> web.Response:
        """Give a place on the waitlist: 201, or 200 for who has one."""
        shopper, name = admitted(request), request.match_info["sale"]
        body = await read_json(request, WaitAsked)
        lines = [(line.sku, line.qty) for line in body.lines]
        is_new = await self._waitlist.join(shopper, name, lines, body.identity)
        return json_answer(await self._standing(shopper, name), status=201 if is_new else 200)

    async def standing(self, request: web.Request) -> web.Response:
        """Tell how somebody stands on the waitlist, and what they are offered."""
        return json_answer(await self._standing(admitted(request), request.match_info["sale"]))

    async def leave(self, request: web.Request) -> web.Response:
        """Take somebody off the waitlist, with what they are offered: 200, also the second time."""
        shopper, name = admitted(request), request.match_info["sale"]
        await self._waitlist.leave(shopper, name)
        return json_answer(documents.standing(name, None, None))

    async def _standing(self, shopper: Pass, name: str) -> dict[str, object]:
        return documents.standing(name, *await self._waitlist.standing(shopper, name))


def sent(answer: Answer) -> web.Response:
    """Return an answer as it travels."""
    headers = {"Content-Type": "application/json", **NO_STORE}
    if answer.is_replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)
