"""What the kernel is asked to do about one connection on which much is written, and seldom anything read."""

import asyncio
import socket

_WAITING_BYTES = 16_384


def keep_little(transport: asyncio.BaseTransport, limit_s: float) -> None:
    """Let the kernel keep little for who does not take it, and find out within `limit_s` who has gone without a word.

    Source: socket(7), SO_SNDBUF, of which it takes twice what is asked; tcp(7), TCP_USER_TIMEOUT.
    """
    kept = transport.get_extra_info("socket")
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WAITING_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux has it
        kept.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(limit_s * 1000))
