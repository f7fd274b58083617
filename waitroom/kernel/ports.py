"""Take the ports that processes share, before they start."""

import errno
import secrets
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.units import Address

_BACKLOG = 1024
_LOWEST, _PORTS, _TRIES = 20_000, 12_000, 1_000
_WHY = {
    errno.EADDRINUSE: "is taken by another program; stop that one, or choose another port",
    errno.EACCES: "needs more rights than this user has; choose a port above 1023",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
}


def listening(address: Address, *, setting: str) -> list[socket.socket]:
    """Return sockets that listen on `address`, and that nobody else can have: no SO_REUSEPORT.

    A socket that processes share has one queue, so a connection that waits in it is served by whoever is there.
    With SO_REUSEPORT each process has a queue of its own, and what waits in it is reset when that process ends; and any
    program of the same user may take a part of the port in silence.

    Raises:
        ConfigFault: it is taken, or cannot be taken by us.
    """
    made: list[socket.socket] = []
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, where in dict.fromkeys(found):
            made.append(socket.socket(family, kind, protocol))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections that linger do no harm
            if family == socket.AF_INET6:
                made[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made[-1].bind(where)
            made[-1].listen(_BACKLOG)
    except OSError as fault:
        for one in made:
            one.close()
        why = _WHY.get(fault.errno or 0, f"cannot be used: {fault.strerror}")
        if isinstance(fault, socket.gaierror):
            raise ConfigFault([f"{setting}: {address.host} is no address: {fault.strerror}"]) from fault
        raise ConfigFault([f"{setting}: {address} {why}"]) from fault
    return made


@dataclass(frozen=True, slots=True)
class Place:
    """Where a process serves: on sockets it was given, else on a port of its own; and whom it tells that it does."""

    sockets: tuple[socket.socket, ...] = ()
    ready: Callable[[], None] = lambda: None

    def listening(self, address: Address, *, setting: str) -> Sequence[socket.socket]:
        """Return the sockets it was given, else new ones on `address`.

        Raises:
            ConfigFault: as `listening`.
        """
        return self.sockets or listening(address, setting=setting)


def free_loopback() -> Address:
    """Return a loopback address that nobody listens on now, and that is given to nobody else while this process lives.

    Its port is none of those that Linux gives to who connects (from 32768 on): one of our own connections could take it
    before we listen.
    """
    for _ in range(_TRIES):
        address = Address("127.0.0.1", _LOWEST + secrets.randbelow(_PORTS))
        with socket.socket() as probe, suppress(OSError):
            probe.bind((address.host, address.port))
            _keep(probe)
            return address
    raise ConfigFault(["no port of this machine is free"])


def _keep(probe: socket.socket) -> None:
    """Leave a socket bound until this process ends: who looks for a free port as we do passes by.

    Who listens by SO_REUSEADDR, as every server does, may have the port all the same, if no other listens. That holds
    on Linux only: elsewhere it would keep out those for whom the port is.
    """
    if sys.platform == "linux":
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.detach()
