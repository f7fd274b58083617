"""A payment gateway that moves no money: Stripe's shapes and key rules over real HTTP, for demos and tests.

It is a process of its own (`python -m inventory_backend.payments.simulated_psp --listen 127.0.0.1:9100`); with `--file`
it remembers its charges when it is started again. Never expose it: it knows nobody and trusts everybody.
"""

import argparse
import json
import logging
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from inventory_backend.payments.simulated_books import Books, Keyed, Refund, Reply
from inventory_backend.payments.simulated_cards import Behaviour, Card, PaymentIntent, authorised_ms, whole
from waitroom.kernel import logs
from waitroom.kernel.answers import read_form
from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import Refused
from waitroom.kernel.units import address, duration_ms

log = logging.getLogger(__name__)

_MOST_LISTED = 100
_LARGEST_AMOUNT = 99_999_999
_KEY_LIFETIME_MS = 24 * 60 * 60 * 1000
_LONGEST_KEY = 255

Form = Mapping[str, str]
Effect = Callable[[web.Request, Form], Awaitable[Reply]]


def _error(status: int, kind: str, code: str, message: str, **more: object) -> Reply:
    error = {"type": kind, "code": code, "message": message, **more}
    return Reply(status, {"error": error}, is_kept=False)


def _invalid(message: str, param: str) -> Reply:
    return _error(400, "invalid_request_error", "parameter_invalid", message, param=param)


