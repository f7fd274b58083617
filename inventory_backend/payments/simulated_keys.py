"""Stripe's rules of idempotency: same key, same answer; other parameters 400; still running 409.

Source: https://docs.stripe.com/api/idempotent_requests
"""

import json
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import web

from inventory_backend.payments.simulated_books import Books, Keyed, Reply
from waitroom.kernel.answers import read_form
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused

_KEY_LIFETIME_MS = 24 * 60 * 60 * 1000
_LONGEST_KEY = 255

Form = Mapping[str, str]
Effect = Callable[[web.Request, Form], Awaitable[Reply]]


def error(status: int, kind: str, code: str, message: str, **more: object) -> Reply:
    """Return an error in Stripe's shape that no key keeps."""
    return Reply(status, {"error": {"type": kind, "code": code, "message": message, **more}}, is_kept=False)


def invalid(message: str, param: str) -> Reply:
    """Return that the parameter `param` is not good."""
    return error(400, "invalid_request_error", "parameter_invalid", message, param=param)


def sent(reply: Reply, *, is_replayed: bool = False) -> web.Response:
    """Return `reply` as it goes over the wire."""
    headers = {"Idempotent-Replayed": "true"} if is_replayed else {}
    return web.json_response(reply.body, status=reply.status, headers=headers)


class Keys:
    """The answers given under keys."""

    def __init__(self, books: Books, clock: Clock) -> None:
        """Keep them in `books`, for a day."""
        self._books = books
        self._clock = clock

    def under(self, effect: Effect) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Return `effect` as a handler that does it once under each key."""

        async def handler(request: web.Request) -> web.Response:
            try:
                form = await read_form(request)
            except Refused as refused:
                return sent(invalid(refused.public, "body"))
            key = request.headers.get("Idempotency-Key")
            if not key:
                reply = await effect(request, form)
                self._books.commit()
                return sent(reply)
            if len(key) > _LONGEST_KEY:
                return sent(invalid(f"a key has at most {_LONGEST_KEY} characters", "Idempotency-Key"))
            return await self._once(key, effect, request, form)

        return handler

    async def _once(self, key: str, effect: Effect, request: web.Request, form: Form) -> web.Response:
        keyed = self._books.keyed
        self._books.forget_keys(self._clock.now_ms() - _KEY_LIFETIME_MS)
        asked = json.dumps([request.path, form], sort_keys=True)
        known = keyed.get(key)
        if known is not None:
            return sent(_replay(known, asked), is_replayed=known.reply is not None)
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
        return sent(reply)


def _replay(known: Keyed, asked: str) -> Reply:
    if known.asked != asked:
        told = "Keys for idempotent requests can only be used with the parameters they were first used with."
        return error(400, "idempotency_error", "idempotency_key_reused", told)
    told = "Another request under this key is still running."
    return known.reply or error(409, "idempotency_error", "idempotency_key_in_use", told)
