"""Share out what came free among those who wait: in their order, all of a wish or nothing, and nothing idle for long.

Units are gathered for whoever is first until there are enough; a smaller wish behind does not overtake. Who could not
be given everything within their patience keeps the place and is given everything once so many are free at the same
time, but holds nothing back from the others any more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Wish:
    """What one who waits wants of each sku, and what lies aside for them already, since when."""

    seq: int
    needs: Mapping[str, int]
    gathered: Mapping[str, int]
    since_ms: int | None
    patience_ms: int

    def is_patient(self, now_ms: int) -> bool:
        """Tell whether units may still be gathered for this wish."""
        return self.since_ms is None or now_ms < self.since_ms + self.patience_ms


@dataclass(frozen=True, slots=True)
class Share:
    """What changes for one wish: it is given whole, or so much lies aside for it now."""

    seq: int
    is_whole: bool
    gathered: Mapping[str, int]
    since_ms: int | None


def shared(wishes: Sequence[Wish], free: Mapping[str, int], now_ms: int) -> tuple[list[Share], dict[str, int]]:
    """Return what changes when `free` units of each sku are shared among `wishes` in their order, and what is left."""
    left, changes = Counter(free), list[Share]()
    for one in wishes:
        if not one.is_patient(now_ms):
            left.update(one.gathered)
    for one in wishes:
        has = one.gathered if one.is_patient(now_ms) else dict.fromkeys(one.needs, 0)
        missing = {sku: need - has[sku] for sku, need in one.needs.items()}
        is_whole = all(left[sku] >= qty for sku, qty in missing.items())
        if not is_whole:
            missing = {sku: min(qty, left[sku]) if one.is_patient(now_ms) else 0 for sku, qty in missing.items()}
        left.subtract(missing)
        share = {sku: has[sku] + qty for sku, qty in missing.items()}
        if is_whole or share != one.gathered:
            since_ms = now_ms if one.since_ms is None else one.since_ms
            changes.append(Share(one.seq, is_whole, share, since_ms))
    return changes, dict(left)
