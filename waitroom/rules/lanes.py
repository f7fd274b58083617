"""The lanes of a room: what share of admissions each has, and how long its people wait for it."""

from collections.abc import Mapping
from dataclasses import dataclass

MAIN = "main"
"""The lane that every room has."""
PRIORITY = "priority"
"""The lane of those who were invited; it has a weight of its own."""
SLOW = "slow"
"""The lane of those who did no work: they pay in waiting time, and together they get a capped share."""
LANES = (MAIN, PRIORITY, SLOW)
"""In the order of their keys in every script."""


@dataclass(frozen=True, slots=True)
class LaneTerms:
    """How a room shares its admissions: main and slow together weigh 1.

    `slow_share` is the most that lane slow gets while anybody else could be called.
    """

    priority_weight: float = 3.0
    slow_share: float = 0.1


USUAL_TERMS = LaneTerms()


def shares(waiting: Mapping[str, int], terms: LaneTerms) -> dict[str, float]:
    """Return the share of each lane in which somebody waits, together 1; the same as lua/shared/shares.lua.

    Who stands in slow is served as if they stood in main, and never more than the cap: it is no way to be faster.
    """
    crowd = waiting.get(MAIN, 0) + waiting.get(SLOW, 0)
    weights = {
        lane: terms.priority_weight if lane == PRIORITY else people / crowd
        for lane, people in waiting.items()
        if people
    }
    found = {lane: weight / sum(weights.values()) for lane, weight in weights.items()}
    rest = sum(share for lane, share in found.items() if lane != SLOW)
    if rest > 0 and found.get(SLOW, 0) > terms.slow_share:
        scale = (1 - terms.slow_share) / rest
        found = {lane: terms.slow_share if lane == SLOW else share * scale for lane, share in found.items()}
    return found


def admitted_before(lane: str, ahead: int, waiting: Mapping[str, int], terms: LaneTerms) -> int:
    """Return how many of all lanes come in before somebody in `lane` who has `ahead` before them there.

    As the line is now: the lanes run dry one after the other, and each time the others share what that one had.
    """
    left: dict[str, float] = {name: people for name, people in waiting.items() if people}
    left[lane] = max(left.get(lane, 0), ahead + 1)
    wanted, count = float(ahead), 0.0
    while wanted > 0 and len(left) > 1:
        part = shares({name: max(1, round(people)) for name, people in left.items()}, terms)
        ends = {name: (wanted if name == lane else people) / part[name] for name, people in left.items()}
        first = min(ends, key=ends.__getitem__)
        count += ends[first]
        if first == lane:
            return round(count)
        wanted -= ends[first] * part[lane]
        left = {name: people - ends[first] * part[name] for name, people in left.items() if name != first}
    return round(count + max(0.0, wanted))
