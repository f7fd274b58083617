"""Tell of charges by webhook, signed as Stripe does; late, doubled, unordered or never, when somebody says so."""

import json
import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import aiohttp
from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from inventory_backend.config import read
from inventory_backend.paying import SIMULATED_SECRET_VARIABLE
from inventory_backend.payments.payments import ChargeStatus
from inventory_backend.payments.signatures import HEADER, sign
from waitroom.kernel.answers import read_json
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault

log = logging.getLogger(__name__)

KINDS: Mapping[ChargeStatus, str] = {
    ChargeStatus.UNCONFIRMED: "payment_intent.created",
    ChargeStatus.PROCESSING: "payment_intent.processing",
    ChargeStatus.ACTION_REQUIRED: "payment_intent.requires_action",
    ChargeStatus.AUTHORISED: "payment_intent.amount_capturable_updated",
    ChargeStatus.CAPTURED: "payment_intent.succeeded",
    ChargeStatus.DECLINED: "payment_intent.payment_failed",
    ChargeStatus.CANCELLED: "payment_intent.canceled",
}
"""What Stripe calls the news of each status."""

_MOST_TRIES = 16
_LONGEST_WAIT_MS = 3_600_000
_TIMEOUT = aiohttp.ClientTimeout(total=10)


@dataclass(slots=True)
class Event:
    """Something that happened to a charge, as it stood then."""

    kind: str
    created_ms: int
    about: Mapping[str, object]
    ref: str = field(default_factory=lambda: f"evt_{secrets.token_hex(12)}")
    next_ms: int | None = None  # when it is told; None once it was, or never
    tries: int = 0

    def as_json(self) -> dict[str, object]:
        """Return it in the shape of Stripe's Event."""
        return {
            "id": self.ref,
            "object": "event",
            "type": self.kind,
            "created": self.created_ms // 1000,
            "livemode": False,
            "data": {"object": self.about},
        }


class Telling(BaseModel):
    """How events are told from now on."""

    model_config = ConfigDict(strict=True, extra="forbid")

    delay_ms: Annotated[int, Field(ge=0, le=86_400_000)] = 0
    copies: Annotated[int, Field(ge=0, le=100)] = 1  # 0 loses them
    is_reversed: bool = False  # of those that are due at once, the newest first


class Postman:
    """Who carries events to one webhook endpoint; without one, nobody is told."""

    def __init__(self, url: str, secret: bytes, clock: Clock, note: Callable[[Event], None]) -> None:
        """Tell `url`, signed with `secret`; `note` writes down what became of an event."""
        self._url = url
        self._secret = secret
        self._clock = clock
        self._note = note
        self._telling = Telling()
        self._waiting: list[Event] = []

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Add the route by which its ways are changed."""
        router.add_put("/control/webhooks", self.change)

    async def change(self, request: web.Request) -> web.Response:
        """Tell events in another way from now on."""
        self._telling = await read_json(request, Telling)
        return web.Response(status=204)

    def take(self, event: Event) -> None:
        """Tell `event` when its time comes."""
        if self._url and self._telling.copies:
            event.next_ms = self._clock.now_ms() + self._telling.delay_ms
            self._waiting.append(event)

    def resume(self, event: Event) -> None:
        """Go on with an event that an earlier process did not get told."""
        if self._url and event.next_ms is not None:
            self._waiting.append(event)

    async def step(self) -> None:
        """Tell what is due, one after the other: what fails comes again later, as Stripe's do."""
        now_ms = self._clock.now_ms()
        due = [event for event in self._waiting if event.next_ms is not None and event.next_ms <= now_ms]
        if not due:
            return
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), timeout=_TIMEOUT) as session:
            for event in reversed(due) if self._telling.is_reversed else due:
                await self._tell(session, event)
        self._waiting = [event for event in self._waiting if event.next_ms is not None]

    async def _tell(self, session: aiohttp.ClientSession, event: Event) -> None:
        body = json.dumps(event.as_json()).encode()
        event.tries += 1
        is_taken = True
        for _ in range(max(1, self._telling.copies)):
            is_taken = await self._post(session, body) and is_taken
        if is_taken or event.tries >= _MOST_TRIES:
            event.next_ms = None
        else:
            event.next_ms = self._clock.now_ms() + min(_LONGEST_WAIT_MS, 1000 << event.tries)
        self._note(event)

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> bool:
        headers = {"Content-Type": "application/json", HEADER: sign(self._secret, self._clock.now_ms() // 1000, body)}
        try:
            async with session.post(self._url, data=body, headers=headers, allow_redirects=False) as answer:
                return answer.status < 300
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            log.info("webhook not taken", extra={"fault": type(fault).__name__})
            return False


def hearing_till(file: Path, environment: Mapping[str, str]) -> tuple[str, bytes]:
    """Return where the till of these settings hears us, and the secret by which it believes us; "" where it does not.

    What is wrong with its settings it says itself, and does not start.

    Raises:
        ConfigFault: we were given no secret.
    """
    secret = environment.get(SIMULATED_SECRET_VARIABLE, "")
    if not secret:
        raise ConfigFault([f"{SIMULATED_SECRET_VARIABLE} is missing: the till believes who signs with it"])
    try:
        config = read(file, environment)
    except ConfigFault:
        return "", secret.encode()
    is_ours = config.payments.provider == "simulated"
    return f"http://{config.server.listen.reachable}/webhooks/simulated" if is_ours else "", secret.encode()
