"""Look at ports before processes share them."""

import errno
import socket

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.units import Address

_WHY = {
    errno.EADDRINUSE: "is taken by another program; stop that one, or choose another port",
    errno.EACCES: "needs more rights than this user has; choose a port above 1023",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
}


def check_free(address: Address, *, setting: str) -> None:
    """Refuse an address that somebody listens on.

    Our workers share their port (SO_REUSEPORT), so the kernel would give them a part of somebody else's port in
    silence, if that is a program of ours too. A bind without the option tells.

    Raises:
        ConfigFault: it is taken, or cannot be taken by us.
    """
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, where in dict.fromkeys(found):
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # old connections that linger do no harm
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(where)
                probe.listen(1)
    except socket.gaierror as fault:
        raise ConfigFault([f"{setting}: {address.host} is no address: {fault.strerror}"]) from fault
    except OSError as fault:
        why = _WHY.get(fault.errno or 0, f"cannot be used: {fault.strerror}")
        raise ConfigFault([f"{setting}: {address} {why}"]) from fault


def free_loopback() -> Address:
    """Return a loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return Address("127.0.0.1", probe.getsockname()[1])
