"""What ops may do with an order over HTTP: by a bearer token of their own, at the till itself, not through the room.

Shoppers reach the till through the room's proxy, which says so in each request; what comes that way finds nothing here,
token or not. No cookie opens this door, so a page of another site has nothing to act with.
"""

import hmac
import logging
from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import Annotated

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from inventory_backend.ledger.idempotency import Answer, asked
from inventory_backend.money_back import Decision, MoneyBack
from inventory_backend.refusals import refused
from waitroom.kernel.answers import NO_STORE, problem, read_json
from waitroom.kernel.logs import mask_address
from waitroom.verify.passes import PASS_HEADER

log = logging.getLogger(__name__)

NAME_HEADER = "X-Waitroom-Operator"
"""Under which name a change stands in the audit; the console calls it so too."""
_LONGEST_NAME, _LONGEST_ACTOR, _LONGEST_WHY = 40, 64, 200
_PASSED_ON = ("X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP", "Forwarded", "Via", PASS_HEADER)
"""What a proxy says of a request that it passes on: the room's proxy always sends the first."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _one_line(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError("must be text on one line")
    return text.strip()


class RefundAsked(BaseModel):
    """Why the money goes back; it stands in the audit for ever."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    why: Annotated[str, Field(min_length=1, max_length=_LONGEST_WHY), AfterValidator(_one_line)]


class Ops:
    """The routes under /ops/."""

    def __init__(self, money_back: MoneyBack, token_hash: bytes) -> None:
        """Believe who knows the token that `token_hash` is the SHA-256 of; where it is empty, nobody."""
        self._money_back = money_back
        self._token_hash = token_hash

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the routes."""
        router.add_post("/ops/orders/{order_id}/refund", self._for_ops(self.refund))

    async def refund(self, request: web.Request) -> web.Response:
        """Send the money of an order back: 202 once it is on record, 200 where it goes back already."""
        order = request.match_info["order_id"]
        why = (await read_json(request, RefundAsked)).why
        ask = asked("refund", "ops", request.headers.get("Idempotency-Key"), {"order_id": order, "why": why})
        answer = await self._money_back.refund(Decision(order, _actor(request), why), ask)
        log.info("refund asked for", extra={"order_id": order, "status": answer.status})
        return _sent(answer)

    def _for_ops(self, handler: Handler) -> Handler:
        async def guarded(request: web.Request) -> web.StreamResponse:
            if any(name in request.headers for name in _PASSED_ON):
                raise refused("not-found")
            if not self._token_hash:
                raise refused("no-ops-token")
            if not self._is_ops(request):
                log.warning("ops token refused", extra={"address": mask_address(request.remote or "")})
                answer = problem(refused("not-ops"))
                answer.headers["WWW-Authenticate"] = "Bearer"
                return answer
            return await handler(request)

        return guarded

    def _is_ops(self, request: web.Request) -> bool:
        given = request.headers.getall("Authorization", [])
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        found = sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        return hmac.compare_digest(found, self._token_hash) and scheme.lower() == "bearer"


def _actor(request: web.Request) -> str:
    given = request.headers.get(NAME_HEADER, "")
    name = " ".join("".join(c if c.isprintable() else " " for c in given).split())[:_LONGEST_NAME]
    return f"ops:{name or 'nobody named'} ({mask_address(request.remote or '')})"[:_LONGEST_ACTOR]


def _sent(answer: Answer) -> web.Response:
    headers = {"Content-Type": "application/json", **NO_STORE}
    if answer.is_replayed:
        headers["Idempotent-Replayed"] = "true"
    return web.Response(status=answer.status, body=answer.body.encode(), headers=headers)
