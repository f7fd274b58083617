"""The page on which a shopper's own browser checks the draw; the same bytes for everybody."""

from collections.abc import Mapping

from aiohttp import web

from waitroom.gate.looks import Look, look
from waitroom.kernel.clock import Clock
from waitroom.kernel.pages import Pages, csp, nonce
from waitroom.kernel.prepared import Prepared
from waitroom.store.rooms import Rooms

_RENDERED_S = 60.0
"""How long one rendering, and so one nonce, is used."""


class ProofPage:
    """One prepared rendering a room, changed once a minute."""

    def __init__(self, rooms: Rooms, pages: Pages, looks: Mapping[str, Look], clock: Clock) -> None:
        """Take the templates, and the look of each room."""
        self._rooms = rooms
        self._pages = pages
        self._looks = dict(looks)
        self._clock = clock
        self._made: dict[str, tuple[float, Prepared]] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with the page of the room in the path."""
        room = self._rooms.rules(request.match_info["room"]).name
        now_s, made = self._clock.tick_s(), self._made.get(room)
        if made is None or now_s - made[0] > _RENDERED_S:
            made = self._made[room] = now_s, self._rendered(room)
        return made[1].answer(request)

    def _rendered(self, room: str) -> Prepared:
        mark = nonce()
        html = self._pages.render("gate/proof.html", room=room, look=self._looks.get(room) or look(room), nonce=mark)
        headers = {
            "Cache-Control": "no-store",
            "Content-Security-Policy": csp(mark),
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        return Prepared(html.encode(), "text/html; charset=utf-8", headers=headers)
