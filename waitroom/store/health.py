"""Tell Redis how an upstream does, and hear what all workers together make of it."""

import secrets
from dataclasses import dataclass

from waitroom.kernel.redis import ScriptRunner
from waitroom.rules.health import Circuit, Health, Probe, Sample
from waitroom.rules.rooms import RoomRules
from waitroom.store.keys import RoomKeys


@dataclass(frozen=True, slots=True)
class Heard:
    """The state after a report; `may_probe`: this worker may send one request while the circuit is open.

    None as health: Redis knows nothing of the room until its next tick.
    """

    health: Health | None
    may_probe: bool


class HealthReports:
    """What this worker reports of its upstreams."""

    def __init__(self, runner: ScriptRunner) -> None:
        """Speak through `runner`, under a name of its own."""
        self._runner = runner
        self._worker = secrets.token_hex(6)
        self._serial = 0

    async def report(
        self, rules: RoomRules, event: str, sample: Sample, probe: Probe | None, *, now_ms: int = 0
    ) -> Heard:
        """Report what was seen since the last report, and what came of a probe."""
        health, keys = rules.health, RoomKeys(rules.name, event)
        assert health is not None, "only rooms with health feedback are watched"
        self._serial += 1
        reply = await self._runner.run(
            "rooms/health",
            keys=[keys.room, keys.health, keys.audit, *keys.of_lanes("line", "calls")],
            args=[
                now_ms,
                self._worker,
                self._serial,
                sample.requests,
                sample.slow,
                sample.failed,
                probe or "",
                repr(health.rate_floor_per_minute),
                health.window_ms,
                health.min_requests,
                repr(health.distress_ratio),
                repr(health.circuit_failure_ratio),
                health.recovery_ms,
                health.probe_interval_ms,
                rules.claim_window_ms,
            ],
        )
        if reply[0] == "unloaded":
            return Heard(None, may_probe=False)
        return Heard(Health(float(reply[1]), Circuit(reply[2]), reply[3]), may_probe=bool(reply[4]))
