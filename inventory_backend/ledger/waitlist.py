"""Who waits in the ledger for units that others give back: one place a shopper, in the order of joining.

Everything in here runs inside a transaction of the ledger's writer, or reads. `offers` shares out what comes free.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, and_, func, or_, select, update

from inventory_backend.ledger.offers import drop, hand_out, lines_by_wish, put_back
from inventory_backend.ledger.schema import line, reservation, sale, shopper_qty, wish, wish_line
from inventory_backend.ledger.shards import free_units, locked
from inventory_backend.sales import COUNTED, HoldState, Line, Sale, WaitlistState, sku_of

_NO_LIMIT = 2**31 - 1


class Joined(StrEnum):
    """What the ledger says to somebody who wants to wait."""

    JOINED = "joined"
    KNOWN = "known"
    OTHER_WISH = "other-wish"
    LIMIT_REACHED = "limit-reached"
    NOT_SOLD_OUT = "not-sold-out"
    FULL = "waitlist-full"


@dataclass(frozen=True, slots=True)
class Joining:
    """What somebody wants to wait for."""

    sale: Sale
    shopper: str
    lines: tuple[Line, ...]
    now_ms: int
    identity: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a shopper stands; `rid` is the hold they were offered, `may_return` what others hold and may not pay."""

    state: WaitlistState
    lines: tuple[Line, ...]
    currency: str
    joined_ms: int
    units_ahead: int
    may_return: int
    rid: str | None


def join(connection: Connection, asked: Joining) -> Joined:
    """Give the shopper a place at the end, once: who joins again keeps the first."""
    # stock lines first, as everywhere, until the place is written: what comes free after this look meets who waits
    shards = free_units(connection, asked.sale.name, [each.sku for each in asked.lines])
    connection.execute(select(sale.c.sale).where(sale.c.sale == asked.sale.name).with_for_update())  # one after another
    if (known := _latest(connection, asked.sale.name, asked.shopper)) is not None:
        row, state = known
        if row.rid is None:
            wanted = {each.sku: each.qty for each in lines_by_wish(connection, [row.seq])[row.seq]}
            is_same = wanted == {each.sku: each.qty for each in asked.lines}
            return Joined.KNOWN if is_same else Joined.OTHER_WISH
        if state in {HoldState.HELD, HoldState.PAYING, HoldState.CAPTURING}:
            return Joined.KNOWN
    if not _may_have(connection, asked):
        return Joined.LIMIT_REACHED
    free = Counter[str]()
    for name, units in shards.items():
        free[sku_of(name)] += units
    if all(free[each.sku] >= each.qty for each in asked.lines):
        return Joined.NOT_SOLD_OUT
    waiting = select(func.count()).select_from(wish).where(wish.c.sale == asked.sale.name, wish.c.rid.is_(None))
    if connection.execute(waiting).scalar_one() >= asked.sale.max_waitlist:
        return Joined.FULL
    _write(connection, asked)
    return Joined.JOINED


def leave(connection: Connection, sale_name: str, shopper: str, now_ms: int) -> bool:
    """Give the place up; what was set aside for it goes to the next. False when there was none."""
    mine = select(wish.c.seq).where(wish.c.sale == sale_name, wish.c.shopper == shopper, wish.c.rid.is_(None))
    seq = connection.execute(mine).scalar_one_or_none()
    if seq is None:
        return False
    wanted = {each.sku for each in lines_by_wish(connection, [seq])[seq]}
    connection.execute(locked(sale_name, wanted)).all()  # before the wish, as everywhere
    if connection.execute(mine.with_for_update()).scalar_one_or_none() is None:
        return False
    units = put_back(connection, sale_name, [seq])
    drop(connection, seq)
    hand_out(connection, sale_name, units, now_ms)  # what nobody wants, Redis hears of from the reconciler
    return True


def standing(connection: Connection, wanted: Sequence[tuple[str, str]]) -> list[Standing | Exception | None]:
    """Return where each of `wanted` (sale, shopper) stands; None for who never joined."""
    lists = {name: _List(connection, name) for name in {name for name, _ in wanted}}
    return [lists[name].standing(connection, shopper) for name, shopper in wanted]


def impatient(connection: Connection, now_ms: int) -> list[tuple[str, int]]:
    """Return (sale, seq) of those for whom units lay aside long enough, or too long: their sale is over."""
    aside = select(wish_line.c.seq).where(wish_line.c.gathered > 0)
    is_over = or_(wish.c.since_ms + wish.c.offer_ms <= now_ms, wish.c.ends_ms <= now_ms)
    late = select(wish.c.sale, wish.c.seq).where(wish.c.rid.is_(None), wish.c.seq.in_(aside), is_over)
    return [(row.sale, row.seq) for row in connection.execute(late.order_by(wish.c.sale, wish.c.seq))]


def give_up(connection: Connection, now_ms: int) -> None:
    """Pass on what lay aside for the impatient: they keep their place, and are offered everything once it is there."""
    late = impatient(connection, now_ms)
    for name in sorted({sale_name for sale_name, _ in late}):
        seqs = [seq for sale_name, seq in late if sale_name == name]
        wanted = {each.sku for lines in lines_by_wish(connection, seqs).values() for each in lines}
        connection.execute(locked(name, wanted)).all()
        hand_out(connection, name, put_back(connection, name, seqs), now_ms)


