"""Holds in the ledger: taken under the guard, moved by compare-and-set, released once.

Everything in here runs inside a transaction of the ledger's writer. Each move that adds or gives back units changes
`sku.allocated`, the shopper's quantity, the reservation and the audit together, or nothing.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy import Row as Found
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger.entries import Move, Note, allocate, count_for_shopper, lines_of, record
from inventory_backend.ledger.idempotency import Kept, keep
from inventory_backend.ledger.offers import hand_out
from inventory_backend.ledger.rows import Row, write_rows
from inventory_backend.ledger.schema import line, outbox, reservation, shopper_qty, sku
from inventory_backend.ledger.shards import locked
from inventory_backend.sales import COUNTED, HOLD_MOVES, HoldState, Line, Money, check_move

__all__ = [
    "Move",
    "Note",
    "Taken",
    "Wanted",
    "allocate",
    "count_for_shopper",
    "expire",
    "lines_of",
    "move",
    "overdue",
    "record",
    "release",
    "take",
]


class Taken(StrEnum):
    """What the ledger says to somebody who wants a hold."""

    HELD = "held"
    SOLD_OUT = "sold-out"
    LIMIT_REACHED = "limit-reached"
    KNOWN = "known"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A hold that Redis let through: the ledger has the last word. `kept` is the answer stored with it."""

    rid: str
    sale: str
    shopper: str
    lines: tuple[Line, ...]
    limit: int
    cost: Money
    now_ms: int
    expires_ms: int
    kept: Kept
    identity: str | None = None
    limit_per_identity: int = 0


def take(connection: Connection, wanted: Sequence[Wanted]) -> list[Taken | Exception]:
    """Write all of `wanted` at once; if that breaks a guard, each on its own in the order of arrival (rule W1).

    Who is refused because of their own hold, taken under the same key by another till, is told that it is known.
    """
    if _try(connection, wanted) is Taken.HELD:
        return [Taken.HELD] * len(wanted)
    outcomes = {place: _try(connection, [one]) for place, one in enumerate(wanted)}
    refused = [place for place, outcome in outcomes.items() if outcome is not Taken.HELD]
    rids = select(reservation.c.rid).where(reservation.c.rid.in_([wanted[place].rid for place in refused]))
    known = set(connection.execute(rids).scalars())
    return list((outcomes | {place: Taken.KNOWN for place in refused if wanted[place].rid in known}).values())


def move(connection: Connection, rid: str, before: HoldState, after: HoldState, **values: object) -> bool:
    """Move a hold from `before` to `after`; False when it is not in `before` any more."""
    check_move(HOLD_MOVES, before, after)
    moved = (
        update(reservation)
        .where(reservation.c.rid == rid, reservation.c.state == before)
        .values(state=after, version=reservation.c.version + 1, **values)
    )
    return connection.execute(moved).rowcount == 1


def release(connection: Connection, rids: Sequence[str], before: HoldState, after: HoldState, note: Note) -> list[str]:
    """Give back the units of those of `rids` that are in `before`, and return which were (rule W6).

    Who waits has them first. The outbox tells Redis of the others once this is committed, never before.
    """
    check_move(HOLD_MOVES, before, after)
    assert before in COUNTED, "only who counts can give back"
    assert after not in COUNTED, "who keeps counting keeps the units"
    found = connection.execute(
        select(reservation)
        .where(reservation.c.rid.in_(rids), reservation.c.state == before)
        .order_by(reservation.c.rid)
        .with_for_update()
    ).all()
    released = [row.rid for row in found]
    if not released:
        return []
    lines = lines_of(connection, released)
    for name in sorted({row.sale for row in found}):  # whole skus, as what comes free may go to who waits
        wanted = {one.sku for row in found if row.sale == name for one in lines[row.rid]}
        connection.execute(locked(name, wanted)).all()
    connection.execute(
        update(reservation)
        .where(reservation.c.rid.in_(released))
        .values(state=after, version=reservation.c.version + 1, reason=note.reason)
    )
    units = Counter[tuple[str, str]]()
    for row in found:
        for one in lines[row.rid]:
            units[row.sale, one.shard_name] += one.qty
    for (sale, name), qty in sorted(units.items()):
        given_back = update(sku).where(sku.c.sale == sale, sku.c.sku == name)
        connection.execute(given_back.values(allocated=sku.c.allocated - qty, version=sku.c.version + 1))
    given = [(row.sale, name, _qty(lines[row.rid])) for row in found for name in names_of(row)]
    for of_sale, name, qty in sorted(given):
        has = update(shopper_qty).where(shopper_qty.c.sale == of_sale, shopper_qty.c.shopper == name)
        connection.execute(has.values(qty=shopper_qty.c.qty - qty))
    record(connection, [(row.rid, before, after, -_qty(lines[row.rid])) for row in found], note)
    spoken_for = Counter[tuple[str, str]]()
    for name in sorted({row.sale for row in found}):
        unseen = Counter({each: qty for (sale, each), qty in units.items() if sale == name})
        handed = hand_out(connection, name, unseen, note.now_ms)
        spoken_for.update({(name, each): qty for each, qty in handed.items()})
    told = [_told(row, lines[row.rid], spoken_for, note.now_ms) for row in found]
    connection.execute(outbox.insert(), told)
    return released


