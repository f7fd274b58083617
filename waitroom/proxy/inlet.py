"""Read from a socket in pieces of one size, whatever the event loop would take at once."""

import asyncio

PIECE_BYTES = 32_768
"""uvloop takes 256 KiB at once, three times over for each slow peer: in a reader, in a hand, in a writer."""


class Inlet(asyncio.BufferedProtocol):
    """Stands between a socket and its protocol; all of one event loop share a buffer, for each read is copied out."""

    def __init__(self, protocol: asyncio.Protocol, buffer: bytearray) -> None:
        """Hand everything on to `protocol`, through `buffer`."""
        self.protocol = protocol
        self._buffer = buffer
        self.pause_writing = protocol.pause_writing  # type: ignore[method-assign]  # straight through
        self.resume_writing = protocol.resume_writing  # type: ignore[method-assign]  # straight through
        self.eof_received = protocol.eof_received  # type: ignore[method-assign]  # straight through
        self.connection_lost = protocol.connection_lost  # type: ignore[method-assign]  # straight through
        self.connection_made = protocol.connection_made  # type: ignore[method-assign]  # straight through

    def get_buffer(self, sizehint: int) -> bytearray:
        """Return where the next read goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what was read."""
        self.protocol.data_received(bytes(memoryview(self._buffer)[:nbytes]))
