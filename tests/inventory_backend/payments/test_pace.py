"""A gateway that asks for fewer calls gets none for a while, whoever they are for, and then a few more each time."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import aiohttp
import pytest

from inventory_backend.payments.pace import Paced
from inventory_backend.payments.payments import Charge, ChargeStatus, Gateway, GatewayBusy, GatewayUnavailable
from inventory_backend.payments.simulated_gateway import SimulatedGateway
from tests.fakes import FakeClock
from tests.till import gateway


@dataclass
class Psp:
    """A real gateway that counts, met at a pace."""

    paced: Gateway
    session: aiohttp.ClientSession
    url: str
    clock: FakeClock
    busy: list[int] = field(default_factory=list)

    async def fail(self, fate: str, times: int = 1, retry_after_s: int = 1) -> None:
        fault = {"fate": fate, "times": times, "retry_after_s": retry_after_s, "on": "search"}
        async with self.session.post(f"{self.url}/control/faults", json=fault) as answer:
            assert answer.status == 204

    async def calls(self) -> int:
        async with self.session.get(f"{self.url}/control/faults") as answer:
            return int((await answer.json())["calls"].get("search", 0))

    async def ask(self, times: int = 1) -> int:
        """Ask so many times at once; return how many went through without a word against it."""
        return [*await asyncio.gather(*(self._asked() for _ in range(times)))].count(True)

    async def _asked(self) -> bool:
        try:
            await self.paced.find("p1")
        except GatewayBusy as fault:
            self.busy.append(fault.wait_s)
            return False
        return True


@pytest.fixture
async def psp(clock: FakeClock) -> AsyncIterator[Psp]:
    async with gateway(clock) as url, aiohttp.ClientSession() as session:
        yield Psp(Paced(SimulatedGateway(session, url, timeout_ms=5000), clock, most=8), session, url, clock)


async def test_nobody_asks_while_it_wants_a_pause(psp: Psp) -> None:
    await psp.fail("too-many-requests", retry_after_s=7)
    assert await psp.ask() == 0

    for _ in range(6):
        assert await psp.ask(20) == 0
        await psp.clock.advance(1)
    assert await psp.calls() == 1
    assert psp.busy[-1] == 2, "who asked is told how long it still lasts"
    await psp.clock.advance(1)

    assert await psp.ask() == 1


async def test_after_a_pause_calls_come_back_slowly(psp: Psp) -> None:
    assert await psp.ask(8) == 8
    await psp.fail("too-many-requests", times=8)
    assert await psp.ask(8) == 0, "calls under way together are one sign, not eight"

    await psp.clock.advance(1)
    assert await psp.ask(20) == 4
    assert await psp.ask(20) == 8
    assert await psp.ask(20) == 8


async def test_it_is_asked_less_and_less_often_while_it_stays_busy(psp: Psp) -> None:
    await psp.fail("too-many-requests", times=1000, retry_after_s=0)
    for _ in range(120):
        await psp.ask(5)
        await psp.clock.advance(1)

    assert 6 <= await psp.calls() <= 20


async def test_another_fault_is_no_reason_to_wait(psp: Psp) -> None:
    await psp.fail("failed")

    with pytest.raises(GatewayUnavailable):
        await psp.ask()
    assert await psp.ask() == 1


async def test_the_pages_of_a_list_keep_the_pace_too(psp: Psp) -> None:
    await psp.fail("too-many-requests")
    await psp.ask()

    with pytest.raises(GatewayBusy):
        [one async for one in psp.paced.listed(0)]
    await psp.clock.advance(1)
    assert [one async for one in psp.paced.listed(0)] == []


async def test_every_call_goes_through_as_it_is(psp: Psp, clock: FakeClock) -> None:
    from tests.inventory_backend.payments.test_payments import intent

    made = await psp.paced.authorise(intent(), key="k")
    assert made.ref is not None
    assert await psp.paced.retrieve(made.ref) == made
    assert await psp.paced.find("p1") == made
    assert (await psp.paced.look(made.ref)).ref == made.ref
    assert await psp.paced.capture(made.ref, key="c") == Charge(made.ref, ChargeStatus.CAPTURED)
    assert (await psp.paced.cancel(made.ref)).status is ChargeStatus.CAPTURED
    await psp.paced.refund(made.ref, key="rf")
    assert [one.refunded async for one in psp.paced.listed(0)] == [12900]
