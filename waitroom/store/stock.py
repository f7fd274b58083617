"""Tell Redis what the store behind has left, as it said; the next tick of every worker heeds it."""

from waitroom.kernel.errors import StoreUnavailable
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import StockReport
from waitroom.rules.rooms import ALWAYS
from waitroom.store.keys import RoomKeys


class Stocks:
    """The stock of every room."""

    def __init__(self, runner: ScriptRunner) -> None:
        """Speak through `runner`."""
        self._runner = runner

    async def hear(self, report: StockReport, *, now_ms: int = 0) -> bool:
        """Take `report`, whatever event counts now; False where it, or a later one, was heard before.

        Raises:
            StoreUnavailable: Redis is gone, or knows nothing of the room until its next tick.
        """
        keys = [RoomKeys(report.room, ALWAYS).room]
        reply = await self._runner.run(
            "rooms/stock", keys=keys, args=[now_ms, report.left, report.held, report.said_ms]
        )
        if reply[0] == "unloaded":
            raise StoreUnavailable(f"rooms/stock: the room {report.room} has no state")
        return bool(reply[0] == "taken")
