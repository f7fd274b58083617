"""Add the ledger up: units and money, each counted twice over, so that what does not agree with itself is seen."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from inventory_backend.ledger.schema import line, outbox, payment, reservation, sale, shopper_qty, sku, wish, wish_line
from inventory_backend.ledger.stock_changes import Name
from inventory_backend.sales import COUNTED, HoldState, Money, PaymentState

TAKEN = frozenset({PaymentState.CAPTURED, PaymentState.REFUND_DUE, PaymentState.REFUNDED})
"""The payments whose money the gateway took, whatever became of it."""


@dataclass(frozen=True, slots=True)
class Units:
    """How it stands with one sku; `counted` is `allocated`, counted hold by hold and place by place."""

    total: int
    allocated: int
    version: int
    sold: int
    held: int
    aside: int

    @property
    def free(self) -> int:
        """How many can be had."""
        return self.total - self.allocated

    @property
    def counted(self) -> int:
        """How many holds have, and those who wait for more have set aside."""
        return self.sold + self.held + self.aside


@dataclass(frozen=True, slots=True)
class Paid:
    """A payment as it stands; `is_settled` when nobody will ask the gateway about it again."""

    pid: str
    rid: str
    provider: str
    state: PaymentState
    cost: Money
    hold: HoldState
    is_settled: bool
    created_ms: int

    @property
    def kept(self) -> int:
        """How much of it we have, as far as the ledger knows."""
        return self.cost.amount if self.state is PaymentState.CAPTURED else 0


@dataclass(frozen=True, slots=True)
class Tallies:
    """The whole ledger, added up; `faults` are where it contradicts itself."""

    units: Mapping[Name, Units]
    epochs: Mapping[str, int]
    payments: Mapping[str, Paid]
    is_quiet: bool
    faults: tuple[str, ...]


def tally(connection: Connection) -> Tallies:
    """Return the ledger, added up; `is_quiet` when Redis has heard of every unit that came back."""
    units, payments = _units(connection), _payments(connection)
    pending = select(outbox.c.id).where(outbox.c.next_ms.is_not(None), outbox.c.kind.in_(["release", "offer"]))
    return Tallies(
        units=units,
        epochs={row.sale: row.epoch for row in connection.execute(select(sale))},
        payments=payments,
        is_quiet=connection.execute(pending.limit(1)).first() is None,
        faults=(*_miscounted(units), *_unlike_shoppers(connection), *_unpaid(connection, payments)),
    )


def _units(connection: Connection) -> dict[Name, Units]:
    added = select(reservation.c.sale, line.c.sku, reservation.c.state, func.sum(line.c.qty).label("qty"))
    added = added.select_from(line.join(reservation)).where(reservation.c.state.in_(COUNTED))
    sold, held = Counter[Name](), Counter[Name]()
    for row in connection.execute(added.group_by(reservation.c.sale, line.c.sku, reservation.c.state)):
        (sold if row.state == HoldState.PAID else held)[row.sale, row.sku] += int(row.qty)
    gathered = select(wish.c.sale, wish_line.c.sku, func.sum(wish_line.c.gathered).label("qty"))
    gathered = gathered.select_from(wish_line.join(wish)).group_by(wish.c.sale, wish_line.c.sku)
    aside = {(row.sale, row.sku): int(row.qty) for row in connection.execute(gathered)}
    return {
        name: Units(row.total, row.allocated, row.version, sold[name], held[name], aside.get(name, 0))
        for row in connection.execute(select(sku).order_by(sku.c.sale, sku.c.sku))
        if (name := (row.sale, row.sku))
    }


def _payments(connection: Connection) -> dict[str, Paid]:
    wanted = select(payment, reservation.c.state.label("hold")).join(reservation).order_by(payment.c.created_ms)
    return {
        row.pid: Paid(
            pid=row.pid,
            rid=row.rid,
            provider=row.provider,
            state=PaymentState(row.state),
            cost=Money(row.amount, row.currency),
            hold=HoldState(row.hold),
            is_settled=row.next_ms is None,
            created_ms=row.created_ms,
        )
        for row in connection.execute(wanted)
    }


def _miscounted(units: Mapping[Name, Units]) -> Iterator[str]:
    for (sale_name, name), one in units.items():
        if one.counted != one.allocated:
            yield f"{sale_name} {name}: {one.allocated} are allocated, and {one.counted} are held, sold or set aside"


def _unlike_shoppers(connection: Connection) -> Iterator[str]:
    counted = Counter[Name]()
    for whose in (reservation.c.shopper, reservation.c.identity):
        has = select(reservation.c.sale, whose.label("whose"), func.sum(line.c.qty).label("qty"))
        has = has.select_from(line.join(reservation)).where(reservation.c.state.in_(COUNTED), whose.is_not(None))
        for row in connection.execute(has.group_by(reservation.c.sale, whose)):
            counted[row.sale, row.whose] += int(row.qty)
    kept = Counter[Name]({(row.sale, row.shopper): row.qty for row in connection.execute(select(shopper_qty))})
    wrong = [name for name in counted.keys() | kept.keys() if counted[name] != kept[name]]
    for sale_name, count in sorted(Counter(name for name, _ in wrong).items()):
        yield f"{sale_name}: {count} shoppers are counted with more, or fewer, units than their holds have"


def _unpaid(connection: Connection, payments: Mapping[str, Paid]) -> Iterator[str]:
    bought = {one.rid: one.cost for one in payments.values() if one.state is PaymentState.CAPTURED}
    paid = select(reservation).where(reservation.c.state == HoldState.PAID)
    orders = {row.rid: Money(row.amount, row.currency) for row in connection.execute(paid)}
    for rid in sorted(bought.keys() | orders.keys()):
        if rid not in bought:
            yield f"reservation {rid} is an order, and no payment for it was captured"
        elif rid not in orders:
            yield f"reservation {rid} is paid for, and no order"
        elif bought[rid] != orders[rid]:
            yield f"reservation {rid} costs {orders[rid].amount}, and {bought[rid].amount} were captured"
