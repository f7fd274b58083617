"""Options of a connection, as the kernel of this machine has them."""

import asyncio
import socket

from waitroom.kernel.sockets import keep_little


async def test_the_kernel_keeps_little_and_gives_up_on_who_has_vanished() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        _, writer = await asyncio.open_connection(*listening.getsockname())
        keep_little(writer.transport, 7.5)
        kept = writer.get_extra_info("socket")
        sizes = kept.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        waits_ms = kept.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        writer.close()
        await writer.wait_closed()

    assert (sizes, waits_ms) == (32_768, 7_500)
