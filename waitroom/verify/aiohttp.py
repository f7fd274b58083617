"""The check for stores on aiohttp."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

from aiohttp import web
from aiohttp.typedefs import Middleware

from waitroom.kernel.errors import WaitroomError
from waitroom.kernel.tokens import Pass
from waitroom.verify.checkpoint import Checkpoint, refusal
from waitroom.verify.passes import Verifier, pass_values

PASS: web.RequestKey[Pass | None] = web.RequestKey("waitroom.pass", Pass)
"""Where a request keeps its pass: `request[PASS].session_id`."""


def pass_required(
    rooms: Mapping[str, Sequence[str]], *, exempt: Iterable[str] = (), verifier: Verifier | None = None
) -> Middleware:
    """Return a middleware: `web.Application(middlewares=[pass_required({"drop": ["/drop/"]})])`.

    Without a `verifier` the secret is in WAITROOM_UPSTREAM_SECRET.

    Raises:
        ConfigFault: the rooms or the secret cannot be used.
    """
    checkpoint = Checkpoint(rooms, exempt=exempt, verifier=verifier)

    @web.middleware
    async def check(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            request[PASS] = checkpoint.check(request.raw_path, pass_values(request.headers.items()))
        except WaitroomError as fault:
            accept, mode = request.headers.get("Accept", ""), request.headers.get("Sec-Fetch-Mode")
            refused = refusal(fault, method=request.method, accept=accept, fetch_mode=mode)
            return web.Response(status=refused.status, headers=dict(refused.headers), body=refused.body)
        return await handler(request)

    return check
