"""Follow a room from within a handler, which writes when it can: the way of who came by aiohttp."""

import asyncio
from collections.abc import AsyncIterator

from waitroom.gate.pulses import Told


class Awaiting:
    """A follower whose news are waited for; who is slow to come for them gets the newest."""

    def __init__(self) -> None:
        """Begin with nothing new."""
        self._news: Told | None = None
        self._is_over = False
        self._called = asyncio.Event()

    def tell(self, news: Told) -> None:
        """Keep the newest pulse until it is fetched."""
        self._news = news
        self._called.set()

    def beat(self) -> None:
        """Let it be said that we are still here."""
        self._called.set()

    def farewell(self) -> None:
        """End."""
        self._is_over = True
        self._called.set()

    async def news(self) -> AsyncIterator[Told | None]:
        """Give what is new, None where nothing is and that has to be said; end when this worker leaves."""
        while True:
            await self._called.wait()
            self._called.clear()
            if self._is_over:
                return
            news, self._news = self._news, None
            yield news
