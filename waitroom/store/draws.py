"""The draw of an event: its spin, its roster, who was called when."""

from collections.abc import Awaitable
from enum import StrEnum
from typing import Any

from waitroom.kernel.errors import Refused
from waitroom.kernel.redis import ScriptRunner, answering
from waitroom.rules.beacons import BeaconKind, SpinSource, manual, source_from, source_text
from waitroom.rules.proofs import Admission, Roster
from waitroom.rules.rooms import RoomRules
from waitroom.rules.scores import draw_score
from waitroom.store.keys import RoomKeys

_PAGE = 2_000
"""How many entries come in one answer: Redis serves nobody else for a millisecond, and our loop for two."""
LEASE_MS = 30_000
"""How long a worker may take over a roster before another one tries."""


class NoSpin(StrEnum):
    """Why a spin turns nothing; the words are those of `spin`."""

    EARLY = "early"
    LATE = "late"


class NoRoster(StrEnum):
    """What a worker does while there is no root of the roster; the words are those of `freeze`."""

    YOURS = "yours"
    BUSY = "busy"
    EARLY = "early"
    LOST = "lost"


class Draws:
    """The draws of all rooms, in Redis."""

    def __init__(self, runner: ScriptRunner, worker: str) -> None:
        """Speak through `runner`, as `worker`."""
        self._runner = runner
        self._worker = worker

    async def spin(
        self, room: str, event: str, source: SpinSource, *, who: str, value: str, why: str
    ) -> SpinSource | NoSpin:
        """Turn the draw, unless that is done; return what turns it, which may be what somebody else brought."""
        keys = RoomKeys(room, event)
        reply = await self._runner.run(
            "draws/spin",
            keys=[keys.line, keys.audit],
            args=[0, repr(source.spin), source_text(source), who, value, why],
        )
        return source_from(reply[2]) or source if reply[0] == "spun" else NoSpin(reply[0])

    async def freeze(self, room: str, event: str, starts_ms: int, roster: Roster | None = None) -> Roster | NoRoster:
        """Keep `roster`, unless one is kept; without one ask whose turn it is to work it out."""
        root, count = (roster.merkle_root, roster.count) if roster else ("", 0)
        reply = await self._runner.run(
            "draws/freeze",
            keys=[RoomKeys(room, event).line],
            args=[0, starts_ms, self._worker, root, count, LEASE_MS],
        )
        return Roster(reply[2], reply[1]) if reply[0] == "frozen" else NoRoster(reply[0])

    async def tickets(self, room: str, event: str, seed: bytes) -> dict[str, float]:
        """Return who was in the draw at the opening, with their scores; read page by page, beside the running line.

        The strays are read last: whoever leaves while the pages are read is found there, and who came after the
        opening is known.
        """
        keys = RoomKeys(room, event)
        scores: dict[str, float] = {}
        after = "0"
        while True:
            page = await self._drawn_from(keys.queue, after)
            scores |= dict(page)
            if len(page) < _PAGE:
                break
            last = f"{page[-1][1]:.17g}"
            after = f"({last}" if last == after else last
        for ticket_id, was_in in await self._strays(keys.strays):
            if was_in:
                scores[ticket_id] = draw_score(seed, ticket_id)
            else:
                scores.pop(ticket_id, None)
        return scores

    async def everybody(self, room: str, event: str, seed: bytes) -> dict[str, float]:
        """Return all in the draw as it is now: the same people, where Redis was lost and all have come back."""
        keys = RoomKeys(room, event)
        return await self.tickets(room, event, seed) | {
            ticket_id: draw_score(seed, ticket_id) for ticket_id, _ in await self._strays(keys.strays)
        }

    async def admissions(self, room: str, event: str, after: str) -> tuple[list[Admission], str]:
        """Return the next moves of the threshold after the entry `after` ("0": from the beginning), and the last."""
        log = RoomKeys(room, event).log
        entries = await _heard(self._runner.client.xrange(log, min=f"({after}", count=_PAGE))
        moves = [Admission(int(e["at_ms"]), e["lane"], float(e["serving"]), int(e["called"])) for _, e in entries]
        return moves, entries[-1][0] if entries else after

    async def _drawn_from(self, queue: str, after: str) -> list[tuple[str, float]]:
        asking = self._runner.client.zrangebyscore(queue, after, "(1", start=0, num=_PAGE, withscores=True)
        return [(ticket_id, float(score)) for ticket_id, score in await _heard(asking)]

    async def _strays(self, key: str) -> list[tuple[str, bool]]:
        """Return all strays: few, unless Redis was lost."""
        found: list[tuple[str, bool]] = []
        while True:
            asking = self._runner.client.zrange(key, len(found), len(found) + _PAGE - 1, withscores=True)
            page = await _heard(asking)
            found += [(ticket_id, score == 1) for ticket_id, score in page]
            if len(page) < _PAGE:
                return found


async def spin_by_hand(
    runner: ScriptRunner, rules: RoomRules, event: str, value: str, *, who: str, why: str
) -> SpinSource:
    """Turn the draw by what ops typed before a witness: after the opening, and once.

    Raises:
        Refused: 409, the room is turned by something else, it is too early, or the draw is turned already.
    """
    if not rules.draws or rules.beacon.kind is not BeaconKind.MANUAL:
        told = f'Nobody turns the draw of {rules.name} by hand: that needs beacon.kind = "manual".'
        raise Refused(409, "not-by-hand", told)
    source = manual(value)
    match await Draws(runner, "").spin(rules.name, event, source, who=who, value=value, why=why):
        case NoSpin.EARLY:
            raise Refused(409, "too-early", "The draw is turned after the opening, when nobody can join it any more.")
        case NoSpin.LATE:
            raise Refused(409, "too-late", "Somebody was called already: nothing can turn the draw any more.")
        case SpinSource() as kept if kept != source:
            by = f'by "{kept.value}"' if kept.value else "without a spin, because its time was up"
            raise Refused(409, "already-spun", f"The draw goes on already, {by}.")
        case _:
            return source


async def _heard(asking: Awaitable[Any]) -> Any:
    with answering("draw"):
        return await asking
