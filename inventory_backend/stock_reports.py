"""Tell the waiting rooms what is left and what may come back, so that they call nobody in vain (docs/stock.md)."""

import asyncio
import logging
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp
from sqlalchemy import Connection, func, select

from inventory_backend.counters import STOCK_REPORTS
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import line, reservation, sku, wish, wish_line
from inventory_backend.sales import COUNTED, HoldState, Sale
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.tasks import Loop
from waitroom.kernel.tokens import StockReport, StockReportSigner

log = logging.getLogger(__name__)

_PERIOD_S = 0.5
_LIMIT_S = 15.0
_HEARTBEAT_S = 5.0
"""A room takes us for silent after three times as long, unless it was told otherwise."""
_MAY_RETURN = COUNTED - {HoldState.PAID}
_TAKEN, _KNOWN = 204, 409
"""Known: a later one was heard, so our clock was put back; the next report is made by a later time."""


@dataclass(frozen=True, slots=True)
class Units:
    """What a sale, or a room, has: units free, and units set aside that may come back."""

    left: int = 0
    held: int = 0

    def __add__(self, other: "Units") -> "Units":
        """Return both together."""
        return Units(self.left + other.left, self.held + other.held)


@dataclass(frozen=True, slots=True)
class Way:
    """How a room is reached: the address of the edge, and how long it may take to answer; no address, no reports.

    Over https, the edge shows a certificate that somebody in `trust` vouches for.
    """

    url: str
    timeout_ms: int
    trust: ssl.SSLContext | None = None


def way(url: str, timeout_ms: int, ca_file: Path | None) -> Way:
    """Return the way to the room at `url`; without a `ca_file`, whom the system trusts is trusted.

    Raises:
        ConfigFault: the file holds no certificates.
    """
    try:
        return Way(url, timeout_ms, ssl.create_default_context(cafile=ca_file) if ca_file else None)
    except OSError as fault:
        told = fault.strerror or type(fault).__name__
        raise ConfigFault([f'room.ca_file: "{ca_file}" holds no certificates that could be trusted: {told}']) from fault


class StockReports:
    """One report a room, whenever its stock has changed, and now and then to say that we are there."""

    def __init__(
        self,
        ledger: Ledger,
        sales: Sequence[Sale],
        signer: StockReportSigner,
        session: aiohttp.ClientSession,
        way: Way,
        clock: Clock,
    ) -> None:
        """Count the `sales` in `ledger`; nothing is sent before `step`."""
        self._ledger = ledger
        self._sales = sales
        self._signer = signer
        self._session = session
        self._way = way
        self._clock = clock
        self._told: dict[str, tuple[Units, float]] = {}
        self._said_ms = 0
        self._is_heard: dict[str, bool] = {}

    def loops(self) -> Iterator[Loop]:
        """Yield the job, where there is a room to tell."""
        if self._way.url:
            yield Loop("stock reports", self.step, _PERIOD_S, _LIMIT_S)

    async def step(self) -> None:
        """Tell every room what it has not been told.

        Raises:
            StoreUnavailable: the ledger does not answer. Rooms that do not answer are told anew by the next step.
        """
        counted = await self._ledger.read(units_of)
        async with asyncio.TaskGroup() as group:
            for room, units in self._by_room(counted).items():
                told, at_s = self._told.get(room, (None, 0.0))
                if told != units or self._clock.tick_s() - at_s >= _HEARTBEAT_S:
                    _ = group.create_task(self._tell(room, units))

    def _by_room(self, counted: dict[str, Units]) -> dict[str, Units]:
        """Add up each room's sales that are open, else those to come; of one whose sales are over, nothing."""
        now_ms, found = self._ledger.now_ms(), dict[str, Units]()
        busy = {one.room for one in self._sales if one.is_open(now_ms)}
        for one in self._sales:
            if one.is_open(now_ms) or (one.room not in busy and not one.has_ended(now_ms)):
                found[one.room] = found.get(one.room, Units()) + counted.get(one.name, Units())
        return found

    async def _tell(self, room: str, units: Units) -> None:
        self._said_ms = max(self._clock.now_ms(), self._said_ms + 1)
        text = self._signer.sign(StockReport(room, units.left, units.held, self._said_ms))
        limit, tls = aiohttp.ClientTimeout(total=self._way.timeout_ms / 1000), self._way.trust or True
        url, body = f"{self._way.url}/.waitroom/{room}/stock", {"report": text}
        try:
            async with self._session.post(url, json=body, timeout=limit, ssl=tls, allow_redirects=False) as answer:
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, OSError) as fault:
            self._note(room, f"no answer: {type(fault).__name__}", is_heard=False)
            return
        if status == _TAKEN:
            self._told[room] = units, self._clock.tick_s()
        self._note(room, f"status {status}", is_heard=status in {_TAKEN, _KNOWN})

    def _note(self, room: str, outcome: str, *, is_heard: bool) -> None:
        """Count, and log what changes: it would else be told twice a second."""
        STOCK_REPORTS.labels(room, "heard" if is_heard else "failed").inc()
        was_heard = self._is_heard.get(room, True)
        self._is_heard[room] = is_heard
        facts = {"room": room, "outcome": outcome}
        if was_heard and not is_heard:
            log.warning("room does not hear of the stock", extra=facts)
        elif is_heard and not was_heard:
            log.info("room hears of the stock again", extra=facts)


def units_of(connection: Connection) -> dict[str, Units]:
    """Return what each sale has, of one moment: one statement sees no unit twice, and misses none.

    What comes back goes to the waitlist first: for a room only what nobody in there waits for may come back.
    """
    held = (
        select(func.coalesce(func.sum(line.c.qty), 0))
        .select_from(reservation.join(line))
        .where(reservation.c.sale == sku.c.sale, reservation.c.state.in_(_MAY_RETURN))
        .scalar_subquery()
    )
    waited_for = (
        select(func.coalesce(func.sum(wish_line.c.qty - wish_line.c.gathered), 0))
        .select_from(wish.join(wish_line))
        .where(wish.c.sale == sku.c.sale, wish.c.rid.is_(None))
        .scalar_subquery()
    )
    left = func.sum(sku.c.total - sku.c.allocated)
    counted = connection.execute(select(sku.c.sale, left, held, waited_for).group_by(sku.c.sale))
    return {sale: Units(int(free), max(0, int(aside - ahead))) for sale, free, aside, ahead in counted}
