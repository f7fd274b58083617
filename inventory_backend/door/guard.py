"""Let only those to the till whom the waiting room let in: what they ask for carries `Waitroom-Pass`.

Every request under /checkout/ does, and every one that concerns the waitlist of a sale.

The check is a signature and a date; whoever fails it costs neither Redis nor the ledger anything.
"""

import re
from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web

from inventory_backend.refusals import refused
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import BadToken
from waitroom.kernel.tokens import Pass, UpstreamPassSigner
from waitroom.rules.heads import Head
from waitroom.verify.passes import PASS_HEADER, Verifier, pass_values

GUARDED = re.compile("/checkout/|/sales/[^/]*/waitlist")

_PASS: web.RequestKey[Pass] = web.RequestKey("pass", Pass)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Guard:
    """Who verifies passes."""

    def __init__(self, signer: UpstreamPassSigner, rooms: Iterable[str], clock: Clock) -> None:
        """Accept passes of `rooms` that `signer` finds genuine."""
        self._verifier = Verifier(signer, clock=clock, leeway_s=0)
        self._rooms = frozenset(rooms)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse what comes to the till without a pass, before anything is read."""
        if GUARDED.match(request.path):
            request[_PASS] = self.shopper(request)
        return await handler(request)

    def shopper(self, request: web.Request) -> Pass:
        """Return the pass of a request; its `session_id` is who the shopper is.

        Raises:
            Refused: 403 no-pass.
        """
        try:
            return self._verifier.verify(pass_values(request.headers.items()), self._rooms)
        except BadToken as fault:
            raise refused("no-pass") from fault

    def shopper_of(self, head: Head) -> Pass:
        """Return the pass of a plain head, in which nothing but the header itself can have its name.

        Raises:
            Refused: 403 no-pass.
        """
        try:
            return self._verifier.verify(head.headers.getall(PASS_HEADER, []), self._rooms)
        except BadToken as fault:
            raise refused("no-pass") from fault


def admitted(request: web.Request) -> Pass:
    """Return the pass that the guard found on a request.

    Raises:
        Refused: 403 no-pass; the guard never saw the request.
    """
    found: Pass | None = request.get(_PASS)
    if found is None:
        raise refused("no-pass")
    return found
