"""The system's clock tells the system's time."""

import asyncio
import time

from waitroom.kernel.clock import Clock, SystemClock


def test_now_is_milliseconds_since_1970() -> None:
    clock: Clock = SystemClock()
    before_ms = int(time.time() * 1000)

    assert before_ms - 1 <= clock.now_ms() <= int(time.time() * 1000) + 1


def test_ticks_never_run_back() -> None:
    clock = SystemClock()
    ticks = [clock.tick_s() for _ in range(1000)]

    assert ticks == sorted(ticks)


async def test_a_sleep_lasts_and_can_be_cancelled() -> None:
    clock = SystemClock()
    start_s = clock.tick_s()
    await clock.sleep(0.01)
    slept_s = clock.tick_s() - start_s
    async with asyncio.TaskGroup() as group:
        endless = group.create_task(clock.sleep(3600))
        await asyncio.sleep(0)
        endless.cancel()

    assert 0.009 <= slept_s < 1
    assert endless.cancelled()
