"""Where a payment gateway tells what happened to its charges: signed, over the bytes as they came, or not heard."""

import logging
from collections.abc import Callable

from aiohttp import web

from inventory_backend.payments.events import told
from inventory_backend.payments.listener import Listener
from inventory_backend.payments.signatures import HEADER, is_genuine
from inventory_backend.refusals import refused
from waitroom.kernel.answers import json_answer, read_bounded

log = logging.getLogger(__name__)

_LARGEST_BYTES = 65_536


class Callbacks:
    """The route of the provider's webhooks; it stands outside of what needs a pass."""

    def __init__(
        self, provider: str, secrets: tuple[bytes, ...], listener: Listener, now_ms: Callable[[], int]
    ) -> None:
        """Believe who knows one of `secrets`; without any, nobody is heard. What is too old is judged by `now_ms`."""
        self._provider = provider
        self._secrets = secrets
        self._listener = listener
        self._now_ms = now_ms

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the route."""
        router.add_post("/webhooks/{provider}", self.hear)

    async def hear(self, request: web.Request) -> web.Response:
        """Take one event: 200 once it is in the ledger, also where it was there before; 400 when it is forged.

        503 asks to be told again: the ledger, or the gateway itself, cannot be asked at the moment.
        """
        if request.match_info["provider"] != self._provider or not self._secrets:
            raise refused("unknown-provider-webhook")
        body = await read_bounded(request, _LARGEST_BYTES)
        now_s = self._now_ms() // 1000
        marks = request.headers.getall(HEADER, [])
        if len(marks) != 1 or not is_genuine(self._secrets, marks[0], body, now_s):
            raise refused("forged-webhook")
        try:
            event, text = told(body), body.decode()
        except (ValueError, RecursionError) as fault:
            raise refused("malformed-webhook") from fault
        word = await self._listener.hear(self._provider, event, text)
        log.debug("gateway told", extra={"event": event.event_id, "kind": event.kind, "word": word})
        return json_answer({"heard": word})
