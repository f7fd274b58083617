"""The waiting page as it is handed out: one prepared rendering a room, changed once a minute, and the slow ones."""

import asyncio
from collections.abc import Mapping

from aiohttp import web

from waitroom.gate.line import Line, Presented
from waitroom.gate.waiting import SlowVisitor, WaitingPage
from waitroom.kernel.clock import Clock
from waitroom.kernel.prepared import Prepared
from waitroom.rules.health import Circuit
from waitroom.rules.rooms import Phase
from waitroom.store.places import Standing

_RENDERED_S = 60.0
"""How long one rendering, and so one nonce, is used."""
_SLOW_REFRESH_S = 15
"""How often the page of a visitor without JavaScript asks again."""


class WaitingPages:
    """The page of every room, ready to be sent."""

    def __init__(self, page: WaitingPage, line: Line, statuses: Mapping[str, int], clock: Clock) -> None:
        """Answer with each room's `queueing_status_code`."""
        self._page = page
        self._line = line
        self._statuses = dict(statuses)
        self._clock = clock
        self._made: dict[str, tuple[float, Prepared]] = {}

    def prepared(self, room: str) -> Prepared:
        """Return the page of `room` that is the same for everybody."""
        now_s = self._clock.tick_s()
        made = self._made.get(room)
        if made is None or now_s - made[0] > _RENDERED_S:
            made = now_s, self._page.prepared(room, status=self._statuses[room])
            self._made[room] = made
        return made[1]

    async def renew(self) -> None:
        """Render anew, beside the event loop, what would soon be too old: so that no visitor waits for it."""
        for room, status in self._statuses.items():
            made = self._made.get(room)
            if made is None or self._clock.tick_s() - made[0] > _RENDERED_S / 2:
                page = await asyncio.to_thread(self._page.prepared, room, status=status)
                self._made[room] = self._clock.tick_s(), page

    def for_slow(self, room: str, presented: Presented, standing: Standing) -> web.Response:
        """Return the page of one visitor without JavaScript."""
        snapshot = self._line.snapshot(room)
        told = {Phase.PREQUEUE, Phase.PAUSED, Phase.SOLD_OUT, Phase.ENDED}
        state = snapshot.phase.value if standing is Standing.WAITING and snapshot.phase in told else standing.value
        if state == Standing.WAITING and snapshot.health.circuit is not Circuit.CLOSED:
            state = "down"
        wait = self._line.wait(presented)
        visitor = SlowVisitor(
            place=None if presented.ahead is None else presented.ahead + 1,
            wait=(wait.low_s, wait.high_s),
            refresh_s=min(_SLOW_REFRESH_S, max(2, round(wait.low_s / 2))),
            state=state,
            message=snapshot.message or None,
            stock=snapshot.stock,
        )
        page = self._page.for_slow(room, visitor)
        return web.Response(status=self._statuses[room], body=page.body.encode(), headers=page.headers)
