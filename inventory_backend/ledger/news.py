"""Write down what the world shall hear, in the transaction that makes it true: paid, refunded, expired, offered."""

import json
from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import BigInteger, Connection, literal, select

from inventory_backend.ledger.schema import outbox, reservation
from inventory_backend.sales import HoldState


class News(StrEnum):
    """What receivers are told; the words stand in docs/confirmations.md."""

    PAID = "order.paid"
    REFUNDED = "order.refunded"
    EXPIRED = "reservation.expired"
    OFFERED = "waitlist.offered"


TOLD_AFTER = {HoldState.PAID: News.PAID, HoldState.REFUNDED: News.REFUNDED, HoldState.EXPIRED: News.EXPIRED}
"""The moves that are told, by the state they end in."""


def tell(connection: Connection, kind: News, rids: Sequence[str], now_ms: int, **facts: object) -> None:
    """Put `kind` into the outbox for each of `rids`, as they stand now; `facts` become members of what is told."""
    if not rids:
        return
    payload = json.dumps({"at_ms": now_ms, "facts": facts})
    told = select(
        literal(kind.value),
        reservation.c.rid,
        reservation.c.version,
        literal(payload),
        literal(0),
        literal(now_ms, BigInteger),
    ).where(reservation.c.rid.in_(rids))
    names = ["kind", "rid", "version", "payload", "tries", "next_ms"]
    connection.execute(outbox.insert().from_select(names, told))
