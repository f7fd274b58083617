"""What a solution is worth, before Redis is asked."""

import pytest

from tests.edges import Store, front
from tests.waitroom.gate.test_queueing import fault_of
from waitroom.gate import counters
from waitroom.gate.joining import Joining, Solution
from waitroom.kernel.errors import BadToken, Refused
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.challenges import solve


def counted(name: str, *labels: str) -> float:
    """Return how often something was counted since the process began."""
    counter = getattr(counters, name).labels(*labels)
    return float(counter._value.get())


def joining_of(edge: object) -> Joining:
    found = edge._joining  # type: ignore[attr-defined]  # the part under test, taken out of the whole
    assert isinstance(found, Joining)
    return found


async def test_one_solution_earns_one_ticket_however_often(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        joining = joining_of(shop.edge)
        challenge = str(joining.posed("drop", "203.0.113.9")["challenge"])
        earned = [
            joining.earned("drop", Solution(challenge=challenge, solution=solve(challenge, first_nonce=first)))
            for first in (0, 0, 10_000)
        ]

    assert len(set(earned)) == 1
    assert earned[0].score is None


async def test_who_solves_nothing_earns_nothing_and_is_counted_once_poured(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with front(redis, keys, store, opens_in_s=60) as shop:
        joining = joining_of(shop.edge)
        challenge = str(joining.posed("drop", "203.0.113.9")["challenge"])
        before = counted("CHALLENGES_REFUSED", "drop", "work"), counted("CHALLENGES_POSED", "drop")
        for sent, kind in fault_of(challenge, solve(challenge)):
            with pytest.raises((Refused, BadToken)) as told:
                joining.earned("drop", Solution(**sent))
            assert told.value.kind == kind
        await shop.edge.pour()

        assert counted("CHALLENGES_REFUSED", "drop", "work") == before[0] + 1
        assert counted("CHALLENGES_POSED", "drop") == before[1] + 1
