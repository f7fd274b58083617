"""The gateway fails as it was told to, and counts how often it was asked."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from tests.fakes import FakeClock
from tests.inventory_backend.payments.test_simulated_server import FORM, Client
from tests.till import gateway

PATH = "/v1/payment_intents"


class Control(Client):
    """Also tells the gateway what shall go wrong."""

    async def fail(self, **fault: object) -> int:
        async with self.session.post(f"{self.url}/control/faults", json=fault) as answer:
            return answer.status

    async def shown(self) -> dict[str, object]:
        return (await self.get("/control/faults"))[1]


@pytest.fixture
async def psp(clock: FakeClock) -> AsyncIterator[Control]:
    async with gateway(clock) as url, aiohttp.ClientSession() as session:
        yield Control(session, url)


async def test_too_many_requests_come_before_everything_and_only_so_often(psp: Control) -> None:
    await psp.fail(fate="too-many-requests", on="create", times=2, retry_after_s=9)

    for _ in range(2):
        async with psp.session.post(psp.url + PATH, data=FORM, headers={"Idempotency-Key": "k"}) as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "9")
            assert (await answer.json())["error"]["code"] == "rate_limit"
    assert (await psp.post(PATH, FORM, "k"))[0] == 200
    assert await psp.shown() == {"calls": {"create": 3}, "coming": []}


async def test_a_fault_is_for_what_it_names(psp: Control) -> None:
    await psp.fail(fate="failed", on="capture")
    made = await psp.create()

    assert (await psp.post(f"{PATH}/{made['id']}/capture", {}))[0] == 500
    assert (await psp.get(f"{PATH}/{made['id']}"))[1]["status"] == "requires_capture"
    assert (await psp.post(f"{PATH}/{made['id']}/capture", {}))[0] == 200


async def test_a_failure_that_its_key_keeps_is_told_for_a_day(psp: Control, clock: FakeClock) -> None:
    await psp.fail(fate="failed-kept", on="create")

    assert [(await psp.post(PATH, FORM, "k"))[0] for _ in range(2)] == [500, 500]
    assert (await psp.get(PATH))[1]["data"] == []
    await clock.advance(24 * 3600 + 1)
    assert (await psp.post(PATH, FORM, "k"))[0] == 200


@pytest.mark.parametrize(("fate", "made"), [("lost-before", 0), ("lost-after", 1)])
async def test_a_line_goes_dead_before_the_effect_or_after_it(psp: Control, fate: str, made: int) -> None:
    await psp.fail(fate=fate, on="create")

    with pytest.raises(aiohttp.ClientError):
        await psp.post(PATH, FORM, "k")
    assert len((await psp.get(PATH))[1]["data"]) == made
    assert (await psp.post(PATH, FORM, "k"))[2] is bool(made), "the answer was kept if it was done"


async def test_faults_to_come_are_shown_and_forgotten(psp: Control) -> None:
    await psp.fail(fate="failed", times=5)
    shown = {"on": "any", "fate": "failed", "times": 5, "retry_after_s": 1, "silent_ms": 0}
    assert (await psp.shown())["coming"] == [shown]

    async with psp.session.delete(f"{psp.url}/control/faults") as answer:
        assert answer.status == 204

    assert (await psp.create())["status"] == "requires_capture"


@pytest.mark.parametrize("bad", [{}, {"fate": "teapot"}, {"fate": "failed", "times": 0}, {"fate": "failed", "on": "x"}])
async def test_an_odd_fault_is_refused(psp: Control, bad: dict[str, object]) -> None:
    assert await psp.fail(**bad) == 422
