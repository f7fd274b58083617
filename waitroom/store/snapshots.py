"""Read the reply of a tick."""

from collections.abc import Sequence
from typing import Any

from waitroom.rules.beacons import source_from
from waitroom.rules.health import Circuit, Health
from waitroom.rules.proofs import Roster
from waitroom.rules.rooms import LaneState, Phase, Schedule, Snapshot
from waitroom.rules.stock import Stock


def snapshot_of(room: str, schedule: Schedule, reply: Sequence[Any]) -> Snapshot:
    """Return what `rooms/tick` replied about `room`, without the memory at its end."""
    (_, generation, phase, now_ms, lanes, inside, outstanding, *rest) = reply
    admitted, lapsed, rate, cap, message, revision, committed, spin, in_force, *rest = rest
    ratio, circuit, since_ms, source, root, count, closed, open_until_ms, revoked_before_ms, show_up, stock = rest
    return Snapshot(
        room=room,
        event=schedule.event,
        generation=generation,
        phase=Phase(phase),
        now_ms=now_ms,
        prequeue_ms=schedule.prequeue_ms,
        starts_ms=schedule.starts_ms,
        ends_ms=schedule.ends_ms,
        lanes={name: _lane(*seen) for name, *seen in lanes},
        rate_per_minute=float(rate),
        total_active_users=cap,
        sessions=inside,
        outstanding=outstanding,
        admitted=admitted,
        lapsed=lapsed,
        message=message,
        revision=revision,
        commitment=committed,
        spin=float(spin),
        spin_source=source_from(source),
        roster=Roster(count, root) if root else None,
        health=Health(float(ratio), Circuit(circuit), since_ms, float(in_force)),
        is_closed=closed == "1",
        open_until_ms=open_until_ms,
        revoked_before_ms=revoked_before_ms,
        show_up_ratio=float(show_up),
        stock=Stock(*stock) if stock else None,
    )


def _lane(serving: str, called: int, waiting: int) -> LaneState:
    return LaneState(None if serving == "-inf" else float(serving), called, waiting)
