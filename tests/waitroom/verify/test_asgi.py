"""The check around an ASGI store; with FastAPI and Starlette, and through the edge, in tests/journeys."""

from typing import Any

import pytest

from tests.stores import verifier
from tests.till import SIGNER
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.tokens import Pass
from waitroom.verify.asgi import Message, PassRequired, Receive, Scope, Send, admitted

HTTP_ANSWERS: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


async def store(scope: Scope, receive: Receive, send: Send) -> None:
    found = admitted(scope)
    await send({"type": "reached", "session": found and found.session_id})


async def connect(kind: str, path: str = "/drop/", text: str | None = None, **scope: object) -> list[Message]:
    """Connect, and return all that is sent back."""
    sent: list[Message] = []
    said = [] if text is None else [(b"waitroom-pass", text.encode("latin-1"))]

    async def receive() -> Message:
        return {"type": f"{kind}.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    app = PassRequired(store, {"drop": ["/drop/"]}, verifier=verifier())
    await app({"type": kind, "path": path, "headers": said, **scope}, receive, send)
    return sent


def signed() -> str:
    return SIGNER.sign(Pass("drop", "alice", 0, SystemClock().now_ms() + 60_000))


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_who_was_let_in_reaches_the_store(kind: str) -> None:
    assert await connect(kind, text=signed()) == [{"type": "reached", "session": "alice"}]
    assert await connect(kind, "/about") == [{"type": "reached", "session": None}]


async def test_a_websocket_is_refused_before_it_opens() -> None:
    (closed,) = await connect("websocket", text="\xff")
    start, body = await connect("websocket", **HTTP_ANSWERS)

    assert closed == {"type": "websocket.close", "code": 1008}
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert body["type"] == "websocket.http.response.body"
    assert b"no-pass" in body["body"]


async def test_what_is_no_visit_goes_through() -> None:
    sent: list[Message] = []

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        sent.append(message)

    await PassRequired(store, {"drop": ["/"]}, verifier=verifier())({"type": "lifespan"}, receive, send)

    assert sent == [{"type": "reached", "session": None}]


async def test_a_name_in_another_spelling_is_refused() -> None:
    headers = [(b"waitroom-pass", signed().encode()), (b"waitroom_pass", b"x")]

    (start, _) = await connect("http", headers=headers)

    assert start["status"] == 403
