"""What only the gateway of the simulated service does; what all do is in test_payments.py."""

import aiohttp
import pytest
from aiohttp import web

from inventory_backend.payments.payments import GatewayUnavailable
from inventory_backend.payments.simulated_gateway import SimulatedGateway
from tests.till import serving


async def test_a_list_that_ends_in_the_middle_is_not_a_whole_one() -> None:
    async def page(request: web.Request) -> web.Response:
        if "starting_after" in request.query:
            return web.json_response({"error": {"type": "api_error"}}, status=500)
        row = {"id": "pi_1", "status": "succeeded", "amount": 1, "currency": "eur"}
        return web.json_response({"data": [row], "has_more": True})

    app = web.Application()
    app.router.add_get("/v1/payment_intents", page)
    async with serving(app) as url, aiohttp.ClientSession() as session:
        with pytest.raises(GatewayUnavailable):
            [one async for one in SimulatedGateway(session, url, timeout_ms=1000).listed(0)]
