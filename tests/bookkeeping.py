"""Look into the books of the till: every count must say the same (I1, I3, I4), whatever happened before."""

from collections import Counter
from dataclasses import dataclass, replace

from sqlalchemy import Connection, select

from inventory_backend.ids import reservation_id
from inventory_backend.ledger.holds import Wanted, lines_of
from inventory_backend.ledger.idempotency import Kept
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.schema import audit, payment, reservation, shopper_qty, sku, wish_line
from inventory_backend.sales import COUNTED, HoldState, PaymentState
from tests.till import sale

NOW_MS = 1_700_000_000_000


@dataclass(frozen=True)
class Books:
    """What the ledger says."""

    allocated: dict[str, int]
    holds: Counter[HoldState]
    payments: Counter[PaymentState]


async def books(ledger: Ledger) -> Books:
    """Return the books, balanced."""
    return await ledger.read(_balanced)


def _balanced(connection: Connection) -> Books:
    allocated = {row.sku: row.allocated for row in connection.execute(select(sku))}
    rows = connection.execute(select(reservation)).all()
    lines = lines_of(connection, [row.rid for row in rows])
    counted, has = Counter[str](), Counter[str]()
    for row in rows:
        for line in lines[row.rid] if row.state in COUNTED else ():
            counted[line.shard_name] += line.qty
            has[row.shopper] += line.qty
            if row.identity is not None:
                has[row.identity] += line.qty
    aside = Counter[str]()
    for one in connection.execute(select(wish_line)):
        aside[one.sku] += one.gathered
    assert +counted + aside == +Counter(allocated), "allocated is what counted holds have, and who waits for more"
    assert +has == +Counter({row.shopper: row.qty for row in connection.execute(select(shopper_qty))})
    audited = sum(connection.execute(select(audit.c.delta)).scalars())
    assert audited + aside.total() == sum(allocated.values())
    payments = connection.execute(select(payment)).all()
    state_of = {row.rid: row.state for row in rows}
    for one in payments:
        if one.state == PaymentState.CAPTURED:
            assert state_of[one.rid] == HoldState.PAID, "money taken is an order"
        if one.next_ms is None:
            assert one.state not in {PaymentState.INIT, PaymentState.VOID_DUE, PaymentState.REFUND_DUE}
    paid = {one.rid for one in payments if one.state == PaymentState.CAPTURED}
    assert paid == {rid for rid, state in state_of.items() if state == HoldState.PAID}, "an order is paid for"
    return Books(
        allocated,
        Counter(HoldState(row.state) for row in rows),
        Counter(PaymentState(one.state) for one in payments),
    )


def wanted(shopper: str, *lines: tuple[str, int], key: str = "k", limit: int = 2, shard: int = 0) -> Wanted:
    """Return a hold that Redis let through, on the shard of that number; by default one sneaker."""
    priced = tuple(replace(one, shard=shard) for one in sale().priced(lines or [("sneaker", 1)]))
    return Wanted(
        rid=reservation_id("drop", shopper, key),
        sale="drop",
        shopper=shopper,
        lines=priced,
        limit=limit,
        cost=sale().cost(priced),
        now_ms=NOW_MS,
        expires_ms=NOW_MS + 600_000,
        kept=Kept(f"reserve {shopper}", key, "f", 201, "{}"),
    )