class SimulatedGatewayServer:
    """The payment intents and refunds in its books."""

    def __init__(self, clock: Clock, behaviour: Behaviour | None = None, books: Books | None = None) -> None:
        """Go on from `books`; without any, begin with no charges."""
        self._clock = clock
        self._behaviour = behaviour or Behaviour()
        self._books = books or Books()
        self._stumbled: set[str] = set()

    def app(self) -> web.Application:
        """Return the routes."""
        app = web.Application()
        intent = "/v1/payment_intents/{ref}"
        app.router.add_post("/v1/payment_intents", self._under_key(self._create))
        app.router.add_get("/v1/payment_intents", self.list_intents)
        app.router.add_get(intent, self.retrieve)
        app.router.add_post(f"{intent}/capture", self._under_key(self._capture))
        app.router.add_post(f"{intent}/cancel", self._under_key(self._cancel))
        app.router.add_post("/v1/refunds", self._under_key(self._refund))
        app.router.add_get("/v1/refunds", self.list_refunds)
        app.router.add_get("/healthz", self.healthz)
        app.on_cleanup.append(self._close)
        return app

    async def _close(self, _app: web.Application) -> None:
        self._books.close()

    async def healthz(self, _request: web.Request) -> web.Response:
        """Say that the process answers."""
        return web.json_response({"status": "ok"})

    async def retrieve(self, request: web.Request) -> web.Response:
        """Return one payment intent."""
        found = self._books.intents.get(request.match_info["ref"])
        return self._sent(Reply(200, self._shown(found)) if found else _missing())

    async def list_intents(self, request: web.Request) -> web.Response:
        """Return payment intents, newest first, in pages: what a reconciler reads."""
        return self._sent(_page(request.query, {ref: self._shown(one) for ref, one in self._books.intents.items()}))

    async def list_refunds(self, request: web.Request) -> web.Response:
        """Return refunds, newest first, in pages."""
        return self._sent(_page(request.query, {ref: one.as_json() for ref, one in self._books.refunds.items()}))

    def _under_key(self, effect: Effect) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Apply Stripe's rules: same key, same answer; other parameters 400; still running 409.

        Source: https://docs.stripe.com/api/idempotent_requests
        """

        async def handler(request: web.Request) -> web.Response:
            try:
                form = await read_form(request)
            except Refused as refused:
                return self._sent(_invalid(refused.public, "body"))
            key = request.headers.get("Idempotency-Key")
            if not key:
                reply = await effect(request, form)
                self._books.commit()
                return self._sent(reply)
            if len(key) > _LONGEST_KEY:
                return self._sent(_invalid(f"a key has at most {_LONGEST_KEY} characters", "Idempotency-Key"))
            keyed = self._books.keyed
            self._books.forget_keys(self._clock.now_ms() - _KEY_LIFETIME_MS)
            asked = json.dumps([request.path, form], sort_keys=True)
            known = keyed.get(key)
            if known is not None:
                return self._sent(_replay(known, asked), is_replayed=known.reply is not None)
            keyed[key] = mine = Keyed(asked, self._clock.now_ms())
            try:
                reply = await effect(request, form)
                mine.reply = reply if reply.is_kept else None
            finally:
                if mine.reply is None:
                    del keyed[key]
                else:
                    self._books.note_answer(key, mine)
                self._books.commit()
            return self._sent(reply)

        return handler

    async def _create(self, request: web.Request, form: Form) -> Reply:
        amount, currency = whole(form.get("amount", "")), form.get("currency", "")
        if amount is None or not 1 <= amount <= _LARGEST_AMOUNT:
            return _invalid("amount must be a positive integer in minor units", "amount")
        if not re.fullmatch("[A-Za-z]{3}", currency):
            return _invalid("currency must be a three-letter code", "currency")
        if form.get("payment_method") not in set(Card):
            return _invalid(f"payment_method must be one of {', '.join(Card)}", "payment_method")
        card = Card(form["payment_method"])
        metadata = {name[9:-1]: value for name, value in form.items() if name.startswith("metadata[")}
        if card is Card.ERROR and self._stumbles(request.headers.get("Idempotency-Key", "")):
            return _error(500, "api_error", "internal", "This card makes the first call fail.")
        if card is Card.SLOW:
            await self._clock.sleep(self._behaviour.slow_ms / 1000)
        now_ms = self._clock.now_ms()
        yes_ms = authorised_ms(card, now_ms, metadata, self._behaviour)
        made = PaymentIntent(amount, currency.lower(), card, now_ms, yes_ms, metadata)
        self._books.note(made)
        if yes_ms is None:
            return self._kept_error(402, "card_error", "card_declined", "Your card was declined.", made)
        return Reply(200, self._shown(made))

    async def _capture(self, request: web.Request, _form: Form) -> Reply:
        found = self._books.intents.get(request.match_info["ref"])
        if found is None:
            return _missing()
        if found.status(self._clock.now_ms()) != "requires_capture":
            return self._unexpected(found, "captured")
        found.captured = found.amount
        self._books.note(found)
        return Reply(200, self._shown(found))

    async def _cancel(self, request: web.Request, _form: Form) -> Reply:
        found = self._books.intents.get(request.match_info["ref"])
        if found is None:
            return _missing()
        if not found.can_be_cancelled(self._clock.now_ms()):
            return self._unexpected(found, "cancelled")
        found.is_cancelled = True
        self._books.note(found)
        return Reply(200, self._shown(found))

    async def _refund(self, _request: web.Request, form: Form) -> Reply:
        found = self._books.intents.get(form.get("payment_intent", ""))
        if found is None:
            return _missing()
        left = found.captured - found.refunded
        amount = whole(form["amount"]) if "amount" in form else left
        if amount is None or not 1 <= amount <= left:
            return _invalid("nothing is left to refund, or less than that", "amount")
        found.refunded += amount
        made = Refund(f"re_{len(self._books.refunds) + 1:012d}", amount, found.ref)
        self._books.note(found)
        self._books.note_refund(made)
        return Reply(200, made.as_json())

    def _stumbles(self, key: str) -> bool:
        is_first = key not in self._stumbled
        self._stumbled.add(key)
        return is_first

    def _shown(self, found: PaymentIntent) -> dict[str, object]:
        return found.as_json(self._clock.now_ms())

    def _unexpected(self, found: PaymentIntent, verb: str) -> Reply:
        code = "payment_intent_unexpected_state"
        return self._kept_error(400, "invalid_request_error", code, f"It cannot be {verb} in this state.", found)

    def _kept_error(self, status: int, kind: str, code: str, message: str, about: PaymentIntent) -> Reply:
        error = {"type": kind, "code": code, "message": message, "payment_intent": self._shown(about)}
        return Reply(status, {"error": error})

    def _sent(self, reply: Reply, *, is_replayed: bool = False) -> web.Response:
        headers = {"Idempotent-Replayed": "true"} if is_replayed else {}
        return web.json_response(reply.body, status=reply.status, headers=headers)


def _missing() -> Reply:
    return _error(404, "invalid_request_error", "resource_missing", "There is no such object.")


def _replay(known: Keyed, asked: str) -> Reply:
    if known.asked != asked:
        told = "Keys for idempotent requests can only be used with the parameters they were first used with."
        return _error(400, "idempotency_error", "idempotency_key_reused", told)
    told = "Another request under this key is still running."
    return known.reply or _error(409, "idempotency_error", "idempotency_key_in_use", told)


def _page(query: Mapping[str, str], found: Mapping[str, Mapping[str, object]]) -> Reply:
    newest_first = list(found)[::-1]
    after = query.get("starting_after", "")
    start = newest_first.index(after) + 1 if after in found else 0
    limit = min(whole(query.get("limit", "")) or 10, _MOST_LISTED)
    shown = newest_first[start : start + limit]
    rows = [found[ref] for ref in shown]
    return Reply(200, {"object": "list", "data": rows, "has_more": start + limit < len(newest_first)})


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m inventory_backend.payments.simulated_psp", description=__doc__)
    parser.add_argument("--listen", type=address, default=address("127.0.0.1:9100"), help="host:port; loopback only")
    parser.add_argument("--slow", type=duration_ms, default=3000, metavar="3s", help="how long card_slow takes")
    parser.add_argument("--pause", type=duration_ms, default=2000, metavar="2s", help="how long card_3ds takes")
    parser.add_argument("--late", type=duration_ms, default=2000, metavar="2s", help="how late card_late comes")
    parser.add_argument("--file", type=Path, help="where it keeps its charges; without it they end with the process")
    chosen = parser.parse_args()
    if not chosen.listen.is_loopback:
        parser.error("--listen: it trusts everybody, so it listens on this machine only (127.0.0.1)")
    logs.setup()
    os.umask(0o077)
    try:
        books = Books(chosen.file)
    except (OSError, sqlite3.Error) as fault:
        parser.error(f"--file: {chosen.file}: {fault}")
    server = SimulatedGatewayServer(SystemClock(), Behaviour(chosen.slow, chosen.pause, chosen.late), books)
    log.info("simulated gateway listens; no real money moves", extra={"at": str(chosen.listen)})
    web.run_app(server.app(), host=chosen.listen.host, port=chosen.listen.port, print=None, access_log=None)


if __name__ == "__main__":
    main()
