"""Every Redis key of a room, and nowhere else.

All keys of a lane share one hash tag, so that a lane lives on one shard of a cluster: `wr:{room:lane}:...`.
"""

from dataclasses import dataclass

from waitroom.rules.rooms import MAIN


@dataclass(frozen=True, slots=True)
class RoomKeys:
    """The keys of one room in one event."""

    room_name: str
    event: str

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
        return self._of_event("queue")

    @property
    def line(self) -> str:
        """Hash: serving threshold, counts, draw."""
        return self._of_event("line")

    @property
    def calls(self) -> str:
        """Sorted set: batches of called tickets -> last turn."""
        return self._of_event("calls")

    @property
    def claimed(self) -> str:
        """Sorted set: ticket id -> turn, of tickets that came in while their call was alive."""
        return self._of_event("claimed")

    @property
    def knocks(self) -> str:
        """Sorted set: ticket id -> turn, of called tickets that came and were told to come back."""
        return self._of_event("knocks")

    @property
    def strays(self) -> str:
        """Sorted set: ticket id -> 1 if it was in the draw and left after it, 0 if it came after it."""
        return self._of_event("strays")

    @property
    def log(self) -> str:
        """Stream: every move of the threshold."""
        return self._of_event("log")

    def _of_room(self, name: str) -> str:
        return f"wr:{{{self.room_name}:{MAIN}}}:{name}"

    def _of_event(self, name: str) -> str:
        return f"wr:{{{self.room_name}:{MAIN}}}:{self.event}:{name}"


def limit_key(name: str) -> str:
    """Return the key of one meter: each has a hash tag of its own, so that they spread over all shards."""
    return f"wr:{{limit:{name}}}"
