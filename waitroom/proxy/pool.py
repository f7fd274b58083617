"""Connections that rest between requests: nothing is added, followed, or remembered of a visitor."""

from typing import Any

import aiohttp
from aiohttp.client_reqrep import ClientRequest
from aiohttp.connector import Connection

HEAD_LINE_BYTES = 65_536
"""The longest header line of an answer: stores pile up cookies and policies."""
HEAD_LINES = 512
_NOT_INVENTED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


def session(
    socket: str | None, timeout: aiohttp.ClientTimeout, *, keepalive_s: float, repeats: bool = True
) -> aiohttp.ClientSession:
    """Return a session over TCP, or over the Unix `socket`; the number of connections is counted elsewhere.

    If it `repeats`, aiohttp sends an idempotent request once more after a connection that had died.
    """
    settings: dict[str, Any] = {"limit": 0, "keepalive_timeout": keepalive_s}
    pool = aiohttp.ClientSession(
        connector=_UnixConnector(socket, **settings) if socket else _TCPConnector(**settings),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=_NOT_INVENTED,
        request_class=_PlainRequest,
        timeout=timeout,
        max_line_size=HEAD_LINE_BYTES,
        max_field_size=HEAD_LINE_BYTES,
        max_headers=HEAD_LINES,
    )
    pool._retry_connection = repeats  # no public way: https://github.com/aio-libs/aiohttp/issues/10790
    return pool


def rest_at_most(pool: aiohttp.ClientSession, seconds: float) -> None:
    """Use no connection of `pool` again that rested longer than `seconds`."""
    assert isinstance(pool.connector, _Unspoilt), "see session"
    pool.connector.rest_at_most(seconds)


class _PlainRequest(ClientRequest):
    """A request that carries the headers it was given and no other."""

    def update_body_from_data(self, body: Any, _stacklevel: int = 3) -> None:
        if body is not None:  # without one, aiohttp would add `Content-Length: 0` to a DELETE
            super().update_body_from_data(body, _stacklevel)


class _Unspoilt(aiohttp.BaseConnector):
    """Never reuse a connection on which the upstream said more than it was asked.

    aiohttp keeps such bytes, and would give them to the next visitor as their answer.
    """

    async def connect(
        self,
        req: ClientRequest,
        traces: Any,
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # aiohttp's own signature
    ) -> Connection:
        while True:
            connection = await super().connect(req, traces, timeout)
            if connection.protocol is not None and not connection.protocol.should_close:
                return connection
            connection.close()

    def rest_at_most(self, seconds: float) -> None:
        self._keepalive_timeout = seconds  # aiohttp reads it at each reuse, and has no other way to change it


class _TCPConnector(_Unspoilt, aiohttp.TCPConnector):
    """To a host and port."""


class _UnixConnector(_Unspoilt, aiohttp.UnixConnector):
    """To a socket on this machine."""
