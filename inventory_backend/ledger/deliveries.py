"""Who still has to hear what: one row for each piece of news and sink, claimed for a while, then done, later, or dead.

Everything in here runs inside a transaction of the ledger's writer, or reads.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid5

from sqlalchemy import Connection, Select, delete, exists, func, select, update

from inventory_backend.ledger.holds import lines_of
from inventory_backend.ledger.news import News
from inventory_backend.ledger.schema import delivery, outbox, reservation, stopped_sink
from inventory_backend.sales import Line, Money

_NAMESPACE = UUID("8f0f4a4c-6a4e-5b0e-9d3b-0a6f3c1f7f21")
_LONGEST_FAULT = 200


@dataclass(frozen=True, slots=True)
class Notice:
    """One piece of news on its way to one sink. Nothing in it changes from one try to the next but `tries`."""

    serial: int
    message_id: str
    kind: News
    at_ms: int
    tries: int
    rid: str
    version: int
    order_id: str | None
    sale: str
    lines: tuple[Line, ...]
    cost: Money
    facts: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was given up: ops look into it, and send it again."""

    serial: int
    sink: str
    kind: str
    rid: str
    tries: int
    dead_ms: int
    fault: str


def spread(connection: Connection, sinks: Mapping[str, frozenset[News]], now_ms: int, most: int) -> int:
    """Give fresh news to each sink that wants them; return how many news there were."""
    fresh = select(outbox).where(outbox.c.next_ms.is_not(None), outbox.c.kind.in_(list(News)))
    rows = connection.execute(fresh.order_by(outbox.c.id).limit(most).with_for_update(skip_locked=True)).all()
    stopped = set(connection.execute(select(stopped_sink.c.sink)).scalars())
    told = [
        {"outbox_id": row.id, "sink": name, "rid": row.rid, "tries": 0, "next_ms": now_ms}
        for row in rows
        for name, kinds in sinks.items()
        if row.kind in kinds and name not in stopped
    ]
    if told:
        connection.execute(delivery.insert(), told)
    if rows:
        wanted = {one["outbox_id"] for one in told}
        shared_out = update(outbox).where(outbox.c.id.in_([row.id for row in rows]))
        connection.execute(shared_out.values(next_ms=None))
        connection.execute(shared_out.where(outbox.c.id.not_in(wanted)).values(done_ms=now_ms))
    return len(rows)


def is_any_fresh(connection: Connection) -> bool:
    """Tell whether there is something to spread."""
    fresh = select(outbox.c.id).where(outbox.c.next_ms.is_not(None), outbox.c.kind.in_(list(News)))
    return connection.execute(fresh.limit(1)).first() is not None


def is_any_due(connection: Connection, sink: str, now_ms: int) -> bool:
    """Tell whether there is something to claim."""
    return connection.execute(_due(sink, now_ms).limit(1)).first() is not None


def claim(connection: Connection, sink: str, now_ms: int, until_ms: int, most: int) -> list[Notice]:
    """Take what is due for `sink`: nobody else sends it before `until_ms`, and whoever dies by then left it due.

    Of one reservation only the oldest piece is taken, so that what is told of it keeps its order.
    """
    wanted = _due(sink, now_ms).order_by(delivery.c.outbox_id).limit(most)
    found = connection.execute(wanted.with_for_update(of=delivery, skip_locked=True)).scalars()
    serials: list[int] = list(found)
    taken = update(delivery).where(delivery.c.id.in_(serials))
    connection.execute(taken.values(next_ms=until_ms, tries=delivery.c.tries + 1))
    return _notices(connection, serials)


def done(connection: Connection, serial: int, now_ms: int) -> None:
    """Strike off what was delivered; once every sink has the news, they are done too."""
    told = select(outbox.c.id).join(delivery).where(delivery.c.id == serial)
    news = connection.execute(told.with_for_update(of=outbox)).scalar_one()  # of two last sinks one comes second
    _settle(connection, serial, next_ms=None, fault=None, done_ms=now_ms)
    is_owed = exists().where(delivery.c.outbox_id == outbox.c.id, delivery.c.done_ms.is_(None))
    connection.execute(update(outbox).where(outbox.c.id == news, ~is_owed).values(done_ms=now_ms))


def postpone(connection: Connection, serial: int, next_ms: int, fault: str) -> None:
    """Send it again at `next_ms`."""
    _settle(connection, serial, next_ms=next_ms, fault=fault[:_LONGEST_FAULT])