def names_of(row: "Found[tuple[Any, ...]]") -> list[str]:
    """Return under whose names the units of a reservation are counted: the shopper's, and the store's for them."""
    return [row.shopper] if row.identity is None else [row.shopper, row.identity]


def expire(connection: Connection, now_ms: int) -> list[str]:
    """Give back the units of holds that are overdue, and return which; another till's are left to it."""
    late = overdue(connection, now_ms)
    return release(connection, late, HoldState.HELD, HoldState.EXPIRED, Note("expiry", now_ms, "expired"))


def overdue(connection: Connection, now_ms: int, most: int = 500) -> list[str]:
    """Return holds that nobody began to pay in time; those being paid end by their saga, after the gateway agreed."""
    late = (
        select(reservation.c.rid)
        .where(reservation.c.state == HoldState.HELD, reservation.c.expires_ms <= now_ms)
        .order_by(reservation.c.expires_ms)
        .limit(most)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(late).scalars())


def _try(connection: Connection, wanted: Sequence[Wanted]) -> Taken:
    with connection.begin_nested() as savepoint:
        outcome = _write(connection, wanted)
        if outcome is not Taken.HELD:
            savepoint.rollback()
    return outcome


def _write(connection: Connection, wanted: Sequence[Wanted]) -> Taken:
    units = Counter[tuple[str, str]]()
    for one in wanted:
        for each in one.lines:
            units[one.sale, each.shard_name] += each.qty
    if not allocate(connection, units):
        return Taken.SOLD_OUT
    if not count_for_shopper(connection, [row for one in wanted for row in _counted(one)]):
        return Taken.LIMIT_REACHED
    try:
        write_rows(connection, _TAKEN, _TAKEN_COLUMNS, [_row(one) for one in wanted])
        write_rows(connection, _LINED, _LINE_COLUMNS, [_line(one.rid, each) for one in wanted for each in one.lines])
        keep(connection, [one.kept for one in wanted], wanted[0].now_ms)
    except IntegrityError:  # this reservation, or an answer under this key, is there already
        return Taken.KNOWN
    moves: list[Move] = [(one.rid, None, HoldState.HELD, _qty(one.lines)) for one in wanted]
    record(connection, moves, Note("shopper", wanted[0].now_ms))
    return Taken.HELD


def _qty(lines: Iterable[Line]) -> int:
    return sum(each.qty for each in lines)


def _counted(one: Wanted) -> Iterator[tuple[str, str, int, int]]:
    yield one.sale, one.shopper, _qty(one.lines), one.limit
    if one.identity is not None:
        yield one.sale, one.identity, _qty(one.lines), one.limit_per_identity


_TAKEN, _LINED = reservation.insert(), line.insert()
_TAKEN_COLUMNS = (
    *("rid", "sale", "shopper", "state", "version", "amount", "currency"),
    *("created_ms", "held_until_ms", "expires_ms", "identity"),
)
_LINE_COLUMNS = ("rid", "sku", "qty", "unit_amount")


def _row(one: Wanted) -> Row:
    is_held = HoldState.HELD.value, 1, one.cost.amount, one.cost.currency
    return one.rid, one.sale, one.shopper, *is_held, one.now_ms, one.expires_ms, one.expires_ms, one.identity


def _line(rid: str, each: Line) -> Row:
    return rid, each.shard_name, each.qty, each.unit_amount


def _told(
    row: Found[tuple[object, ...]], lines: Sequence[Line], spoken_for: Counter[tuple[str, str]], now_ms: int
) -> dict[str, object]:
    """Return what Redis shall hear of one hold: units that are `spoken_for` do not become free there."""
    kept = {}
    for each in lines:
        name = each.shard_name
        if keeps := min(each.qty, spoken_for[row.sale, name]):
            kept[name] = keeps
            spoken_for[row.sale, name] -= keeps
    payload = json.dumps({"sale": row.sale, "skus": [each.shard_name for each in lines], "kept": kept})
    version = row.version + 1
    return {"kind": "release", "rid": row.rid, "version": version, "payload": payload, "tries": 0, "next_ms": now_ms}
