"""Answers are kept under keys; the rules that a client sees are in test_simulated_server.py."""

import aiohttp
from aiohttp import web

from inventory_backend.payments.simulated_books import Books, Reply
from inventory_backend.payments.simulated_keys import Form, Keys
from tests.fakes import FakeClock
from tests.till import serving


async def test_what_was_refused_before_it_began_may_be_tried_again_under_its_key(clock: FakeClock) -> None:
    replies = [Reply(400, {"n": 1}, is_kept=False), Reply(500, {"n": 2}), Reply(200, {"n": 3})]

    async def effect(_request: web.Request, _form: Form) -> Reply:
        return replies.pop(0)

    app = web.Application()
    app.router.add_post("/", Keys(Books(), clock).under(effect))
    async with serving(app) as url, aiohttp.ClientSession() as session:
        told = []
        for _ in range(3):
            async with session.post(url, data={"a": "1"}, headers={"Idempotency-Key": "k"}) as answer:
                told.append((answer.status, await answer.json(), answer.headers.get("Idempotent-Replayed")))

    assert told == [(400, {"n": 1}, None), (500, {"n": 2}, None), (500, {"n": 2}, "true")], "also a 500 is kept"
