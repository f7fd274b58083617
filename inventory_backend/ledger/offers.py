"""Hand units that came free to those who wait, in the transaction that frees them: nobody else sees them meanwhile.

An offer is an ordinary hold of whoever is next, with a time of its own. Units that are not enough for them yet are set
aside: they stay allocated, in no hold. The rules stand in `sharing`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, or_, select, update

from inventory_backend.ids import offer_id
from inventory_backend.ledger.entries import Note, count_for_shopper, record
from inventory_backend.ledger.news import News, tell
from inventory_backend.ledger.schema import line, outbox, reservation, sku, wish, wish_line
from inventory_backend.ledger.shards import gather
from inventory_backend.sales import MOST_UNITS, HoldState, sku_of
from inventory_backend.sharing import Share, Wish, shared
from waitroom.kernel.units import spell_instant

ACTOR = "waitlist"
_AT_ONCE = 100

Waiting = tuple["Row[tuple[Any, ...]]", list["Row[tuple[Any, ...]]"]]
"""A wish and its lines."""


def hand_out(connection: Connection, sale: str, unseen: Counter[str], now_ms: int) -> Counter[str]:
    """Share out what is free of the skus in `unseen`, and return how many of those units are spoken for now.

    `unseen` units of each shard were given back in this transaction, and Redis does not know it yet: it is to be told
    of those only that are not spoken for. Who raises a total, of which Redis hears in another way, says 0: what is
    offered of that is taken off there by the offer; so it is with units that come over from another shard to the first.
    The caller has locked the rows of these skus.
    """
    skus = {sku_of(name) for name in unseen}
    if not (found := _waiting(connection, sale, skus, now_ms, after=0)):
        return Counter()
    free = _free(connection, sale, skus | _wanted(found), now_ms)
    before, offered = dict(free), list[Row[tuple[Any, ...]]]()
    while found:
        free |= _free(connection, sale, _wanted(found) - free.keys(), now_ms)
        before |= {name: free[name] for name in free.keys() - before.keys()}
        changes, free = shared([_as_wish(one) for one in found], free, now_ms)
        rows, back = _written(connection, changes, found, now_ms)
        offered += rows
        for name, qty in back.items():
            free[name] += qty
        if not any(free.values()):
            break
        found = _waiting(connection, sale, skus, now_ms, after=found[-1][0].seq)
    taken = Counter({name: before[name] - left for name, left in free.items()})
    for name, qty in sorted(taken.items()):
        if qty:
            changed = update(sku).where(sku.c.sale == sale, sku.c.sku == name)
            connection.execute(changed.values(allocated=sku.c.allocated + qty, version=sku.c.version + 1))
    spoken_for = Counter({name: min(max(0, taken[name]), qty) for name, qty in unseen.items()})
    _tell_redis(connection, offered, taken - spoken_for, now_ms)
    return spoken_for


def put_back(connection: Connection, sale: str, seqs: Sequence[int]) -> Counter[str]:
    """Free what is set aside for the wishes `seqs` of one sale, and return it: units that Redis does not see yet."""
    aside = select(wish_line.c.sku, wish_line.c.gathered).where(wish_line.c.seq.in_(seqs), wish_line.c.gathered > 0)
    units = Counter[str]()
    for row in connection.execute(aside):
        units[row.sku] += row.gathered
    connection.execute(update(wish_line).where(wish_line.c.seq.in_(seqs)).values(gathered=0))
    for name, qty in sorted(units.items()):
        freed = update(sku).where(sku.c.sale == sale, sku.c.sku == name)
        connection.execute(freed.values(allocated=sku.c.allocated - qty, version=sku.c.version + 1))
    return units


def _waiting(connection: Connection, sale: str, skus: Iterable[str], now_ms: int, *, after: int) -> list[Waiting]:
    """Return the next who wait for any of `skus`, locked: nobody leaves while they are given something."""
    wants = select(wish_line.c.seq).where(wish_line.c.sku.in_(list(skus)))
    is_on = or_(wish.c.ends_ms.is_(None), wish.c.ends_ms > now_ms)
    waiting = select(wish).where(wish.c.sale == sale, wish.c.rid.is_(None), is_on, wish.c.seq > after)
    wanted = waiting.where(wish.c.seq.in_(wants)).order_by(wish.c.seq).limit(_AT_ONCE)
    rows = connection.execute(wanted.with_for_update()).all()
    if not rows:
        return []
    lines = lines_by_wish(connection, [row.seq for row in rows])
    return [(row, lines[row.seq]) for row in rows]


def lines_by_wish(connection: Connection, seqs: Sequence[int]) -> dict[int, "list[Row[tuple[Any, ...]]]"]:
    """Return the lines of each of the wishes `seqs`."""
    found: dict[int, list[Row[tuple[Any, ...]]]] = {seq: [] for seq in seqs}
    wanted = select(wish_line).where(wish_line.c.seq.in_(seqs)).order_by(wish_line.c.seq, wish_line.c.sku)
    for row in connection.execute(wanted):
        found[row.seq].append(row)
    return found


def _free(connection: Connection, sale: str, skus: Iterable[str], now_ms: int) -> dict[str, int]:
    """Return what is free of `skus`, which lies on the first shard of each from now on: there it is handed out."""
    return gather(connection, sale, dict.fromkeys(skus, MOST_UNITS), now_ms)


def _wanted(found: Iterable[Waiting]) -> set[str]:
    return {each.sku for _, lines in found for each in lines}


def _as_wish(waiting: Waiting) -> Wish:
    row, lines = waiting
    needs = {each.sku: each.qty for each in lines}
    return Wish(row.seq, needs, {each.sku: each.gathered for each in lines}, row.since_ms, row.offer_ms)


def _written(
    connection: Connection, changes: Sequence[Share], found: Sequence[Waiting], now_ms: int
) -> tuple[list["Row[tuple[Any, ...]]"], Counter[str]]:
    """Write `changes`; return whom an offer was made, and the units of those who have as many as they may already."""
    of, offered, back = {row.seq: (row, lines) for row, lines in found}, list[Row[tuple[Any, ...]]](), Counter[str]()
    for change in changes:
        row, lines = of[change.seq]
        if not change.is_whole:
            connection.execute(update(wish).where(wish.c.seq == change.seq).values(since_ms=change.since_ms))
            for name, qty in change.gathered.items():
                this = update(wish_line).where(wish_line.c.seq == change.seq, wish_line.c.sku == name)
                connection.execute(this.values(gathered=qty))
        elif _offer(connection, row, lines, now_ms):
            offered.append(row)
        else:  # bought in another way meanwhile: the place is given up
            drop(connection, change.seq)
            back.update(change.gathered)
    return offered, back


def drop(connection: Connection, seq: int) -> None:
    """Forget a wish for which nothing is set aside."""
    connection.execute(delete(wish_line).where(wish_line.c.seq == seq))
    connection.execute(delete(wish).where(wish.c.seq == seq))


def _offer(connection: Connection, row: Any, lines: Sequence[Any], now_ms: int) -> bool:
    """Hold the units for whoever wished for them; False when they may not have so many more."""
    qty, rid, expires_ms = sum(each.qty for each in lines), offer_id(row.sale, row.seq), now_ms + row.offer_ms
    with connection.begin_nested() as savepoint:
        counted = [(row.sale, row.shopper, qty, row.cap)]
        if row.identity is not None:
            counted.append((row.sale, row.identity, qty, row.identity_cap))
        if not count_for_shopper(connection, counted):
            savepoint.rollback()
            return False
    hold = {
        "rid": rid,
        "sale": row.sale,
        "shopper": row.shopper,
        "state": HoldState.HELD,
        "version": 1,
        "amount": sum(each.qty * each.unit_amount for each in lines),
        "currency": row.currency,
        "created_ms": now_ms,
        "held_until_ms": expires_ms,
        "expires_ms": expires_ms,
        "identity": row.identity,
    }
    connection.execute(reservation.insert(), hold)
    held = [{"rid": rid, "sku": each.sku, "qty": each.qty, "unit_amount": each.unit_amount} for each in lines]
    connection.execute(line.insert(), held)
    connection.execute(update(wish).where(wish.c.seq == row.seq).values(rid=rid))
    connection.execute(update(wish_line).where(wish_line.c.seq == row.seq).values(gathered=0))
    record(connection, [(rid, None, HoldState.HELD, qty)], Note(ACTOR, now_ms))
    tell(connection, News.OFFERED, [rid], now_ms, expires_at=spell_instant(expires_ms))
    return True


def _tell_redis(
    connection: Connection, offered: "Sequence[Row[tuple[Any, ...]]]", seen: Mapping[str, int], now_ms: int
) -> None:
    """Put the offers into the outbox; `seen` units of each sku are free in Redis until it hears of them."""
    left, rows = dict(seen), []
    lines = lines_by_wish(connection, [row.seq for row in offered])
    for row in offered:
        units = {}
        for each in lines[row.seq]:
            taken = min(each.qty, left.get(each.sku, 0))
            left[each.sku] = left.get(each.sku, 0) - taken
            units[each.sku] = {"qty": each.qty, "seen": taken}
        payload = json.dumps({"sale": row.sale, "shopper": row.shopper, "units": units})
        rid = offer_id(row.sale, row.seq)
        told = {"kind": "offer", "rid": rid, "version": 1, "payload": payload, "tries": 0, "next_ms": now_ms}
        rows.append(told)
    if rows:
        connection.execute(outbox.insert(), rows)
