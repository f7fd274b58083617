"""The till over HTTP: read the request, ask, answer in JSON."""

from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from inventory_backend import documents
from inventory_backend.catalogue import Catalogue
from inventory_backend.checkout import Checkout, Paying
from inventory_backend.door.guard import admitted
from inventory_backend.ledger.idempotency import Answer, asked, check_key
from inventory_backend.receivers import mail_address
from inventory_backend.refusals import refused
from inventory_backend.waitlist import Waitlist
from waitroom.kernel.answers import NO_STORE, json_answer, problem, read_json
from waitroom.kernel.tokens import Pass

_MOST_LINES = 50
_LARGEST_QTY = 2**31 - 1

Word = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[ -~]+$")]
"""Printable ASCII: what the ledger, Redis and the gateway take alike."""


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class LineAsked(_Body):
    """So many of one sku."""

    sku: Word
    qty: Annotated[int, Field(ge=1, le=_LARGEST_QTY)]


class ReserveAsked(_Body):
    """What to set aside."""

    sale: Word
    lines: Annotated[list[LineAsked], Field(min_length=1, max_length=_MOST_LINES)]
    identity: Annotated[str, Field(max_length=2000)] | None = None


class PaymentAsked(_Body):
    """How to pay."""

    provider: Word
    method: Word


class CommitAsked(_Body):
    """Which hold to pay for, and how."""

    reservation_id: Word
    payment: PaymentAsked
    email: Annotated[str, AfterValidator(mail_address)] | None = None


class WaitAsked(_Body):
    """What to wait for."""

    lines: Annotated[list[LineAsked], Field(min_length=1, max_length=_MOST_LINES)]
    identity: Annotated[str, Field(max_length=2000)] | None = None


class CancelAsked(_Body):
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
        shopper = admitted(request)
        body = await read_json(request, ReserveAsked)
        key, lines = request.headers.get("Idempotency-Key"), [(line.sku, line.qty) for line in body.lines]
        check_key(key)
        if self._checkout.is_too_late(shopper, body.sale, lines):
            return self._gone(body.sale)
        said = body.model_dump(
            exclude={"identity"}
        )  # its dates change from one try to the next, what is wanted does not
        ask = asked("reserve", shopper.session_id, key, said)
        return _sent(await self._checkout.reserve(shopper, body.sale, lines, ask, body.identity))

    async def commit(self, request: web.Request) -> web.Response:
        """Begin to pay: 202, and where to ask how it went."""
        shopper = admitted(request)
        body = await read_json(request, CommitAsked)
        said = body.model_dump(exclude_none=True)
        ask = asked("commit", shopper.session_id, request.headers.get("Idempotency-Key"), said)
        paying = Paying(body.payment.provider, body.payment.method, body.email)
        answer = await self._checkout.commit(shopper, body.reservation_id, paying, ask)
        return _sent(answer)

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

    def _gone(self, name: str) -> web.Response:
        """Answer that nothing is left of a sale, as everybody is answered who comes too late."""
        ready = self._sold_out.get(name)
        if ready is None:
            ready = self._sold_out[name] = problem(refused("sold-out", sale=name))
        return web.Response(status=ready.status, body=ready.body, headers=ready.headers)

    async def _standing(self, shopper: Pass, name: str) -> dict[str, object]:
        return documents.standing(name, *await self._waitlist.standing(shopper, name))


def _sent(answer: Answer) -> web.Response:
    headers = {"Content-Type": "application/json", **NO_STORE}
    if answer.is_replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)
