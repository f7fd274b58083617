"""Stream one request to the upstream and its answer back."""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import aiohttp
from aiohttp import web

from waitroom.kernel.errors import UpstreamUnavailable
from waitroom.proxy.exchange import Answer, Ask
from waitroom.proxy.headers import UpstreamIdentity, client_headers, for_one_visitor, upstream_headers
from waitroom.proxy.relay import RelayedAnswer, VisitorLeft, copy_body, tell_interim, told_reason, written
from waitroom.proxy.strict import origin_form
from waitroom.proxy.uploads import Upload
from waitroom.proxy.upstream import Upstream
from waitroom.proxy.watched import WatchedUpstream
from waitroom.proxy.websocket import check_switch, handshake_headers, is_websocket, join

log = logging.getLogger(__name__)

Additions = Sequence[tuple[str, str]]
OnHead = Callable[[int, str | None], Additions | Awaitable[Additions]]
"""Asked once, before the answer begins, with its status and the upstream's Waitroom-Command; gives headers to add."""


class Forwarder:
    """Carries requests of admitted visitors to one upstream."""

    def __init__(self, upstream: Upstream | WatchedUpstream) -> None:
        """Forward to `upstream`, within its limits."""
        self._upstream = upstream
        self._limits = upstream.limits
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """Take leave of the visitors before this worker ends: websockets at once, others after their answer."""
        self._leaving.set()

    async def forward(
        self, request: web.BaseRequest, identity: UpstreamIdentity, on_head: OnHead | None = None
    ) -> web.StreamResponse:
        """Carry `request` to the upstream and its answer to the visitor; return that answer, already written.

        Nothing is raised any more once the answer has begun: one that cannot be finished is broken off.

        Raises:
            UpstreamUnavailable: 502 or 504.
            Refused: 400, 408, 413 what the visitor sent; 503 the upstream is busy.
        """
        if is_websocket(request):
            headers = upstream_headers(request.raw_headers, identity) + handshake_headers()
            return await self._upgrade(request, Ask("GET", origin_form(request), headers, is_upgrade=True), on_head)
        ask = await self._ask(request, identity)
        async with self._upstream.exchange(ask) as answer:
            if answer.status == 101:
                raise UpstreamUnavailable("switched protocols unasked")
            return await self._relay(request, answer, on_head)

    async def _ask(self, request: web.BaseRequest, identity: UpstreamIdentity) -> Ask:
        headers = upstream_headers(request.raw_headers, identity)
        hints = partial(tell_interim, request)
        length = request.content_length
        if length is not None:
            headers.append((b"Content-Length", b"%d" % length))
        if not request.body_exists:
            return Ask(request.method, origin_form(request), headers, on_interim=hints)
        limits = self._limits
        upload = Upload(
            request,
            max_body_bytes=limits.max_body_bytes,
            idle_timeout_s=limits.idle_timeout_s,
            min_bytes_per_s=limits.min_upload_bytes_per_s,
        )
        small = await upload.small()
        body = upload if small is None else small
        return Ask(request.method, origin_form(request), headers, body, on_interim=hints)

    async def _upgrade(self, request: web.BaseRequest, ask: Ask, on_head: OnHead | None) -> web.StreamResponse:
        """Ask the upstream first; only when it has switched protocols does the visitor's connection switch too."""
        async with self._upstream.exchange(ask) as answer:
            if answer.status != 101:
                return await self._relay(request, answer, on_head)
            check_switch(request, answer)
            response = await self._opened(request, answer, on_head)
            idle_timeout_s = self._limits.idle_timeout_s
            await join(request, answer, response, idle_timeout_s=idle_timeout_s, leaving=self._leaving)
            return response

    async def _relay(self, request: web.BaseRequest, answer: Answer, on_head: OnHead | None) -> web.StreamResponse:
        """Carry an answer to the visitor: from here on a failure can only be shown by breaking off."""
        response = await self._opened(request, answer, on_head)
        idle_s = self._limits.idle_timeout_s
        if not answer.is_over:  # else it serves somebody else by now
            answer.connection.read_timeout = idle_s
            answer.connection.start_timeout()
        try:
            if response.has_body:
                await copy_body(answer.content, response, idle_timeout_s=idle_s)
            else:
                await written(response.write_eof(), idle_s)
        except VisitorLeft:
            log.debug("visitor left", extra={"upstream": self._upstream.name})
            response.break_off()
        except (aiohttp.ClientError, OSError) as fault:
            log.warning("answer broken off", extra={"upstream": self._upstream.name, "fault": repr(fault)})
            response.break_off()
        return response

    async def _opened(self, request: web.BaseRequest, answer: Answer, on_head: OnHead | None) -> RelayedAnswer:
        """Return the visitor's side of `answer`, its head ready to go.

        Raises:
            UpstreamUnavailable: 502, a head that cannot be carried.
        """
        reason = told_reason(answer.reason or "")
        head = client_headers(answer.raw_headers)
        head.check_coding()
        added: Additions = ()
        if on_head is not None:
            told = on_head(answer.status, head.command)
            added = await told if inspect.isawaitable(told) else told
        ours = [(name.encode("ascii"), value.encode()) for name, value in added]
        headers = for_one_visitor(head.headers + ours) if ours else head.headers
        response = RelayedAnswer(answer.status, reason, headers, content_length=head.content_length)
        if self._leaving.is_set():
            response.force_close()
        await response.prepare(request)
        return response
