"""The pulse by websocket: the same JSON as messages of text; nothing that a visitor sends is listened to."""

import asyncio

from aiohttp import WSCloseCode, WSMsgType, web

from waitroom.gate.awaiting import Awaiting
from waitroom.gate.followers import BEAT_S, Followers
from waitroom.gate.joining import refuse_foreign_origin
from waitroom.gate.pulses import Told
from waitroom.kernel.answers import problem
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import Refused

_LONGEST_MESSAGE_BYTES = 1_024
_MOST_MESSAGES = 32
"""How many messages and pings of a visitor are borne in the time between two beats."""
_CLOSE_LIMIT_S = 2.0
"""How long a visitor may take to answer a close frame."""


class WebSockets:
    """The websockets of visitors."""

    def __init__(self, followers: Followers, clock: Clock) -> None:
        """Let them be among `followers`."""
        self._followers = followers
        self._clock = clock

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Send the pulse, and every one that follows, until the visitor goes or we leave."""
        refuse_foreign_origin(request)
        room, follower = request.match_info["room"], Awaiting()
        socket = web.WebSocketResponse(
            timeout=_CLOSE_LIMIT_S,
            heartbeat=BEAT_S,
            max_msg_size=_LONGEST_MESSAGE_BYTES,
            autoping=False,
            compress=False,
        )
        self._followers.pulses.told(room)
        if not socket.can_prepare(request).ok:
            return _no_websocket()
        told = self._followers.follow(room, follower)
        try:
            await socket.prepare(request)
            async with asyncio.TaskGroup() as group:
                telling = group.create_task(_tell(socket, told, follower))
                await self._hear(socket)
                telling.cancel()
        finally:
            self._followers.leave(room, follower)
        return socket

    async def _hear(self, socket: web.WebSocketResponse) -> None:
        """Answer pings, until the visitor closes or says too much."""
        since_s, heard = self._clock.tick_s(), 0
        async for message in socket:
            if message.type is WSMsgType.PONG:
                continue
            if self._clock.tick_s() - since_s > BEAT_S:
                since_s, heard = self._clock.tick_s(), 0
            heard += 1
            if heard > _MOST_MESSAGES:
                await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=b"nobody listens")
            elif message.type is WSMsgType.PING:
                await socket.pong(message.data)


async def _tell(socket: web.WebSocketResponse, told: Told, follower: Awaiting) -> None:
    try:
        await socket.send_str(told.text.decode())
        async for news in follower.news():
            if news is not None:
                await socket.send_str(news.text.decode())
        await socket.close(code=WSCloseCode.SERVICE_RESTART, message=b"come back")
    except ConnectionError:
        return  # the visitor has gone


def _no_websocket() -> web.Response:
    answer = problem(Refused(426, "no-websocket", "This address speaks websocket; events beside it are plain HTTP."))
    answer.headers["Upgrade"] = "websocket"
    return answer
