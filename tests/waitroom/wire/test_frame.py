"""What front doors share, and what is not shared."""

from tests.doors import GET, doors
from tests.fakes import FakeClock
from waitroom.wire.connections import Bounds
from waitroom.wire.frame import Frame


async def test_without_a_prompt_everything_is_asked_of_aiohttp() -> None:
    async with doors() as found:
        client = await found.open(GET * 2)

        assert [(await client.answer()).split(b"\r\n\r\n")[1] for _ in range(2)] == [b"hello 127.0.0.1"] * 2


async def test_each_listener_reads_into_a_buffer_of_its_own() -> None:
    async with doors() as found:
        first, second = (Frame(found.listener, Bounds(), FakeClock()) for _ in range(2))

        assert first.buffer is not second.buffer
