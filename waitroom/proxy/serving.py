"""Listen beside the other workers until a signal comes, then finish what is in flight."""

import asyncio
import logging
import signal

from aiohttp import web

from waitroom.proxy.listener import Listener
from waitroom.proxy.strict import server_log

log = logging.getLogger(__name__)

_BACKLOG = 1024
_MAX_LINE_BYTES, _MAX_FIELD_BYTES = 16_384, 32_768
"""As much as stores are known to put into one cookie; more is answered 400."""


async def serve_until_told(app: web.Application, host: str, port: int, *, keepalive_s: float, drain_s: float) -> None:
    """Serve `app` on a port that other processes may share (SO_REUSEPORT), until SIGTERM or SIGINT.

    Then nobody new is accepted, and what runs has `drain_s` seconds to end.
    """
    server = Listener(
        app,
        access_log=None,
        logger=server_log(),
        handler_cancellation=True,
        auto_decompress=False,
        keepalive_timeout=keepalive_s,
        shutdown_timeout=drain_s,
        max_line_size=_MAX_LINE_BYTES,
        max_field_size=_MAX_FIELD_BYTES,
    )
    told = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, told.set)
    await server.setup()
    try:
        await web.TCPSite(server, host, port, reuse_port=True, backlog=_BACKLOG).start()
        log.info("listening", extra={"address": f"{host}:{port}"})
        await told.wait()
        log.info("draining", extra={"limit_s": drain_s})
    finally:
        await server.cleanup()
