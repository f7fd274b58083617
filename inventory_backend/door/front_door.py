"""The protocol before aiohttp: a plain reserve and a look at a sale are answered from their bytes.

Without a `Prompt` everything is aiohttp's, but for what a stranger hears whose bytes are no HTTP.

Why that is safe:

- Only a plain request is looked at here (`waitroom/rules/heads.py`): whole, with its small body, each header read in
  one way. Anything else goes to aiohttp with every byte that came, and so does whatever `Prompt` has no answer for.
- While aiohttp has begun anything on this connection, be it part of a head or of a body, all bytes are its own.
- One thing at a time: while a reserve is under way, or the client does not take what was written, what comes next waits
  unread. So answers leave in the order of the requests, and nobody makes us keep more than they send.
- Who hangs up in the middle of a reserve stops nothing that was begun, and a till that closes waits for it: as in
  aiohttp.
"""

import asyncio
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from inventory_backend.door.prompt import OF_THE_TILL, RESERVE, Prompt, Work
from waitroom.kernel.answers import parting_answer
from waitroom.kernel.tasks import Errands
from waitroom.rules.heads import ASKED, MOST_BODY_BYTES, Head, body_size, plain_head


class TillRunner(web.AppRunner):
    """aiohttp's runner, with a front door before each connection."""

    def __init__(self, app: web.Application, prompt: Prompt | None, **settings: Any) -> None:
        """Serve `app`, and before it what `prompt` knows."""
        super().__init__(app, **settings)
        self._prompt = prompt
        self._errands = Errands()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made, self._prompt, self._errands, handler_cancellation=made.handler_cancellation)

    async def cleanup(self) -> None:
        """Close as aiohttp does, and let end what was begun for somebody who has gone."""
        await super().cleanup()
        await self._errands.close(self._shutdown_timeout)


class _Server(web.Server):
    def __init__(self, made: web.Server, prompt: Prompt | None, errands: Errands, **settings: Any) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory, **settings, **made._kwargs)
        self._prompt = prompt
        self._errands = errands

    def __call__(self) -> RequestHandler:
        return FrontDoor(self, self._prompt, self._errands, loop=self._loop, **self._kwargs)


class FrontDoor(RequestHandler):
    """One connection of a client, or of the proxy before us."""

    __slots__ = ("_due", "_errands", "_later", "_left_bytes", "_prompt")

    def __init__(self, server: web.Server, prompt: Prompt | None, errands: Errands, **settings: Any) -> None:
        """Answer what `prompt` knows; the work that this takes is owned by `errands`."""
        super().__init__(server, **settings)
        self._prompt = prompt
        self._errands = errands
        self._due: asyncio.Task[None] | None = None  # the answer that is under way here
        self._later = b""  # what came while something else had to be finished first
        self._left_bytes: int | None = 0  # of a request that is aiohttp's; None where only aiohttp knows

    def data_received(self, data: bytes) -> None:
        """Answer what was read, or hand it on."""
        if self._due is not None or self._later:
            self._hold(data)
        elif data and self._is_between:
            self._read(data)
        else:
            self._hand_on(data)

    def resume_writing(self) -> None:
        """Note that the client has taken what waited."""
        super().resume_writing()
        self._go_on()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget what came after a request that is under way; that itself goes on."""
        self._later = b""
        super().connection_lost(exc)

    def close(self) -> None:
        """Take nothing more; what is under way is answered first."""
        if self._due is None:
            super().close()
        self._close = True

    async def shutdown(self, timeout: float | None = 15.0) -> None:  # noqa: ASYNC109 - aiohttp's, as it calls it
        """Wait for what is under way, for at most `timeout` seconds, then end the connection."""
        if self._due is not None:
            await asyncio.wait([self._due], timeout=timeout)
        await super().shutdown(timeout)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with a problem: aiohttp's own text repeats what was sent, be it a pass, and tells its version."""
        super().handle_error(request, status, exc, message)  # logs; raises where an answer has begun
        return parting_answer(status)

    @property
    def _is_idle(self) -> bool:
        return self._request_count == 0 or (self._waiter is not None and not self._waiter.done())

    @property
    def _is_between(self) -> bool:
        """Whether nothing at all is under way in aiohttp, so that what comes next may be answered here."""
        if (
            self._prompt is None
            or self._left_bytes != 0
            or self._close
            or self._force_close
            or self._messages
            or self._upgraded
        ):
            return False
        return self._is_idle

    def _read(self, data: bytes) -> None:
        """Answer one plain request after the other; from the first that is none, all is aiohttp's."""
        while data:
            if self._paused or self._due is not None:
                self._hold(data)
                return
            head = plain_head(data, None, ASKED, OF_THE_TILL)
            body_bytes = 0 if head is None else body_size(head)
            if head is None or body_bytes > MOST_BODY_BYTES:
                self._begin_to_hand_on(data, None)
                return
            size = head.size + body_bytes
            if size > len(data) or not self._is_taken(head, data[head.size : size]):
                self._begin_to_hand_on(data, size)
                return
            data = data[size:]

    def _is_taken(self, head: Head, body: bytes) -> bool:
        """Answer a plain request, or begin to; return whether that was possible."""
        answer: bytes | Work | None = None
        assert self._prompt is not None, "else nothing is read"
        if head.method == "POST":
            answer = self._prompt.reserve(head, body) if head.target == RESERVE else None
        elif "Content-Length" not in head.headers:
            answer = self._prompt.look(head)
        if answer is None:
            return False
        if isinstance(answer, bytes):
            self._write(answer)
        else:
            self._due = self._errands.begin(self._finish(answer), name="reserve")
        return True

    async def _finish(self, work: Work) -> None:
        answer = b""
        try:
            answer = await work
        finally:
            self._due = None
            self._write(answer)
            if self._close or not answer:  # nobody waits for what never comes, be it for a bug
                self.force_close()
            else:
                self._go_on()

    def _write(self, answer: bytes) -> None:
        if self.transport is not None:
            self.transport.write(answer)
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout

    def _hold(self, data: bytes) -> None:
        self._later += data
        self._pause_transport_reading()

    def _go_on(self) -> None:
        """Take up what came meanwhile, as soon as the client takes what was written."""
        if self._later and not self._paused and self._due is None:
            data, self._later = self._later, b""
            self._resume_transport_reading()
            self._read(data)

    def _begin_to_hand_on(self, data: bytes, size: int | None) -> None:
        """Let aiohttp have what begins with a request of `size` bytes; None where only aiohttp can tell."""
        self._left_bytes = size
        self._hand_on(data)

    def _hand_on(self, data: bytes) -> None:
        """Let aiohttp have `data`, and count how much of its request is still to come."""
        if self._left_bytes is not None:
            self._left_bytes -= len(data)
            if self._left_bytes < 0:
                self._left_bytes = None
        super().data_received(data)
        if self._left_bytes is None and data.endswith(b"\r\n\r\n") and not self._is_idle:
            self._left_bytes = 0  # a whole head has come, and no part of the next
