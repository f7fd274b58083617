"""The shared status document of a room: the same for everybody who waits, so that one answer serves them all."""

from collections.abc import Mapping
from enum import StrEnum

from waitroom.rules.health import told
from waitroom.rules.rooms import Polling, Snapshot
from waitroom.rules.stock import told as stock_told

_MOVING = frozenset({"server_ms", "lanes", "rate_per_minute", "stock", "health"})


class Difference(StrEnum):
    """How much two pulses of a room differ."""

    NONE = "none"
    CLOCK = "clock"
    """It is later, and that is all."""
    LINE = "line"
    """The line has moved, something was sold, or the upstream bears another rate: so it goes all the time."""
    ROOM = "room"
    """Something that ops or the schedule decide, or the state was lost and put back."""


def difference(before: Mapping[str, object], after: Mapping[str, object]) -> Difference:
    """Return how much the pulse `after` tells that the one `before` did not."""
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if not changed:
        return Difference.NONE
    if changed == {"server_ms"}:
        return Difference.CLOCK
    return Difference.LINE if changed <= _MOVING else Difference.ROOM


def pulse(snapshot: Snapshot, polling: Polling, seed: bytes) -> dict[str, object]:
    """Return the pulse; the seed of the draw is in it only once the draw is over.

    Times in ms since 1970 on Redis's clock; `serving` is null until somebody was called, `spin` until it is known how
    the draw is turned, `stock` where the store behind says nothing of it; `health` is there only while the upstream
    suffers, and `rate_per_minute` is then what that leaves of the rate. `open_until_ms` is there only while ops let
    everybody through, no turn needed; `is_closed` only while they let in nobody, not even who is inside.
    """
    lanes = {
        name: {"serving": lane.serving, "called": lane.called, "waiting": lane.waiting}
        for name, lane in snapshot.lanes.items()
    }
    health = told(snapshot.health)
    is_open_to_all = snapshot.is_open_to_all(snapshot.now_ms) and not snapshot.is_closed
    return {
        "room": snapshot.room,
        "event": snapshot.event,
        "generation": snapshot.generation,
        "phase": snapshot.phase,
        "server_ms": snapshot.now_ms,
        "starts_ms": snapshot.starts_ms,
        "ends_ms": snapshot.ends_ms,
        "lanes": lanes,
        "rate_per_minute": snapshot.effective_rate_per_minute,
        "poll": {"floor_ms": polling.floor_ms, "ceiling_ms": polling.ceiling_ms, "divisor": polling.divisor},
        "commitment": snapshot.commitment,
        "seed": seed.hex() if snapshot.is_drawn else None,
        "spin": snapshot.spin if snapshot.is_spun else None,
        "message": snapshot.message or None,
        "stock": stock_told(snapshot.stock),
        **({} if health is None else {"health": health}),
        **({"open_until_ms": snapshot.open_until_ms} if is_open_to_all else {}),
        **({"is_closed": True} if snapshot.is_closed else {}),
    }


def is_undecided(snapshot: Snapshot, score: float) -> bool:
    """Whether nobody can know the place of `score` yet: before the draw is turned, in it (a secret) or behind it.

    Who stands behind the draw would see their number rise with everybody who still joins it.
    """
    return score >= 0 and snapshot.starts_ms is not None and not (snapshot.is_drawn and snapshot.is_spun)
