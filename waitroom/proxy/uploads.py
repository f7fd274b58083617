"""Carry a request body from the visitor to the upstream, counted and timed."""

import asyncio

from aiohttp import StreamReader, web
from aiohttp.http import HttpVersion11

from waitroom.kernel.errors import Refused, WaitroomError

SMALL_BYTES = 65_536
"""A body up to this size is read before the upstream is asked, a larger one is carried piece by piece."""

GRACE_S = 20.0
"""For so long a visitor may keep us waiting for a body in all, before it matters how much of it has come."""


class Upload:
    """The body of one request, read once, piece by piece; `fault` says why it ended early.

    aiohttp hides what goes wrong inside a body behind an error of its own connection, so the reason is kept here.
    """

    def __init__(
        self, request: web.BaseRequest, *, max_body_bytes: int, idle_timeout_s: float, min_bytes_per_s: int = 0
    ) -> None:
        """Refuse at once what says itself that it is too large.

        Raises:
            Refused: 413.
        """
        self.fault: WaitroomError | None = None
        self._request = request
        self._content: StreamReader = request.content
        self._max_body_bytes = max_body_bytes
        self._idle_timeout_s = idle_timeout_s
        self._min_bytes_per_s = min_bytes_per_s
        self._waited_s = 0.0
        self._sent_bytes = 0
        self._is_awaited = request.version >= HttpVersion11 and "Expect" in request.headers
        self._watchdog: asyncio.Timeout | None = None
        if (request.content_length or 0) > max_body_bytes:
            raise _too_large(max_body_bytes)

    async def small(self) -> bytes | None:
        """Return the whole body if it is small and on its way, else None.

        So a visitor who dawdles holds nothing of the upstream. Who waits for our word to begin gets it when the
        upstream is there, and not before.

        Raises:
            Refused: as `__anext__`.
        """
        length = self._request.content_length
        if length is None or length > SMALL_BYTES or self._is_awaited:
            return None
        return b"".join([piece async for piece in self])

    def watch(self, watchdog: asyncio.Timeout | None) -> None:
        """Let `watchdog` end the exchange when the upstream does not take a piece in time; None takes it off."""
        self._watchdog = watchdog

    def __aiter__(self) -> "Upload":
        """Return the body itself: it can be read once only."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece, telling a visitor who waits for that word (RFC 9110 §10.1.1) to begin.

        Raises:
            Refused: 408 the visitor stalls, 413 too much, 400 not the body that was announced.
        """
        self._move_watchdog(None)
        if self._is_awaited:
            self._ask_for_it()
        piece = await self._read()
        self._sent_bytes += len(piece)
        if self._sent_bytes > self._max_body_bytes:
            raise self._failed(_too_large(self._max_body_bytes))
        self._move_watchdog(self._idle_timeout_s)
        if not piece:
            raise StopAsyncIteration
        return piece

    async def _read(self) -> bytes:
        now_s = asyncio.get_running_loop().time
        began_s = now_s()
        try:
            async with asyncio.timeout(min(self._idle_timeout_s, self._may_wait_s())):
                return await self._content.readany()
        except TimeoutError:
            fault = Refused(408, "upload-stalled", "The rest of your request did not arrive in time.")
            raise self._failed(fault) from None
        except web.RequestPayloadError as broken:
            fault = Refused(400, "malformed-request", "The body of this request is not valid HTTP.")
            raise self._failed(fault) from broken
        finally:
            self._waited_s += now_s() - began_s

    def _may_wait_s(self) -> float:
        """Return how much longer the visitor may keep us waiting, having sent what they have.

        Only the time that we wait for them counts: a store that is slow to take the body is not the visitor's fault.
        """
        if not self._min_bytes_per_s:
            return self._idle_timeout_s
        return max(0.0, GRACE_S + self._sent_bytes / self._min_bytes_per_s - self._waited_s)

    def _ask_for_it(self) -> None:
        self._is_awaited = False
        transport = self._request.transport
        if transport is not None and not self._content.is_eof():
            transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _move_watchdog(self, seconds: float | None) -> None:
        if self._watchdog is not None:
            self._watchdog.reschedule(None if seconds is None else asyncio.get_running_loop().time() + seconds)

    def _failed(self, fault: WaitroomError) -> WaitroomError:
        self.fault = fault
        return fault


def _too_large(max_body_bytes: int) -> Refused:
    return Refused(413, "body-too-large", f"Please send at most {max_body_bytes} bytes.")
