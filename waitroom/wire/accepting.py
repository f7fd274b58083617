"""Accept connections on sockets that other processes share, and refuse before anything is spent on them.

asyncio's own servers accept and then ask; they also make a TLS handshake before anybody could count it, know nothing of
the PROXY protocol, and cannot let a certificate be exchanged.
"""

import asyncio
import errno
import logging
import socket
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from waitroom.kernel.tasks import Errands
from waitroom.rules.visitors import Network, is_trusted
from waitroom.wire.certificates import Certificates
from waitroom.wire.connections import Connections, Seat
from waitroom.wire.counters import CONNECTIONS_CUT
from waitroom.wire.frame import Frame
from waitroom.wire.front_door import FrontDoor
from waitroom.wire.last_words import BUSY, last_words
from waitroom.wire.preamble import BadPreamble, announced

log = logging.getLogger(__name__)

_AT_ONCE = 16
"""How many connections are accepted before others get a turn: our own requests, and the other workers."""
_REST_S = 0.1
_LINGERING = 256
"""How many refused connections are kept open a moment: closed at once, a client that still writes hears a reset."""
_NOT_NOW = frozenset({errno.EAGAIN, errno.EINTR, errno.ECONNABORTED, errno.EPROTO})


@dataclass(frozen=True, slots=True)
class Doorway:
    """How connections come in: who must announce whom they are from (None: nobody), and with which certificate."""

    balancers: Sequence[Network] | None = None
    certificates: Certificates | None = None


class Acceptor:
    """Takes connections from listening sockets, one by one, and puts each behind a front door."""

    def __init__(
        self, sockets: Sequence[socket.socket], frame: Frame, connections: Connections, doorway: Doorway
    ) -> None:
        """Take the listening `sockets`, and put a door into `frame` for each connection; nothing is accepted yet."""
        self._sockets = sockets
        self._frame = frame
        self._connections = connections
        self._doorway = doorway
        self._loop = asyncio.get_running_loop()
        self._errands = Errands()
        self._refused: deque[socket.socket] = deque()
        self._refused_before: deque[socket.socket] = deque()
        self._is_open = False

    def open(self) -> None:
        """Begin."""
        self._is_open = True
        for listening in self._sockets:
            listening.setblocking(False)
            self._loop.add_reader(listening, self._accept, listening)

    async def close(self, limit_s: float) -> None:
        """Accept nobody any more, and let who is at the door come in.

        The sockets are closed here only: what waits in their queue is for the other processes that have them.
        """
        self._is_open = False
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            listening.close()
        await self._errands.close(limit_s)
        self._close(self._refused_before)
        self._close(self._refused)

    async def sweep(self) -> None:
        """Close what was refused before the last sweep, and has had the time to read why."""
        self._close(self._refused_before)
        self._refused_before, self._refused = self._refused, self._refused_before

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                client, peer = listening.accept()
            except OSError as fault:
                if fault.errno not in _NOT_NOW:
                    self._rest(listening, fault)
                return
            self._begin(client, str(peer[0]))

    def _rest(self, listening: socket.socket, fault: OSError) -> None:
        """Wait until something is closed: the system has no more to give, and would wake us again at once."""
        log.warning("cannot accept", extra={"fault": fault.strerror})
        self._close(self._refused)
        self._connections.make_room()
        self._loop.remove_reader(listening)
        self._loop.call_later(_REST_S, self._go_on, listening)

    def _go_on(self, listening: socket.socket) -> None:
        if self._is_open:
            self._loop.add_reader(listening, self._accept, listening)

    def _begin(self, client: socket.socket, peer: str) -> None:
        client.setblocking(False)
        balancers = self._doorway.balancers
        if balancers is not None and not is_trusted(peer, balancers):
            self._refuse(client, "no-balancer")
            return
        seat = self._connections.take()
        if seat is None:
            self._refuse(client, "full")
        elif balancers is None and not seat.belongs_to(peer):
            seat.leave()
            self._refuse(client, "address")
        else:
            _ = self._errands.begin(self._bring_in(client, peer, seat), name="connection")

    async def _bring_in(self, client: socket.socket, peer: str, seat: Seat) -> None:
        """Hear whom the connection is from, shake hands, and begin to serve it."""
        limit_s = self._connections.bounds.header_timeout_s
        certificates = self._doorway.certificates
        try:
            address = peer if self._doorway.balancers is None else await self._announced(client, peer, limit_s)
            if self._doorway.balancers is not None and not seat.belongs_to(address):
                seat.leave()
                self._refuse(client, "address")
                return
            await self._loop.connect_accepted_socket(
                lambda: FrontDoor(self._frame, seat, address),
                client,
                ssl=certificates.context if certificates else None,
                ssl_handshake_timeout=limit_s if certificates else None,
                ssl_shutdown_timeout=limit_s if certificates else None,
            )
        except BadPreamble as fault:
            self._give_up(client, seat, "no-announcement", fault)
        except (OSError, TimeoutError) as fault:  # ssl.SSLError is an OSError
            self._give_up(client, seat, "no-handshake", fault)
        except BaseException:
            self._give_up(client, seat, "fault", None)
            raise

    async def _announced(self, client: socket.socket, peer: str, limit_s: float) -> str:
        async def read(count: int) -> bytes:
            return await self._loop.sock_recv(client, count)

        async with asyncio.timeout(limit_s):
            return await announced(read) or peer

    def _give_up(self, client: socket.socket, seat: Seat, why: str, fault: Exception | None) -> None:
        seat.leave()
        client.close()
        CONNECTIONS_CUT.labels(why).inc()
        log.debug("connection refused", extra={"why": why, "fault": repr(fault)})

    def _refuse(self, client: socket.socket, why: str) -> None:
        """Say that we are busy, in one segment; where TLS is spoken nothing can be said that would be cheap."""
        CONNECTIONS_CUT.labels(why).inc()
        try:
            if self._doorway.certificates is None and why != "no-balancer":
                client.send(last_words(BUSY))
                client.shutdown(socket.SHUT_WR)
                self._close(self._refused, keep=_LINGERING - 1)
                self._refused.append(client)
                return
        except OSError:
            pass  # it has gone already
        client.close()

    def _close(self, refused: deque[socket.socket], keep: int = 0) -> None:
        while len(refused) > keep:
            refused.popleft().close()
