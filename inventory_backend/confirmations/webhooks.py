"""Tell a receiver by HTTP, signed as Standard Webhooks asks (docs/confirmations.md).

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hashlib
import hmac
import json
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from math import ceil

import aiohttp

from inventory_backend.confirmations.addresses import GuardedResolver
from inventory_backend.confirmations.sinks import SENT, Fate, Outcome
from inventory_backend.ledger.deliveries import Notice
from inventory_backend.ledger.news import News
from inventory_backend.sales import Money
from waitroom.kernel.clock import Clock
from waitroom.kernel.units import spell_instant

_GONE = 410
_LONGEST_RETRY_AFTER_S = 86_400


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told: `secrets` sign, one or two while one follows the other."""

    name: str
    url: str
    secrets: Sequence[bytes]
    kinds: frozenset[News]
    timeout_ms: int
    is_private_allowed: bool = False


class WebhookSink:
    """One receiver of webhooks."""

    def __init__(self, receiver: Receiver, session: aiohttp.ClientSession, clock: Clock) -> None:
        """Call `receiver` through `session`, which `opened` makes."""
        self._receiver = receiver
        self._session = session
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=receiver.timeout_ms / 1000)

    @property
    def name(self) -> str:
        """What the ledger calls it."""
        return f"webhook:{self._receiver.name}"

    @property
    def kinds(self) -> frozenset[News]:
        """What it wants to hear of."""
        return self._receiver.kinds

    @property
    def timeout_ms(self) -> int:
        """How long one try may take."""
        return self._receiver.timeout_ms

    async def send(self, notice: Notice) -> Outcome:
        """Post `notice`: 2xx is done, 410 is for ever, anything else comes again. Redirects are not followed."""
        body = document(notice)
        headers = signed(self._receiver.secrets, notice.message_id, self._clock.now_ms() // 1000, body)
        try:
            async with self._session.post(
                self._receiver.url, data=body, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as answer:
                status, retry_after = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as fault:
            return Outcome(Fate.LATER, f"no answer: {type(fault).__name__}")
        if 200 <= status < 300:
            return SENT
        if status == _GONE:
            return Outcome(Fate.GONE, "status 410")
        return Outcome(Fate.LATER, f"status {status}", wait_s=_wait_s(retry_after, self._clock.now_ms()))


@asynccontextmanager
async def opened(receiver: Receiver, clock: Clock) -> AsyncIterator[WebhookSink]:
    """Give the sink of `receiver` while the block lasts, with connections of its own."""
    resolver = GuardedResolver(is_private_allowed=receiver.is_private_allowed)
    connector = aiohttp.TCPConnector(resolver=resolver, limit=0, use_dns_cache=False)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield WebhookSink(receiver, session, clock)


def document(notice: Notice) -> bytes:
    """Return the body: the same bytes at every try."""
    data = {
        "reservation_id": notice.rid,
        "order_id": notice.order_id,
        "sale": notice.sale,
        "version": notice.version,
        "lines": [
            {"sku": one.sku, "qty": one.qty, "price": Money(one.unit_amount, notice.cost.currency).as_json()}
            for one in notice.lines
        ],
        "total": notice.cost.as_json(),
        **notice.facts,
    }
    told = {"type": notice.kind, "timestamp": spell_instant(notice.at_ms), "data": data}
    return json.dumps(told, separators=(",", ":")).encode()


def signed(secrets: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """Return the headers: one signature for each secret, so that a receiver may know either."""
    content = f"{message_id}.{at_s}.".encode() + body
    marks = (b64encode(hmac.new(secret, content, hashlib.sha256).digest()).decode() for secret in secrets)
    return {
        "Content-Type": "application/json",
        "User-Agent": "waitroom",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{mark}" for mark in marks),
    }


def _wait_s(retry_after: str, now_ms: int) -> int:
    """Return how long a receiver asks us to wait; RFC 9110 §10.2.3 lets it say seconds or a date."""
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return min(int(retry_after), _LONGEST_RETRY_AFTER_S)
    try:
        wait_s = parsedate_to_datetime(retry_after).timestamp() - now_ms / 1000
    except (ValueError, OverflowError):
        return 0
    return min(max(0, ceil(wait_s)), _LONGEST_RETRY_AFTER_S)
