"""Take the plain POSTs of a crowd that joins; aiohttp gets whatever is not plain, and nothing that was begun.

Why that is safe:

- Only what `rules/heads.py` calls plain comes here: whole, with its small body, at an address that takes it.
- While Redis is asked, the connection is busy as with a carriage: what comes next waits unread.
- A place is the same however often it is asked for, so where a reply says that more has to be done, aiohttp may begin
  again with the same bytes.
"""

import asyncio
from typing import Any

from waitroom.gate.join_prompt import Asked, JoinPrompt
from waitroom.rules.heads import plain_post
from waitroom.wire.front_door import FrontDoor


class Reception:
    """What stands at the front door for those who join."""

    def __init__(self, prompt: JoinPrompt) -> None:
        """Answer by `prompt`."""
        self._prompt = prompt

    def receive(self, door: FrontDoor, data: bytes) -> int:
        """Answer the plain POST that `data` begins with, or begin to; return its length, 0 if it is for aiohttp."""
        post = plain_post(data)
        if post is None:
            return 0
        head, body = post
        answer = self._prompt.answer(head, body, door.address)
        if answer is None:
            return 0
        size = head.size + len(body)
        if isinstance(answer, Asked):
            door.keep_busy(Awaited(door, answer, data[:size]))
        else:
            door.transport.write(answer)
        return size


class Awaited:
    """A request that waits for Redis, which answers or fails within its own limit; see `front_door.Carriage`."""

    __slots__ = ("_asked", "_door", "_is_over", "_raw", "has_begun")

    def __init__(self, door: FrontDoor, asked: Asked, raw: bytes) -> None:
        """Wait for what was `asked`; `raw` is the request, should aiohttp have to begin again."""
        self._door = door
        self._asked = asked
        self._raw = raw
        self._is_over = False
        self.has_begun = False
        asked.reply.add_done_callback(self._replied)

    def look(self, now_s: float) -> None:
        """Do nothing: Redis is held to its limit elsewhere."""

    def pause(self) -> None:
        """Do nothing: the answer is one small piece."""

    def resume(self) -> None:
        """Do nothing."""

    def cancel(self) -> None:
        """Let go: the client has gone. What was not sent yet never will be."""
        self._is_over = True
        self._asked.reply.cancel()

    def _replied(self, _reply: asyncio.Future[Any]) -> None:
        if self._is_over:
            return
        door, answer, is_last = self._door, None, self._door.is_leaving
        try:
            answer = self._asked.answer(is_last)
        finally:  # nobody is left without an answer, be it that of a bug
            if answer is None:
                door.hand_over(self._raw)
            else:
                door.transport.write(answer)
                door.carried(is_kept=not is_last)
