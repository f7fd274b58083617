"""The crowd comes in time, and its lighter challenges stand for the same tickets."""

import pytest

from waitroom.cli.crowd import arrival_s, lightened, solver
from waitroom.kernel.tokens import Keys
from waitroom.rules import challenges
from waitroom.rules.challenges import ChallengeKeys, Terms
from waitroom.rules.posing import challenge_keys

NOW_MS = 1_700_000_000_000


def posed(keys: ChallengeKeys) -> str:
    return challenges.pose(
        keys, event="opening", client_tag=bytes(8), terms=Terms(), now_ms=NOW_MS, challenge_id=bytes(16)
    )


def test_a_lightened_challenge_is_the_same_ticket_for_less_work(keys: Keys) -> None:
    heavy = posed(challenge_keys(keys))

    light, solution = solver(challenge_keys(keys), "opening")(heavy)

    earned = challenges.verify(challenge_keys(keys), event="opening", challenge=light, solution=solution, now_ms=NOW_MS)
    assert earned == challenges.ticket_id(challenge_keys(keys), challenges.read(heavy))
    assert challenges.read(light).difficulty == challenges.MIN_DIFFICULTY


def test_nobody_without_the_secret_can_lighten(keys: Keys) -> None:
    foreign = ChallengeKeys.from_secrets([bytes(32)], [bytes(32)])
    light = lightened(posed(challenge_keys(keys)), foreign, "opening")

    with pytest.raises(challenges.RefusedChallenge, match="mac"):
        challenges.authentic(challenge_keys(keys), event="opening", challenge=light, now_ms=NOW_MS)


def test_most_come_before_the_opening_and_some_after_it() -> None:
    times = [arrival_s(number / 100, 20) for number in range(100)]

    assert times == sorted(times)
    assert sum(time < 20 for time in times) == 80
    assert 60 < times[-1] < 70
