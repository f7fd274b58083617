"""A site as the browser of one synthetic visitor sees it: its own address, its own cookies, and patience."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import WaitroomError

_PATIENCE = 12
"""So often a call is made again before the visitor gives up."""
_LONGEST_PAUSE_S = 30.0
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) waitroom-crowd/1.0"


class GaveUp(WaitroomError):
    """The site did not do what a visitor may expect of it, so the visitor went away."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: `data` is empty where it was no JSON object."""

    status: int
    data: Mapping[str, Any] = field(default_factory=dict)
    retry_after_s: float = 0.0

    def get(self, key: str) -> Any:
        """Return a member that must be there."""
        if key not in self.data:
            raise GaveUp(f"an answer {self.status} has no {key}: {self.data}")
        return self.data[key]


class Site:
    """One visitor's way to speak with the site; whatever is busy is asked again when it said so."""

    def __init__(
        self,
        client: aiohttp.ClientSession,
        clock: Clock,
        *,
        origin: str,
        address: str,
        chance: Callable[[], float],
    ) -> None:
        """Stand for the visitor at `address`: we come through a trusted proxy, which may say so."""
        self._client = client
        self._clock = clock
        self._origin = origin
        self._address = address
        self._chance = chance
        self.cookies: dict[str, str] = {}

    async def page(self, path: str) -> Answer:
        """Open a page, as a navigation."""
        return await self.ask("GET", path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})

    async def ask(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Return the answer; a site that is busy or away is asked again, after the pause it asks for.

        Raises:
            GaveUp: it stayed busy or away for too long.
        """
        pause_s, answer = 0.5, Answer(503)
        for _ in range(_PATIENCE):
            try:
                answer = await self._once(method, path, body, headers or {})
            except (aiohttp.ClientError, TimeoutError, ValueError):  # ValueError: JSON that is none
                answer = Answer(503)
            if answer.status != 429 and answer.status < 500:
                return answer
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            await self._clock.sleep((answer.retry_after_s or pause_s) * (1 + 0.25 * self._chance()))
        raise GaveUp(f"{method} {path} answered {answer.status} {_PATIENCE} times")

    async def _once(
        self, method: str, path: str, body: Mapping[str, object] | None, headers: Mapping[str, str]
    ) -> Answer:
        sent = {"Accept": "application/json", "User-Agent": _BROWSER, "X-Forwarded-For": self._address, **headers}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        url = self._origin + path
        async with self._client.request(method, url, json=body, headers=sent, allow_redirects=False) as answer:
            text = await answer.text()
            self._keep_cookies(answer)
            data = json.loads(text) if answer.content_type.endswith("json") and text else {}
            retry_after = answer.headers.get("Retry-After", "")
            seconds = float(retry_after) if retry_after.isdigit() else 0.0
            return Answer(answer.status, data if isinstance(data, dict) else {}, seconds)

    def _keep_cookies(self, answer: aiohttp.ClientResponse) -> None:
        for name, morsel in answer.cookies.items():
            if morsel["max-age"] == "0" or not morsel.value:
                self.cookies.pop(name, None)
            else:
                self.cookies[name] = morsel.value