def counts(connection: Connection) -> dict[tuple[str, str], int]:
    """Return how many units of each (sale, sku) are waited for."""
    units = select(wish.c.sale, wish_line.c.sku, func.sum(wish_line.c.qty).label("units")).join(wish_line)
    grouped = units.where(wish.c.rid.is_(None)).group_by(wish.c.sale, wish_line.c.sku)
    return {(row.sale, row.sku): int(row.units) for row in connection.execute(grouped)}


def renew(connection: Connection, sales: Iterable[Sale]) -> None:
    """Let the present terms of `sales` hold for those who wait already."""
    for one in sales:
        waiting = update(wish).where(wish.c.sale == one.name, wish.c.rid.is_(None))
        connection.execute(waiting.values(cap=one.limit_per_shopper, offer_ms=one.offer_ms, ends_ms=one.ends_ms))
        known = waiting.where(wish.c.identity.is_not(None))
        connection.execute(known.values(identity_cap=one.limit_per_identity or _NO_LIMIT))


class _List:
    """The waitlist of one sale, read once for all who ask at the same time."""

    def __init__(self, connection: Connection, name: str) -> None:
        self._name = name
        waiting = select(wish.c.shopper, wish_line.c.sku, wish_line.c.qty).join(wish_line)
        waiting = waiting.where(wish.c.sale == name, wish.c.rid.is_(None)).order_by(wish.c.seq, wish_line.c.sku)
        self._ahead: dict[str, Counter[str]] = {}
        self._all = Counter[str]()
        for shopper, rows in groupby(connection.execute(waiting), key=lambda row: row.shopper):
            self._ahead[shopper] = self._all
            self._all = self._all + Counter({row.sku: row.qty for row in rows})
        held = select(line.c.sku, func.sum(line.c.qty).label("units")).join(reservation)
        unpaid = held.where(reservation.c.sale == name, reservation.c.state.in_(COUNTED - {HoldState.PAID}))
        self._held = Counter[str]()
        for row in connection.execute(unpaid.group_by(line.c.sku)):
            self._held[sku_of(row.sku)] += int(row.units)

    def standing(self, connection: Connection, shopper: str) -> Standing | None:
        found = _latest(connection, self._name, shopper)
        if found is None:
            return None
        row, hold = found
        lines = lines_by_wish(connection, [row.seq])[row.seq]
        ahead = self._ahead.get(shopper, self._all) if row.rid is None else Counter[str]()  # joined while we read
        return Standing(
            state=WaitlistState.of(hold),
            lines=tuple(Line(each.sku, each.qty, each.unit_amount) for each in lines),
            currency=row.currency,
            joined_ms=row.joined_ms,
            units_ahead=sum(ahead[each.sku] for each in lines),
            may_return=sum(self._held[each.sku] for each in lines) if row.rid is None else 0,
            rid=row.rid,
        )


def _latest(
    connection: Connection, sale_name: str, shopper: str
) -> "tuple[Row[tuple[Any, ...]], HoldState | None] | None":
    """Return the latest wish of a shopper, and the state of the hold that was offered for it."""
    is_mine = and_(wish.c.sale == sale_name, wish.c.shopper == shopper)
    joined = select(wish, reservation.c.state).outerjoin(reservation, wish.c.rid == reservation.c.rid)
    row = connection.execute(joined.where(is_mine).order_by(wish.c.seq.desc()).limit(1)).one_or_none()
    return None if row is None else (row, None if row.state is None else HoldState(row.state))


def _may_have(connection: Connection, asked: Joining) -> bool:
    limits = {asked.shopper: asked.sale.limit_per_shopper}
    if asked.identity is not None:
        limits[asked.identity] = asked.sale.limit_per_identity or _NO_LIMIT
    mine = (shopper_qty.c.sale == asked.sale.name, shopper_qty.c.shopper.in_(limits))
    has = {row.shopper: row.qty for row in connection.execute(select(shopper_qty).where(*mine))}
    qty = sum(each.qty for each in asked.lines)
    return all(has.get(name, 0) + qty <= limit for name, limit in limits.items())


def _write(connection: Connection, asked: Joining) -> None:
    place = {
        "sale": asked.sale.name,
        "shopper": asked.shopper,
        "currency": asked.sale.currency,
        "cap": asked.sale.limit_per_shopper,
        "identity": asked.identity,
        "identity_cap": None if asked.identity is None else asked.sale.limit_per_identity or _NO_LIMIT,
        "offer_ms": asked.sale.offer_ms,
        "ends_ms": asked.sale.ends_ms,
        "joined_ms": asked.now_ms,
    }
    seq = connection.execute(wish.insert().values(place).returning(wish.c.seq)).scalar_one()
    lines = [
        {"seq": seq, "sku": each.sku, "qty": each.qty, "unit_amount": each.unit_amount, "gathered": 0}
        for each in asked.lines
    ]
    connection.execute(wish_line.insert(), lines)
