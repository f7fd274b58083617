"""Listen for requests, and answer in our own words also to what is no HTTP at all."""

from collections.abc import Awaitable, Callable

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from waitroom.kernel.answers import problem
from waitroom.kernel.errors import Refused, WaitroomError

Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Listener(web.AppRunner):
    """aiohttp's runner, but for what a stranger gets whose bytes never become a request.

    aiohttp's own answer is plain text that repeats the stranger's bytes, and names itself with its version.
    """

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            _in_our_words(made.request_handler),
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            **made._kwargs,
        )


def _in_our_words(handle: Handle) -> Handle:
    """Return `handle` with a problem for an unknown Expect, which aiohttp refuses before any middleware."""

    async def answered(request: web.BaseRequest) -> web.StreamResponse:
        if request.headers.get("Expect", "100-continue").lower() != "100-continue":
            return problem(Refused(417, "unknown-expectation", "This expectation cannot be met."))
        return await handle(request)

    return answered


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        super().handle_error(request, status, exc, message)  # logs; raises where an answer has begun
        told = Refused(400, "malformed-request", "This request is not valid HTTP.")
        answer = problem(told if status < 500 else WaitroomError("unexpected"))
        answer.headers["Server"] = "waitroom"
        answer.force_close()
        return answer
