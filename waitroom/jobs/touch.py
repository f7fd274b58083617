"""Write the visits of the last second to Redis: an admitted request never waits for that."""

from waitroom.store.rooms import Rooms
from waitroom.store.sessions import Sessions


class Toucher:
    """Flushes the sessions that were used."""

    def __init__(self, rooms: Rooms, sessions: Sessions) -> None:
        """Take the time from `rooms`, which know Redis's clock."""
        self._rooms = rooms
        self._sessions = sessions

    async def step(self) -> None:
        """Flush once.

        Raises:
            StoreUnavailable: Redis is gone; the visits are kept for the next time.
        """
        await self._sessions.flush(self._rooms.now_ms())
