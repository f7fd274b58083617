"""Listen for requests, and answer in our own words also to what is no HTTP at all."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from waitroom.kernel.answers import NO_HTTP, parting_answer, problem
from waitroom.kernel.errors import Refused
from waitroom.proxy.strict import with_a_path
from waitroom.wire.last_words import HEADER_TOO_LARGE

HALF_CLOSED_S = 2.0
"""How long a request may go on whose client said that it sends no more: it may be reading, or gone."""

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener(web.AppRunner):
    """aiohttp's runner, but for what a stranger gets whose bytes never become a request.

    aiohttp's own answer is plain text that repeats the stranger's bytes, and names itself with its version.
    """

    _is_leaving = False

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )

    @property
    def is_leaving(self) -> bool:
        """Whether every answer is the last of its connection."""
        return self._is_leaving

    async def take_leave(self) -> None:
        """Let every answer from now on be the last of its connection, and tell the websockets to come back."""
        assert isinstance(self.server, _Server), "setup comes first"
        self._is_leaving = self.server.is_leaving = True
        await self.shutdown()


class _Server(web.Server):
    def __init__(self, handle: Handle, **settings: Any) -> None:
        super().__init__(self._in_our_words, **settings)
        self._handle = handle
        self.is_leaving = False

    def __call__(self) -> RequestHandler:
        return Connection(self, loop=self._loop, **self._kwargs)

    async def _in_our_words(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer an unknown Expect with a problem: aiohttp refuses that before any middleware."""
        if self.is_leaving or request.headers.get("Upgrade", "websocket").lower() != "websocket":
            # aiohttp's parser loses what comes in one piece with an upgrade that it does not know: let it be sent again
            request._message = request._message._replace(should_close=True)  # as if the visitor had asked for it
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return problem(Refused(417, "unknown-expectation", "This expectation cannot be met."))
        return await self._handle(request if request.raw_path.startswith("/") else with_a_path(request))


class Connection(RequestHandler):
    """A connection as aiohttp has it, but for half-closed clients and for what is no HTTP."""

    __slots__ = ("_last_body",)

    def data_received(self, data: bytes) -> None:
        """Parse, and remember the body of the last request."""
        super().data_received(data)
        if self._messages:
            self._last_body: StreamReader | None = self._messages[-1][1]

    def eof_received(self) -> bool | None:  # type: ignore[override]  # as asyncio.Protocol has it
        """Go on for a client that will send nothing more but may still be reading; True keeps the connection open.

        On the wire it looks like one that is gone (https://github.com/aio-libs/aiohttp/issues/3659), and only writing
        to it would tell. So its answer has `HALF_CLOSED_S` to begin; then the request ends as that of one who left.
        """
        body = getattr(self, "_last_body", None)
        is_asking = bool(self._messages) or self._waiter is None
        is_tunnel = self._payload_parser is not None or self._upgraded
        if body is None or not body.is_eof() or not is_asking or is_tunnel or self.ssl_context:
            return None  # nothing is asked that could be answered
        self._loop.call_later(HALF_CLOSED_S, self._end_half_closed)
        return True

    def _end_half_closed(self) -> None:
        if self.transport is None:
            return
        running = self._current_request
        if self._waiter is not None:
            self.transport.close()
        elif running is not None and running.writer.output_size == 0:
            self.transport.abort()
        else:
            self._loop.call_later(HALF_CLOSED_S, self._end_half_closed)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with a problem in place of aiohttp's plain text."""
        super().handle_error(request, status, exc, message)  # logs; raises where an answer has begun
        return parting_answer(status, HEADER_TOO_LARGE if isinstance(exc, LineTooLong) else NO_HTTP)
