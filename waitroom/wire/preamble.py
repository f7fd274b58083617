"""Read the PROXY protocol: the line or block with which a balancer says whom a connection is from.

Source: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

import re
from collections.abc import Awaitable, Callable
from ipaddress import IPv4Address, IPv6Address, ip_address

Read = Callable[[int], Awaitable[bytes]]
"""Gives up to so many bytes, b"" at the end; never more, because what follows belongs to TLS or HTTP."""

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_LONGEST_LINE = 107
_LONGEST_BLOCK = 4096
"""Addresses take 36 bytes; the rest is what a balancer adds about TLS and itself, and is not read."""
_LINE = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?|TCP([46]) ([0-9A-Fa-f.:]{2,39}) [0-9A-Fa-f.:]{2,39} \d{1,5} \d{1,5})\r\n"
)
_LOCAL, _PROXY = 0x20, 0x21
_SOURCES = {0x11: 4, 0x21: 16}
"""TCP over IPv4, TCP over IPv6: how many bytes the source has; twice that and two ports make the block."""


class BadPreamble(Exception):  # an event: the connection is closed
    """This is no PROXY header, or not one for a TCP connection."""


async def announced(read: Read) -> str | None:
    """Return the address that the header names, None where the balancer speaks for itself; read not a byte more.

    Raises:
        BadPreamble: no valid header stands at the beginning.
    """
    start = await _exactly(read, len(_SIGNATURE))
    if start == _SIGNATURE:
        return await _block(read)
    if not start.startswith(b"PROXY "):
        raise BadPreamble("none")
    return await _line(read, start)


async def _line(read: Read, start: bytes) -> str | None:
    """Read version 1, byte by byte: nothing but its end says how long it is."""
    line = bytearray(start)
    while not line.endswith(b"\n"):
        if len(line) >= _LONGEST_LINE:
            raise BadPreamble("too long")
        line += await _exactly(read, 1)
    found = _LINE.fullmatch(line)
    if found is None:
        raise BadPreamble("malformed")
    if found[1] is None:
        return None
    try:
        address = ip_address(found[2].decode("ascii"))
    except ValueError:
        raise BadPreamble("no address") from None
    if address.version != int(found[1]):
        raise BadPreamble("an address of the other kind")
    return str(address)


async def _block(read: Read) -> str | None:
    command, kind, high, low = await _exactly(read, 4)
    length = high << 8 | low
    if length > _LONGEST_BLOCK or command not in {_LOCAL, _PROXY}:
        raise BadPreamble("malformed")
    block = await _exactly(read, length)
    if command == _LOCAL or kind == 0:
        return None
    size = _SOURCES.get(kind)
    if size is None or length < 2 * size + 4:
        raise BadPreamble("not TCP")
    return str(IPv4Address(block[:4]) if size == 4 else IPv6Address(block[:16]))


async def _exactly(read: Read, count: int) -> bytes:
    found = b""
    while len(found) < count:
        piece = await read(count - len(found))
        if not piece:
            raise BadPreamble("cut off")
        found += piece
    return found
