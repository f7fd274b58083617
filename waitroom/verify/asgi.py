"""The check for stores on ASGI: FastAPI, Starlette, Quart, Litestar, and every other; websockets included."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from typing import Any

from waitroom.kernel.errors import WaitroomError
from waitroom.kernel.tokens import Pass
from waitroom.verify.checkpoint import Checkpoint, Refusal, as_sent, refusal
from waitroom.verify.passes import Verifier, pass_values

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

SCOPE_KEY = "waitroom.pass"
_POLICY_VIOLATION = 1008


class PassRequired:
    """An ASGI application around another: `app.add_middleware(PassRequired, rooms={"drop": ["/drop/"]})`."""

    def __init__(
        self,
        app: Application,
        rooms: Mapping[str, Sequence[str]],
        *,
        exempt: Iterable[str] = (),
        verifier: Verifier | None = None,
    ) -> None:
        """Guard `app` as `Checkpoint` does; without a `verifier` the secret is in WAITROOM_UPSTREAM_SECRET."""
        self._app = app
        self._checkpoint = Checkpoint(rooms, exempt=exempt, verifier=verifier)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection, its pass in `scope["waitroom.pass"]`; or refuse it."""
        if scope["type"] in {"http", "websocket"}:
            headers = text_headers(scope)
            try:
                scope[SCOPE_KEY] = self._checkpoint.check(as_sent(scope["path"]), pass_values(headers))
            except WaitroomError as fault:
                said = dict(headers)
                accept, mode = said.get("accept", ""), said.get("sec-fetch-mode")
                method = scope.get("method", "GET")
                refused = refusal(fault, method=method, accept=accept, fetch_mode=mode)
                await _refuse(refused, scope, receive, send)
                return
        await self._app(scope, receive, send)


def admitted(scope: Mapping[str, Any]) -> Pass | None:
    """Return the pass of a connection; None where none was needed."""
    found = scope.get(SCOPE_KEY)
    return found if isinstance(found, Pass) else None


def text_headers(scope: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the headers of a connection as text, their names in lower case, none joined with another."""
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]


async def _refuse(refused: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer over HTTP; a websocket too, where the server can do that before it is opened."""
    kind = "http.response"
    if scope["type"] == "websocket":
        await receive()
        kind = "websocket.http.response"
        if kind not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})
            return
    headers = [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in refused.headers]
    await send({"type": f"{kind}.start", "status": refused.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": refused.body})
