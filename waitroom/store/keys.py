"""Every Redis key of a room, and nowhere else.

All keys of a room share one hash tag, so that a room lives on one shard of a cluster: `wr:{room}:...`. Rate and cap are
exact only because one script sees all lanes at once.
"""

from dataclasses import dataclass, replace

from waitroom.rules.lanes import LANES, MAIN


@dataclass(frozen=True, slots=True)
class RoomKeys:
    """The keys of one room in one event, and of one of its lanes."""

    room_name: str
    event: str
    lane: str = MAIN

    def of(self, lane: str) -> "RoomKeys":
        """Return the keys of another lane of the same room."""
        return replace(self, lane=lane)

    def of_lanes(self, *names: str) -> list[str]:
        """Return these keys of every lane, lane by lane, as the scripts take them."""
        return [str(getattr(self.of(lane), name)) for lane in LANES for name in names]

    @property
    def room(self) -> str:
        """Hash: generation, limits, rate bucket, flags of ops."""
        return self._of_room("room")

    @property
    def sessions(self) -> str:
        """Sorted set: session id -> end."""
        return self._of_room("sessions")

    @property
    def revoked(self) -> str:
        """Sorted set: session id -> until when it is remembered as revoked."""
        return self._of_room("revoked")

    @property
    def audit(self) -> str:
        """Stream: every change by ops."""
        return self._of_room("audit")

    @property
    def health(self) -> str:
        """Sorted set: what each worker saw of the upstream -> when it was heard."""
        return self._of_room("health")

    @property
    def queue(self) -> str:
        """Sorted set: ticket id -> score."""
        return self._of_lane("queue")

    @property
    def line(self) -> str:
        """Hash: serving threshold, counts; of lane main the draw, too."""
        return self._of_lane("line")

    @property
    def calls(self) -> str:
        """Sorted set: batches of called tickets -> last turn."""
        return self._of_lane("calls")

    @property
    def claimed(self) -> str:
        """Sorted set: ticket id -> turn, of tickets that came in, or were called once more."""
        return self._of_lane("claimed")

    @property
    def knocks(self) -> str:
        """Sorted set: ticket id -> turn, of called tickets that came and were told to come back."""
        return self._of_lane("knocks")

    @property
    def strays(self) -> str:
        """Sorted set: ticket id -> 1 if it was in the draw and left after it, 0 if it came after it."""
        return self._of_event("strays")

    @property
    def log(self) -> str:
        """Stream: every move of a threshold, in all lanes."""
        return self._of_event("log")

    def invite(self, invite_id: str) -> str:
        """Return the set of tickets that used an invite: of an event, whatever its lane."""
        return self._of_event(f"invite:{invite_id}")

    def _of_room(self, name: str) -> str:
        return f"wr:{{{self.room_name}}}:{name}"

    def _of_event(self, name: str) -> str:
        return self._of_room(f"{self.event}:{name}")

    def _of_lane(self, name: str) -> str:
        return self._of_event(f"{self.lane}:{name}")


def limit_key(name: str) -> str:
    """Return the key of one meter: each has a hash tag of its own, so that they spread over all shards."""
    return f"wr:{{limit:{name}}}"
