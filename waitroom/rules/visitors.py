"""Tell who a visitor is by network address, believing only what trusted proxies wrote."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

UNKNOWN = "unknown"
"""The address of a visitor whom no believable address stands for; they all share one."""

HOPS_READ = 32
"""How many entries of X-Forwarded-For are looked at, from the right: a longer chain is an attack."""

LONGEST_ADDRESS = 80
"""The longest text that can still be an address with zone, brackets, quotes and port."""


def client_address(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the address of the visitor: the right-most one that is not a trusted proxy's.

    `forwarded_for` holds the X-Forwarded-For values as they came, one for each header line.
    """
    return forwarded_chain(peer, forwarded_for, trusted)[0]


def forwarded_chain(peer: str, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> tuple[str, ...]:
    """Return the visitor's address, then those of the trusted proxies that passed the request on, nearest last.

    Whatever stands left of the visitor in X-Forwarded-For was written by the visitor, and is left out.
    Where a trusted proxy names nobody we can read, the visitor goes by the address of that proxy.
    """
    nearest = _parsed(peer)
    if nearest is None:
        return (UNKNOWN,)
    chain = [nearest]
    for hop in _from_the_right(forwarded_for):
        if not is_trusted(chain[0], trusted):
            break
        address = _parsed(hop)
        if address is None:
            break
        chain.insert(0, address)
    return tuple(map(str, chain))


def is_trusted(address: str | Address, trusted: Iterable[Network]) -> bool:
    """Tell whether `address` is a proxy whose word about others counts."""
    found = _parsed(address) if isinstance(address, str) else address
    return found is not None and any(found.version == net.version and found in net for net in trusted)


@lru_cache(maxsize=4096)
def address_prefix(address: str) -> str:
    """Return the network that one visitor commands, for limits: /32 of IPv4, /64 of IPv6.

    Source: RFC 6177: a single site has a /64 at least, so counting IPv6 addresses one by one counts nothing.
    """
    found = _parsed(address)
    if found is None:
        return UNKNOWN
    return str(ip_network((found, 32 if found.version == 4 else 64), strict=False))


def wide_prefix(address: str) -> str:
    """Return the network out of which somebody may command many visitors' networks: /24 of IPv4, /48 of IPv6."""
    found = _parsed(address)
    if found is None:
        return UNKNOWN
    return str(ip_network((found, 24 if found.version == 4 else 48), strict=False))


def _from_the_right(values: Sequence[str]) -> Iterator[str]:
    read = 0
    for value in reversed(values):
        for hop in reversed(value.rsplit(",", HOPS_READ)[-HOPS_READ:]):
            if read == HOPS_READ:
                return
            read += 1
            yield hop


def _parsed(text: str) -> Address | None:
    return _read(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(maxsize=4096)
def _read(text: str) -> Address | None:
    """Read `1.2.3.4`, `1.2.3.4:80`, `2001:db8::1`, `[2001:db8::1]:80`, `fe80::1%eth0`; a mapped IPv4 is IPv4."""
    bare = text.strip().strip('"')
    if bare.startswith("["):
        bare, _, port = bare[1:].partition("]")
        if port and not _is_port(port):
            return None
    elif bare.count(":") == 1:
        bare, _, port = bare.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        found = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _is_port(text: str) -> bool:
    return text[:1] == ":" and text[1:].isascii() and text[1:].isdigit() and int(text[1:6]) < 65536 and len(text) <= 6
