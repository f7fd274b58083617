"""Hold who has how many in Redis against the ledger: whoever Redis counts too much for may not buy, and has nothing.

A rollback of Redis that nobody noticed brings holds back that were released, and a lost key loses what each had. The
free units are mended by the reconciler; this mends the shoppers'. The ledger is right, and decides every limit anyway.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, select

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import line, outbox, reservation
from inventory_backend.sales import COUNTED
from inventory_backend.stock.stock import Stock, StockKey


@dataclass(frozen=True, slots=True)
class Found:
    """What Redis has and the ledger has not: holds that are over, and what it should count for whom."""

    seen: int
    over: Mapping[str, int]
    counts: Mapping[str, int]

    @property
    def shoppers(self) -> int:
        """How many holds and shoppers differ."""
        return len(self.over) + len(self.counts)


@dataclass(frozen=True, slots=True)
class _Live:
    """What the ledger counts of one sku, and which reservations Redis has yet to hear of."""

    rids: frozenset[str]
    counts: Counter[str]
    on_their_way: frozenset[str]


async def differing(ledger: Ledger, stock: Stock, key: StockKey) -> Found:
    """Return what differs. Counts are compared while nothing is on its way; a hold that is over is so at any time.

    Redis is read before the ledger: what moves from a state that counts to one that does not never comes back to Redis.

    Raises:
        StoreUnavailable: Redis or the ledger does not answer, or the stock is not loaded.
    """
    seen = await stock.mutations(key)
    held = await stock.holders(key)
    live = await ledger.read(lambda connection: _live(connection, key))
    over = {one: qty for one, qty in held.durable.items() if one not in live.rids and one not in live.on_their_way}
    if over or live.on_their_way or not held.is_quiet:
        return Found(seen, over, {})
    names = live.counts.keys() | held.counts.keys()
    return Found(seen, {}, {one: live.counts[one] for one in names if live.counts[one] != held.counts.get(one, 0)})


async def mend(stock: Stock, key: StockKey, found: Found) -> bool:
    """Take holds back that are over, and set the counts right; False when something moved, so that it must wait.

    The free units stay as they are: those of a hold that is over may be counted as free by now.
    """
    for rid, qty in found.over.items():
        await stock.release(key, rid, kept=qty)
    return not found.counts or await stock.recount(key, found.counts, seen=found.seen)


def _live(connection: Connection, key: StockKey) -> _Live:
    told = (outbox.c.next_ms.is_not(None), outbox.c.kind.in_(["release", "offer"]), reservation.c.sale == key.sale)
    on_their_way = frozenset(connection.execute(select(outbox.c.rid).join(reservation).where(*told)).scalars())
    own = (reservation.c.sale == key.sale, line.c.sku == key.sku, reservation.c.state.in_(COUNTED))
    rows = connection.execute(select(reservation.c.rid, reservation.c.shopper, line.c.qty).join(line).where(*own)).all()
    counts = Counter[str]()
    for row in rows:
        counts[row.shopper] += row.qty
    return _Live(frozenset(row.rid for row in rows), counts, on_their_way)
