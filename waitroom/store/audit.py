"""Every change that ops made: who, when, what, why, and what was before."""

from dataclasses import dataclass
from typing import Any

from waitroom.kernel.redis import ScriptRunner, answering
from waitroom.store.keys import RoomKeys


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One change by ops; `at_ms` on Redis's clock."""

    at_ms: int
    who: str
    what: str
    value: str
    before: str
    why: str


class Audit:
    """The audit streams of all rooms."""

    def __init__(self, runner: ScriptRunner) -> None:
        """Read through `runner`; `rooms/control` writes."""
        self._runner = runner

    async def read(self, room: str, count: int = 50) -> list[AuditEntry]:
        """Return the last `count` changes of `room`, newest first."""
        with answering("audit"):
            entries: Any = await self._runner.client.xrevrange(RoomKeys(room, "").audit, count=count)
        return [AuditEntry(int(e["at_ms"]), e["who"], e["what"], e["value"], e["before"], e["why"]) for _, e in entries]
