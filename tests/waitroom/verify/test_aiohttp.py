"""The check in an aiohttp store; through the edge in tests/journeys/test_stores_behind.py."""

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from tests.stores import verifier
from tests.till import SIGNER
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.tokens import Pass
from waitroom.verify.aiohttp import PASS, pass_required


async def test_a_websocket_needs_a_pass_like_any_request() -> None:
    async def talk(request: web.Request) -> web.WebSocketResponse:
        pass_ = request[PASS]
        assert pass_ is not None
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(pass_.session_id)
        await socket.close()
        return socket

    app = web.Application(middlewares=[pass_required({"drop": ["/drop/"]}, verifier=verifier())])
    app.router.add_get("/drop/ws", talk)
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    text = SIGNER.sign(Pass("drop", "alice", 0, SystemClock().now_ms() + 60_000))
    async with TestClient(TestServer(app)) as client:
        refused = await client.get("/drop/ws", headers=upgrade | {"Sec-WebSocket-Key": "x" * 24})
        assert refused.status == 403

        async with client.ws_connect("/drop/ws", headers={"Waitroom-Pass": text}) as socket:
            assert await socket.receive_str() == "alice"


async def test_a_path_that_nobody_serves_is_refused_before_it_is_looked_for() -> None:
    app = web.Application(middlewares=[pass_required({"drop": ["/drop/"]}, verifier=verifier())])
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/drop/no-such-thing")).status == 403
        assert (await client.get("/no-such-thing")).status == 404
