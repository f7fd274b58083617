"""A room at one instant, for tests of the rules."""

from waitroom.rules.beacons import BeaconKind, SpinSource
from waitroom.rules.lanes import MAIN
from waitroom.rules.rooms import LaneState, Phase, Snapshot


def snapshot(*, rate_per_minute: float = 600.0, phase: Phase = Phase.OPEN, waiting: int = 0) -> Snapshot:
    return Snapshot(
        room="drop",
        event="opening",
        generation="g",
        phase=phase,
        now_ms=10_000,
        prequeue_ms=0,
        starts_ms=5_000,
        ends_ms=None,
        lanes={MAIN: LaneState(None, 0, waiting)},
        rate_per_minute=rate_per_minute,
        total_active_users=500,
        sessions=0,
        outstanding=0,
        admitted=0,
        lapsed=0,
        message="",
        revision=0,
        commitment="c",
        spin=0.0,
        spin_source=SpinSource(BeaconKind.NONE),
    )
