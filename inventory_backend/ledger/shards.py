"""Move units between the shards of a sku: down here, up there, on record, in one transaction.

A sku that many tills sell at once is counted in several rows, one of them home to each till, so that their commits do
not wait for each other. A till that dies in between has moved everything or nothing; Redis hears of the new totals from
whichever till looks next, and until then the guard of each shard decides, as always.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, false, or_, select, update

from inventory_backend.ledger.schema import sku
from inventory_backend.ledger.stock_changes import Change, Origin, write_down
from inventory_backend.sales import SHARD, sku_of

Move = tuple[str, str, int]
"""From which shard to which, and how many units."""


def is_of(column: ColumnElement[str], skus: Iterable[str]) -> ColumnElement[bool]:
    """Return whether a column names a shard of any of `skus`."""
    own = (or_(column == name, column.startswith(f"{name}{SHARD}", autoescape=True)) for name in skus)
    return or_(false(), *own)


def locked(sale: str, skus: Iterable[str]) -> "Select[Any]":
    """Return the query for all shards of `skus`, to be read as they stand and changed by nobody else until the end."""
    return select(sku).where(sku.c.sale == sale, is_of(sku.c.sku, skus)).order_by(sku.c.sku).with_for_update()


def free_units(connection: Connection, sale: str, skus: Iterable[str]) -> dict[str, int]:
    """Return how many units are free on each shard of `skus`, locked."""
    return {row.sku: row.total - row.allocated for row in connection.execute(locked(sale, skus))}


def gather(connection: Connection, sale: str, needs: Mapping[str, int], now_ms: int) -> dict[str, int]:
    """Let at least so many units be free on each shard of `needs`, as far as its sisters have any.

    Returns how many are free on each shard then.
    """
    free, moves = free_units(connection, sale, {sku_of(name) for name in needs}), list[Move]()
    for name, need in needs.items():
        for other in _sisters(name, free):
            qty = min(need - free[name], free[other])
            if qty <= 0:
                break
            moves.append((other, name, qty))
            free[other] -= qty
            free[name] += qty
    _move(connection, sale, moves, now_ms)
    return free


def refill(connection: Connection, sale: str, name: str, least: int, now_ms: int) -> bool:
    """Let half of what the richest sister has come to the shard `name`; False when that would be under `least`."""
    free = free_units(connection, sale, [sku_of(name)])
    richest = next(iter(_sisters(name, free)), None)
    if richest is None or free[richest] // 2 < least:
        return False
    _move(connection, sale, [(richest, name, free[richest] // 2)], now_ms)
    return True


def parts(delta: int, free: Mapping[str, int]) -> dict[str, int]:
    """Share a change of `delta` units among shards with so many `free` units each.

    What comes is spread evenly; what goes is taken from the richest. The caller knows that there are so many.
    """
    if delta >= 0:
        each, rest = divmod(delta, len(free))
        return {name: each + (place < rest) for place, name in enumerate(free)}
    shares, left = dict.fromkeys(free, 0), -delta
    for name in sorted(free, key=lambda one: free[one], reverse=True):
        shares[name] = -min(left, free[name])
        left += shares[name]
    return shares


def _sisters(name: str, free: Mapping[str, int]) -> list[str]:
    """Return the other shards of the same sku, the richest first."""
    sisters = [other for other in free if other != name and sku_of(other) == sku_of(name)]
    return sorted(sisters, key=lambda one: free[one], reverse=True)


def _move(connection: Connection, sale: str, moves: Iterable[Move], now_ms: int) -> None:
    deltas = Counter[str]()
    for giver, taker, qty in moves:
        deltas[giver] -= qty
        deltas[taker] += qty
        for shard, delta, why in ((giver, -qty, f"to {taker}"), (taker, qty, f"from {giver}")):
            write_down(connection, (sale, shard), Change(delta, Origin.SHARDS, "till", why, now_ms))
    for shard, delta in sorted(deltas.items()):
        if delta:
            moved = update(sku).where(sku.c.sale == sale, sku.c.sku == shard)
            connection.execute(moved.values(total=sku.c.total + delta, version=sku.c.version + 1))
