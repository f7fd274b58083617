"""Serve beside the other workers until a signal comes, then finish what is in flight."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from aiohttp import web

from waitroom.config import Edge
from waitroom.gate.prompt import Prompt
from waitroom.kernel.clock import Clock
from waitroom.kernel.open_files import open_files
from waitroom.kernel.tasks import Loop, running
from waitroom.proxy.inlet import PIECE_BYTES
from waitroom.proxy.strict import server_log
from waitroom.rules.visitors import Network
from waitroom.wire.accepting import Acceptor, Doorway
from waitroom.wire.certificates import Certificates
from waitroom.wire.connections import SWEEP_S, Bounds, Connections
from waitroom.wire.frame import Carry, Frame, Receive, Stay
from waitroom.wire.listener import Listener

log = logging.getLogger(__name__)

_MAX_LINE_BYTES, _MAX_FIELD_BYTES = 16_384, 32_768
"""As much as stores are known to put into one cookie; more is answered 431."""
_SPARE_FILES = 512
"""Open files that are no client's connection: upstreams, Redis, the program itself."""
_NEVER_S = 86_400.0 * 365
"""aiohttp has a timer for each connection; here the sweep sees who rests for too long."""
_GRACE_S = 5.0
"""How long a client that keeps its connection may send one more request to a worker that leaves."""
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Serving:
    """How a listener serves; `trusted` are the proxies before it."""

    drain_s: float
    bounds: Bounds = field(default_factory=Bounds)
    doorway: Doorway = field(default_factory=Doorway)
    trusted: Sequence[Network] = ()

    @classmethod
    def of(cls, edge: Edge) -> "Serving":
        """Return how shoppers are served.

        Raises:
            ConfigFault: the certificate cannot be used.
        """
        trusted = [ip_network(text) for text in edge.trusted_proxies]
        both = (edge.tls_certificate, edge.tls_key)
        return cls(
            drain_s=edge.drain_timeout_ms / 1000,
            bounds=Bounds(
                max_connections=edge.max_connections,
                max_per_address=min(edge.max_connections_per_address, edge.max_connections),
                header_timeout_s=edge.header_timeout_ms / 1000,
                write_timeout_s=edge.write_timeout_ms / 1000,
                max_header_bytes=edge.max_header_bytes,
                min_bytes_per_s=edge.min_transfer_per_s_bytes,
                keepalive_s=edge.keepalive_timeout_ms / 1000,
            ),
            doorway=Doorway(
                balancers=trusted if edge.proxy_protocol == "required" else None,
                certificates=Certificates(both[0], both[1]) if both[0] and both[1] else None,
            ),
            trusted=trusted,
        )


@dataclass(frozen=True, slots=True)
class Served:
    """What is served: the application, and what is answered or carried before it is asked."""

    app: web.Application
    prompt: Prompt | None = None
    carry: Carry | None = None
    stay: Stay | None = None
    receive: Receive | None = None

    async def turn(self) -> None:
        """Let what is ready be made anew."""
        if self.prompt is not None:
            await self.prompt.turn()


async def serve_until_told(
    served: Served, sockets: Sequence[socket.socket], serving: Serving, *, clock: Clock, ready: Callable[[], None]
) -> None:
    """Serve on listening sockets until SIGTERM or SIGINT; call `ready` once that has begun.

    Then nobody new is accepted, and what runs has so many seconds to end. SIGHUP reads the certificate anew.
    """
    server = Listener(
        served.app,
        access_log=None,
        logger=server_log(),
        handler_cancellation=True,
        auto_decompress=False,
        keepalive_timeout=_NEVER_S,
        shutdown_timeout=serving.drain_s - _grace_s(serving),
        max_line_size=_MAX_LINE_BYTES,
        read_bufsize=PIECE_BYTES,
        max_field_size=_MAX_FIELD_BYTES,
    )
    connections = Connections(_affordable(serving.bounds), trusted=serving.trusted, clock=clock)
    told = _signals(serving)
    await server.setup()
    frame = Frame(server, connections.bounds, clock, served.prompt, served.carry, served.stay, served.receive)
    acceptor = Acceptor(sockets, frame, connections, serving.doorway)
    sweeps = [
        Loop("connections", connections.sweep, SWEEP_S, SWEEP_S),
        Loop("refused", acceptor.sweep, SWEEP_S, SWEEP_S),
    ]
    try:
        async with running(*sweeps, clock=clock):
            acceptor.open()
            ready()
            log.info("listening", extra={"addresses": [str(one.getsockname()) for one in sockets]})
            await told.wait()
            log.info("draining", extra={"limit_s": serving.drain_s})
            await acceptor.close(_grace_s(serving))
            await server.take_leave()
            await _empty(connections, clock.tick_s() + _grace_s(serving))
    finally:
        late_s = clock.tick_s() + serving.drain_s - _grace_s(serving)
        connections.hang_up(only_idle=True)
        await server.cleanup()
        await _empty(connections, late_s)  # what the fast lane carries ends as what aiohttp does
        connections.hang_up()


def _signals(serving: Serving) -> asyncio.Event:
    told, loop = asyncio.Event(), asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, told.set)
    certificates = serving.doorway.certificates
    loop.add_signal_handler(signal.SIGHUP, certificates.renew if certificates else lambda: None)
    return told


def _grace_s(serving: Serving) -> float:
    return min(_GRACE_S, serving.drain_s / 2)


async def _empty(connections: Connections, late_s: float) -> None:
    """Wait until the last client has gone, who heard with an answer that it was the last one, or until it is late.

    A connection that is closed while a request is on its way to it loses that request.
    """
    while len(connections) and connections.clock.tick_s() < late_s:
        await connections.clock.sleep(_LOOK_S)


def _affordable(bounds: Bounds) -> Bounds:
    """Return `bounds` with no more connections than files may be open."""
    wanted = bounds.max_connections + _SPARE_FILES
    allowed = open_files(wanted)
    if allowed >= wanted:
        return bounds
    most = max(allowed - _SPARE_FILES, allowed // 2)
    log.warning("fewer connections than configured: raise ulimit -n", extra={"most": most, "open_files": allowed})
    return replace(bounds, max_connections=most)
