"""The PROXY protocol, both versions: exactly as many bytes are read as belong to it."""

import socket
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waitroom.wire.preamble import BadPreamble, announced

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"


def block(source: str, *, command: int = 0x21, kind: int | None = None, more: bytes = b"") -> bytes:
    """Return a header of version 2."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    both = socket.inet_pton(family, source) * 2 + struct.pack("!HH", 40000, 443)
    told = kind if kind is not None else (0x21 if family == socket.AF_INET6 else 0x11)
    return SIGNATURE + bytes([command, told]) + struct.pack("!H", len(both + more)) + both + more


class Wire:
    """Bytes that come in pieces of at most so many."""

    def __init__(self, data: bytes, most: int = 1000) -> None:
        self.data = data
        self.most = most

    async def read(self, count: int) -> bytes:
        piece, self.data = self.data[: min(count, self.most)], self.data[min(count, self.most) :]
        return piece


@pytest.mark.parametrize("most", [1, 7, 1000])
@pytest.mark.parametrize(
    ("header", "address"),
    [
        (b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\r\n", "203.0.113.7"),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 40000 443\r\n", "2001:db8::7"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff:f::1 whatever 1 2\r\n", None),
        (block("203.0.113.7"), "203.0.113.7"),
        (block("2001:db8::7"), "2001:db8::7"),
        (block("203.0.113.7", more=b"\x03\x00\x04abcd" * 30), "203.0.113.7"),
        (block("203.0.113.7", command=0x20), None),
        (block("203.0.113.7", kind=0), None),
    ],
)
async def test_the_address_is_read_and_what_follows_is_left(header: bytes, address: str | None, most: int) -> None:
    wire = Wire(header + b"GET / HTTP/1.1\r\n", most)

    assert await announced(wire.read) == address
    assert wire.data == b"GET / HTTP/1.1\r\n"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443",
        b"PROXY TCP4 203.0.113.7 192.0.2.1 40000 443\n",
        b"PROXY TCP4 2001:db8::7 2001:db8::1 40000 443\r\n",
        b"PROXY TCP6 203.0.113.7 192.0.2.1 40000 443\r\n",
        b"PROXY TCP4 203.0.113.777 192.0.2.1 40000 443\r\n",
        b"PROXY TCP4 203.0.113.7\r\n",
        b"PROXY UDP4 203.0.113.7 192.0.2.1 40000 443\r\n",
        b"PROXY TCP4  203.0.113.7 192.0.2.1 40000 443\r\n",
        b"proxy TCP4 203.0.113.7 192.0.2.1 40000 443\r\n",
        b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
        SIGNATURE,
        block("203.0.113.7")[:-1],
        block("203.0.113.7", command=0x11),
        block("203.0.113.7", command=0x22),
        block("203.0.113.7", kind=0x12),
        block("203.0.113.7", kind=0x21),
        block("203.0.113.7", kind=0x31),
        SIGNATURE + b"\x21\x11\xff\xff" + b"\0" * 65535,
    ],
)
async def test_what_is_no_header_is_refused(header: bytes) -> None:
    with pytest.raises(BadPreamble):
        await announced(Wire(header).read)


@given(
    st.one_of(
        st.binary(max_size=300), st.binary(max_size=300).map(SIGNATURE.__add__), st.binary().map(b"PROXY ".__add__)
    )
)
async def test_no_bytes_do_anything_else(data: bytes) -> None:
    with suppress(BadPreamble):
        await announced(Wire(data).read)