def bury(connection: Connection, serial: int, now_ms: int, fault: str) -> None:
    """Give it up, until ops send it again."""
    _settle(connection, serial, next_ms=None, dead_ms=now_ms, fault=fault[:_LONGEST_FAULT])


def stop(connection: Connection, sink: str, now_ms: int, fault: str) -> None:
    """Send `sink` nothing more: what waits for it is given up, what comes is not kept for it."""
    if connection.execute(select(stopped_sink).where(stopped_sink.c.sink == sink)).first() is None:
        connection.execute(stopped_sink.insert(), {"sink": sink, "at_ms": now_ms})
    waiting = update(delivery).where(delivery.c.sink == sink, delivery.c.next_ms.is_not(None))
    connection.execute(waiting.values(next_ms=None, dead_ms=now_ms, fault=fault[:_LONGEST_FAULT]))


def dead_letters(connection: Connection, most: int = 1000) -> list[DeadLetter]:
    """Return what was given up, oldest first."""
    wanted = select(delivery, outbox.c.kind).join(outbox).where(delivery.c.dead_ms.is_not(None))
    return [
        DeadLetter(row.id, row.sink, row.kind, row.rid, row.tries, row.dead_ms, row.fault or "")
        for row in connection.execute(wanted.order_by(delivery.c.id).limit(most))
    ]


def retry(connection: Connection, serial: int, now_ms: int) -> bool:
    """Send a dead letter again, and let its sink live again; False when there is no such dead letter."""
    dead = (delivery.c.id == serial, delivery.c.dead_ms.is_not(None))
    sink = connection.execute(select(delivery.c.sink).where(*dead)).scalar_one_or_none()
    if sink is None:
        return False
    connection.execute(update(delivery).where(*dead).values(next_ms=now_ms, dead_ms=None, tries=0))
    connection.execute(delete(stopped_sink).where(stopped_sink.c.sink == sink))
    return True


def counts(connection: Connection, sink: str) -> tuple[int, int]:
    """Return how many deliveries to `sink` wait, and how many are dead."""
    own = select(func.count()).select_from(delivery).where(delivery.c.sink == sink)
    waiting = connection.execute(own.where(delivery.c.next_ms.is_not(None))).scalar_one()
    return waiting, connection.execute(own.where(delivery.c.dead_ms.is_not(None))).scalar_one()


def _due(sink: str, now_ms: int) -> Select[int]:
    older = delivery.alias()
    is_second = exists().where(
        older.c.sink == delivery.c.sink,
        older.c.rid == delivery.c.rid,
        older.c.next_ms.is_not(None),
        older.c.outbox_id < delivery.c.outbox_id,
    )
    return select(delivery.c.id).where(delivery.c.sink == sink, delivery.c.next_ms <= now_ms, ~is_second)


def _settle(connection: Connection, serial: int, **values: object) -> None:
    connection.execute(update(delivery).where(delivery.c.id == serial).values(**values))


def _notices(connection: Connection, serials: Sequence[int]) -> list[Notice]:
    told = select(
        delivery.c.id.label("serial"),
        delivery.c.tries.label("tried"),
        outbox,
        reservation.c.sale,
        reservation.c.order_id,
        reservation.c.amount,
        reservation.c.currency,
    )
    joined = told.join(outbox, delivery.c.outbox_id == outbox.c.id).join(reservation, outbox.c.rid == reservation.c.rid)
    rows = connection.execute(joined.where(delivery.c.id.in_(serials)).order_by(delivery.c.outbox_id)).all()
    lines = lines_of(connection, sorted({row.rid for row in rows}))
    return [_notice(row, lines[row.rid]) for row in rows]


def _notice(row: Any, lines: Sequence[Line]) -> Notice:
    payload = json.loads(row.payload)
    return Notice(
        serial=row.serial,
        message_id=f"msg_{uuid5(_NAMESPACE, f'{row.kind} {row.rid} {row.version}').hex}",
        kind=News(row.kind),
        at_ms=payload["at_ms"],
        tries=row.tried,
        rid=row.rid,
        version=row.version,
        order_id=row.order_id,
        sale=row.sale,
        lines=tuple(lines),
        cost=Money(row.amount, row.currency),
        facts=payload["facts"],
    )
