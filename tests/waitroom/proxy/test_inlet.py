"""A socket is read in small pieces, and its protocol notices nothing else."""

import asyncio
from collections.abc import Callable

import pytest
import uvloop

from waitroom.proxy.inlet import PIECE_BYTES, Inlet

SENT = bytes(range(256)) * 4096


class Keeper(asyncio.Protocol):
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.told: list[str] = []
        self.is_over = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def eof_received(self) -> None:
        self.told.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.is_over.set()


async def received() -> Keeper:
    keeper, loop = Keeper(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Inlet(keeper, bytearray(PIECE_BYTES)), "127.0.0.1", 0)
    _, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    writer.write(SENT)
    writer.close()
    async with asyncio.timeout(60):
        await keeper.is_over.wait()
    server.close()
    return keeper


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_no_piece_is_larger_than_the_buffer_and_all_arrive(loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    with asyncio.Runner(loop_factory=loop) as runner:
        keeper = runner.run(received())

    assert b"".join(keeper.pieces) == SENT
    assert max(map(len, keeper.pieces)) <= PIECE_BYTES
    assert keeper.told == ["made", "eof", "lost"]
