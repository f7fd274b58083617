"""What arrives together is done together."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from inventory_backend.ledger.groups import Groups, Waiting, in_order, in_pieces
from tests.fakes import FakeClock
from waitroom.kernel.errors import StoreUnavailable


class Carrier:
    """Carries groups, and remembers how large they were."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.fault: BaseException | None = None

    async def __call__(self, group: Sequence[Waiting]) -> Sequence[Any]:
        self.sizes.append(len(group))
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault
        return [waiting.item if waiting.item >= 0 else ValueError(waiting.item) for waiting in group]


def work(_connection: object, items: Sequence[int]) -> list[int | Exception]:
    return list(items)


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


async def test_each_gets_the_own_answer(carrier: Carrier, clock: FakeClock) -> None:
    groups = Groups(carrier, most=50, delay_ms=0, clock=clock)

    answers = await asyncio.gather(*(groups.join(work, n) for n in range(120)))

    assert answers == list(range(120))
    assert max(carrier.sizes) == 50
    assert len(carrier.sizes) <= 4


async def test_a_fault_in_an_answer_is_for_its_own_caller_only(carrier: Carrier, clock: FakeClock) -> None:
    groups = Groups(carrier, most=50, delay_ms=0, clock=clock)

    answers = await asyncio.gather(*(groups.join(work, n) for n in (1, -7, 2)), return_exceptions=True)

    assert [answers[0], answers[2]] == [1, 2]
    assert isinstance(answers[1], ValueError)


async def test_a_group_that_fails_promises_nothing_to_anybody(carrier: Carrier, clock: FakeClock) -> None:
    groups = Groups(carrier, most=50, delay_ms=0, clock=clock)
    carrier.fault = StoreUnavailable("gone")

    answers = await asyncio.gather(*(groups.join(work, n) for n in (1, 2)), return_exceptions=True)

    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    carrier.fault = None
    assert await groups.join(work, 3) == 3


async def test_a_bug_leaves_nobody_waiting(
    carrier: Carrier, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    groups = Groups(carrier, most=1, delay_ms=0, clock=clock)
    carrier.fault = KeyError("a bug")

    answers = await asyncio.gather(*(groups.join(work, n) for n in (1, 2)), return_exceptions=True)

    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert "errand failed" in caplog.text


async def test_a_lone_caller_never_waits_for_company(carrier: Carrier, clock: FakeClock) -> None:
    groups = Groups(carrier, most=50, delay_ms=5, clock=clock)

    for n in range(3):
        assert await groups.join(work, n) == n


async def test_a_crowd_waits_a_moment_for_the_next_group(carrier: Carrier, clock: FakeClock) -> None:
    groups = Groups(carrier, most=50, delay_ms=5, clock=clock)
    first = asyncio.gather(*(groups.join(work, n) for n in range(20)))
    await first

    late = asyncio.gather(*(groups.join(work, n) for n in range(3)))
    await clock.advance(0.004)
    assert not late.done()
    await clock.advance(0.001)

    assert await late == [0, 1, 2]


async def test_closing_finishes_what_waits(carrier: Carrier, clock: FakeClock) -> None:
    groups = Groups(carrier, most=1, delay_ms=0, clock=clock)
    waiting = asyncio.gather(*(groups.join(work, n) for n in range(5)))
    await asyncio.sleep(0)

    await groups.close(1)

    assert await waiting == [0, 1, 2, 3, 4]


async def test_a_group_falls_into_pieces_by_their_work() -> None:
    def other(_connection: object, items: Sequence[int]) -> list[int | Exception]:
        return list(items)

    answers = asyncio.get_running_loop().create_future
    group = [Waiting(which, n, answers()) for n, which in enumerate((work, other, work, other, other))]

    assert in_pieces(group, other) == [[0, 2], [1], [3], [4]]
    assert in_pieces(group) == [[0, 2], [1, 3, 4]]
    assert in_order([[0, 2], [1, 3, 4]], ["ac", "bde"]) == list("abcde")


def test_an_answer_too_few_or_too_many_is_nobodys() -> None:
    for answers in (["a"], ["a", "b", "c"], ["ab", "c"]):
        with pytest.raises(ValueError, match="zip"):
            in_order([[0], [1]], answers)
