"""The pulse as Server-Sent Events: one stream a visitor, and what is new in it as the same bytes for all.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from email.utils import formatdate
from functools import lru_cache
from secrets import randbelow

from aiohttp import web

from waitroom.gate.awaiting import Awaiting
from waitroom.gate.followers import Followers
from waitroom.gate.pulses import Told
from waitroom.kernel.sockets import keep_little

HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
    "X-Content-Type-Options": "nosniff",
}
BEAT = b":\n\n"
_SOONEST_MS, _LATEST_MS = 2_000, 10_000
"""When a browser comes back whose stream broke: so spread that a lost worker's crowd does not run the others down."""


class Events:
    """The long way to a stream, for whoever asks in an odd way."""

    def __init__(self, followers: Followers, write_timeout_s: float) -> None:
        """Let them be among `followers`; who has gone without a word is found out within `write_timeout_s`."""
        self._followers = followers
        self._write_timeout_s = write_timeout_s

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer with the pulse, and with every one that follows, until the visitor goes or we leave."""
        room, follower, stream = request.match_info["room"], Awaiting(), web.StreamResponse(headers=HEADERS)
        if request.method == "HEAD":
            self._followers.pulses.told(room)
            return stream
        told = self._followers.follow(room, follower)
        try:
            stream.force_close()
            if request.transport is not None:  # else they have gone already
                keep_little(request.transport, self._write_timeout_s)
            await stream.prepare(request)
            await stream.write(come_back())
            await stream.write(event(told))
            async for news in follower.news():
                await stream.write(event(news) if news else BEAT)
            await stream.write(come_back())
        finally:
            self._followers.leave(room, follower)
        return stream


def event(told: Told) -> bytes:
    """Return a pulse as an event; its id grows with Redis's clock, so that of two workers the newer one can be told."""
    snapshot = told.snapshot
    return b"id: %b/%d\ndata: %b\n\n" % (snapshot.generation.encode(), snapshot.now_ms, told.text)


def come_back() -> bytes:
    """Return what tells a browser when to come back, should the stream end."""
    return b"retry: %d\n\n" % (_SOONEST_MS + randbelow(_LATEST_MS - _SOONEST_MS))


def chunk(piece: bytes) -> bytes:
    """Return `piece` as it travels in HTTP/1.1 where nobody knows how long the whole is."""
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@lru_cache(2)
def head(now_s: int, *, is_alone: bool = False) -> bytes:
    """Return the head of a stream that begins at `now_s` (seconds since 1970), or of one that was not asked for."""
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in HEADERS.items())]
    date = f"Date: {formatdate(now_s, usegmt=True)}"
    lines += [date] if is_alone else ["Transfer-Encoding: chunked", date, "Connection: close"]
    return "\r\n".join([*lines, "", ""]).encode()
