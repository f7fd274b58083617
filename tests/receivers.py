"""A receiver of webhooks for tests: it verifies by code that is not ours, and answers as a test tells it."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web
from standardwebhooks.webhooks import Webhook

from tests.till import serving

SECRET = "whsec_" + b64encode(b"a-secret-of-a-receiver-in-tests!").decode()
Answer = Callable[[int], web.Response]
"""What to say to the n-th request, from 1 on."""


@dataclass
class Receiver:
    """What came in; `url` is where."""

    answer: Answer = lambda _count: web.Response(status=204)
    secret: str = SECRET
    url: str = ""
    hits: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """(webhook-id, document), each verified."""
    is_hit: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event | None = None
    """No answer before it is set."""

    async def receive(self, request: web.Request) -> web.StreamResponse:
        body = await request.text()
        Webhook(self.secret).verify(body, dict(request.headers))
        self.hits.append((request.headers["webhook-id"], json.loads(body)))
        self.is_hit.set()
        if self.gate is not None:
            await self.gate.wait()
        return self.answer(len(self.hits))

    @property
    def ids(self) -> list[str]:
        return [message_id for message_id, _ in self.hits]

    @property
    def kinds(self) -> list[str]:
        return [document["type"] for _, document in self.hits]

    async def heard(self, count: int) -> None:
        """Wait for so many requests."""
        async with asyncio.timeout(60):
            while len(self.hits) < count:
                self.is_hit.clear()
                await self.is_hit.wait()


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[Receiver]:
    """Serve `receiver` while the block lasts."""
    app = web.Application()
    app.router.add_post("/hooks", receiver.receive)
    async with serving(app) as url:
        receiver.url = f"{url}/hooks"
        yield receiver


def secret_file(folder: Path, *secrets: str) -> Path:
    path = folder / "hook.secret"
    path.write_text("\n".join(secrets or (SECRET,)))
    path.chmod(0o600)
    return path
