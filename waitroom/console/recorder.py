"""Look at every room once a second, keep ten minutes of it, and wake who watches."""

import asyncio
import json

from waitroom.console.figures import Document, History, room_document
from waitroom.console.workers import Workers
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.tasks import Loop
from waitroom.kernel.tokens import Invite
from waitroom.rules.lanes import PRIORITY
from waitroom.rules.rooms import ALWAYS, Change, Snapshot
from waitroom.store.rooms import Rooms

PERIOD_S = 1.0
LIMIT_S = 5.0
"""How long one look at all rooms may take."""


class Recorder:
    """What the console knows: the latest of every room, its recent past, and whether Redis and the workers are well."""

    def __init__(self, rooms: Rooms, workers: Workers, clock: Clock) -> None:
        """Begin with nothing seen; `loop` is what keeps it looking."""
        self._rooms = rooms
        self.names = rooms.names()
        self._workers = workers
        self._clock = clock
        self.latest: dict[str, Snapshot] = {}
        self._histories = {name: History() for name in self.names}
        self._down_since_ms: int | None = None
        self._latency_ms: float | None = None
        self._beat = asyncio.Event()
        self._is_closing = False

    @property
    def loop(self) -> Loop:
        """What must run beside the requests."""
        return Loop("console figures", self.step, PERIOD_S, LIMIT_S)

    async def step(self) -> None:
        """Look at everything once, keep it, and wake who watches; also to tell them that Redis is gone."""
        try:
            await asyncio.to_thread(self._workers.look)
            await self.look()
            for name, snapshot in self.latest.items():
                self._histories[name].note(snapshot)
        finally:
            self._wake()

    async def look(self) -> list[Snapshot]:
        """Return every room as it is now.

        Raises:
            StoreUnavailable: Redis does not answer; `latest` keeps what was known before.
        """
        before_s = self._clock.tick_s()
        try:
            for name in self.names:
                self.latest[name] = await self._rooms.tick(name)
        except StoreUnavailable:
            self._down_since_ms = self._down_since_ms or self._clock.now_ms()
            raise
        self._down_since_ms = None
        self._latency_ms = round((self._clock.tick_s() - before_s) * 1000 / max(1, len(self.names)), 2)
        return [self.latest[name] for name in self.names]

    async def change(self, name: str, change: Change, *, who: str, why: str) -> None:
        """Make a change, and show it to everybody who watches without waiting for the next beat.

        Raises:
            Refused: the room does not take that value.
            StoreUnavailable: Redis does not answer.
        """
        self.latest[name] = await self._rooms.control(name, change, who=who, why=why)
        self._wake()

    async def invite(self, name: str, event: str, count: int, uses: int, for_s: float) -> list[str]:
        """Return new codes for lane priority.

        Raises:
            Refused: 422, the room has no such event.
        """
        events = [ALWAYS, *(each.event for each in self._rooms.rules(name).events)]
        if event not in events:
            raise Refused(422, "unknown-event", f"There is no event of that name. There are: {', '.join(events)}.")
        expires_ms = self._rooms.now_ms() + round(for_s * 1000)
        return self._rooms.invites.made(Invite(name, event, PRIORITY, "", uses, expires_ms), count)

    def require(self, name: str) -> str:
        """Return `name`, where it is a room.

        Raises:
            Refused: 404, with the names there are.
        """
        if name not in self._histories:
            told = f"There is no room of that name. There are: {', '.join(self.names) or 'none'}."
            raise Refused(404, "unknown-room", told, extra={"rooms": self.names})
        return name

    def room(self, name: str) -> Document:
        """Return the latest of one room."""
        return room_document(self.latest[name], self._histories[name])

    def series(self, name: str) -> Document:
        """Return the recent past of one room, as curves."""
        return self._histories[name].series()

    def everything(self) -> Document:
        """Return what the console shows, for all rooms."""
        return {
            "server_ms": self._clock.now_ms(),
            "rooms": [self.room(name) for name in self.names if name in self.latest],
            "redis": {
                "is_up": self._down_since_ms is None,
                "down_since_ms": self._down_since_ms,
                "latency_ms": self._latency_ms,
            },
            "edge": self._workers.figures(),
        }

    @property
    def is_closing(self) -> bool:
        """Whether who watches should go."""
        return self._is_closing

    @property
    def beat(self) -> asyncio.Event:
        """What is set at the next news; take it before showing the present ones, so that none is missed."""
        return self._beat

    def close(self) -> None:
        """Send home who watches: the listener is closing."""
        self._is_closing = True
        self._wake()

    def _wake(self) -> None:
        woken, self._beat = self._beat, asyncio.Event()
        woken.set()


def as_event(document: Document) -> bytes:
    """Return `document` as one Server-Sent Event.

    Source: HTML Living Standard §9.2.
    """
    return b"event: figures\ndata: " + json.dumps(document, separators=(",", ":")).encode() + b"\n\n"
