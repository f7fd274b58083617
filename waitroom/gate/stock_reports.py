"""Hear from the store behind what it has left: signed with the key by which it checks passes, recent, each once."""

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from waitroom.gate import counters
from waitroom.kernel.answers import NO_STORE, read_json
from waitroom.kernel.errors import BadToken, Refused
from waitroom.kernel.tokens import StockReport, StockReportSigner
from waitroom.store.rooms import Rooms
from waitroom.store.stock import Stocks

_LARGEST_BYTES = 4096
_AGE_MS = 10_000
"""By so much a report may be older, or its clock ahead: the way here, and clocks that differ."""


class Sent(BaseModel):
    """The body of a report."""

    model_config = ConfigDict(extra="forbid")
    report: str = Field(max_length=2048)


class StockReports:
    """The endpoint `/.waitroom/{room}/stock`."""

    def __init__(self, rooms: Rooms, stocks: Stocks, signer: StockReportSigner) -> None:
        """Hear for `rooms` what `signer` finds genuine."""
        self._rooms = rooms
        self._stocks = stocks
        self._signer = signer

    async def hear(self, request: web.Request) -> web.StreamResponse:
        """Take a report: 204. What is not the store's own word of this moment changes nothing."""
        room = self._rooms.rules(request.match_info["room"]).name
        try:
            await self._take(self._genuine(room, (await read_json(request, Sent, max_bytes=_LARGEST_BYTES)).report))
        except Refused as refusal:
            counters.STOCK_REPORTS.labels(room, refusal.kind).inc()
            raise
        counters.STOCK_REPORTS.labels(room, "taken").inc()
        return web.Response(status=204, headers=NO_STORE)

    def _genuine(self, room: str, text: str) -> StockReport:
        try:
            return self._signer.verify(text, room=room)
        except BadToken as fault:
            told = "Sign the report for this room, with a key that `waitroom upstream-secret` prints."
            raise Refused(403, "bad-report", told) from fault

    async def _take(self, report: StockReport) -> None:
        now_ms = self._rooms.now_ms()
        if abs(now_ms - report.said_ms) > _AGE_MS:
            told = "This report was made too long ago, or by a clock that is not ours: see server_ms."
            raise Refused(403, "stale-report", told, extra={"server_ms": now_ms})
        if not await self._stocks.hear(report):
            raise Refused(409, "known-report", "This report, or a later one, is known already. Nothing has changed.")
