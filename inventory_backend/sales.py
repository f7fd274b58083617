"""The rules of selling: what a sale, a hold, a payment and an order are, and which moves they may make.

A hold counts against the stock from the moment it is held until it is released; it becomes an order when it is paid.
Only `COUNTED` holds are in `sku.allocated`: who enters that set passes the guard, who leaves it gives units back.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from waitroom.kernel.errors import ForbiddenMove

SHARD = "#"
"""Stands between a sku and the number of a shard; no sku has it in its name."""

State = TypeVar("State", bound=StrEnum)


class SaleState(StrEnum):
    """What a sale tells its shoppers."""

    NOT_STARTED = "NOT_STARTED"
    ACTIVE = "ACTIVE"
    SOLD_OUT = "SOLD_OUT"
    ENDED = "ENDED"


class HoldState(StrEnum):
    """Where a hold stands in the ledger."""

    HELD = "held"
    PAYING = "paying"
    CAPTURING = "capturing"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    REFUND_DUE = "refund_due"
    REFUNDED = "refunded"


class PaymentState(StrEnum):
    """Where one attempt to pay stands; the gateway is asked again until it is settled."""

    INIT = "init"
    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    DECLINED = "declined"
    CANCELLED = "cancelled"
    VOID_DUE = "void_due"
    VOIDED = "voided"
    REFUND_DUE = "refund_due"
    REFUNDED = "refunded"


class OrderStatus(StrEnum):
    """What a shopper is told about an order."""

    PAYING = "paying"
    PAID = "paid"
    DECLINED = "declined"
    EXPIRED = "expired"
    REFUNDED = "refunded"


class WaitlistState(StrEnum):
    """What a shopper is told about their place on the waitlist."""

    WAITING = "waiting"
    OFFERED = "offered"
    PAYING = "paying"
    BOUGHT = "bought"
    LAPSED = "lapsed"
    ENDED = "ended"
    NONE = "none"

    @classmethod
    def of(cls, offer: "HoldState | None") -> "WaitlistState":
        """Return what to say by the hold that was offered; None is that there was no offer yet."""
        match offer:
            case None:
                return cls.WAITING
            case HoldState.HELD:
                return cls.OFFERED
            case HoldState.PAYING | HoldState.CAPTURING:
                return cls.PAYING
            case HoldState.PAID:
                return cls.BOUGHT
            case HoldState.EXPIRED | HoldState.CANCELLED | HoldState.REFUND_DUE | HoldState.REFUNDED:
                return cls.LAPSED


MOST_UNITS = 100_000_000
"""More than that of one sku is a slip of the finger."""
MOST_SHARDS = 64
"""As many tills are not run; a look at the stock reads each shard."""


COUNTED = frozenset({HoldState.HELD, HoldState.PAYING, HoldState.CAPTURING, HoldState.PAID})
"""The states whose units are in `sku.allocated` and in the shopper's quantity."""

HOLD_MOVES: Mapping[HoldState, frozenset[HoldState]] = {
    HoldState.HELD: frozenset({HoldState.PAYING, HoldState.EXPIRED, HoldState.CANCELLED}),
    # declined with time left: back to held; the gateway confirmed the cancel, or the hard deadline passed: expired
    HoldState.PAYING: frozenset({HoldState.CAPTURING, HoldState.HELD, HoldState.EXPIRED}),
    HoldState.CAPTURING: frozenset({HoldState.PAID, HoldState.EXPIRED}),
    HoldState.PAID: frozenset({HoldState.REFUND_DUE}),
    # late success: allocated again if the guard lets it, else the money goes back
    HoldState.EXPIRED: frozenset({HoldState.CAPTURING, HoldState.REFUND_DUE}),
    HoldState.CANCELLED: frozenset(),
    HoldState.REFUND_DUE: frozenset({HoldState.REFUNDED}),
    HoldState.REFUNDED: frozenset(),
}

PAYMENT_MOVES: Mapping[PaymentState, frozenset[PaymentState]] = {
    PaymentState.INIT: frozenset(
        {
            PaymentState.AUTHORIZED,
            PaymentState.DECLINED,
            PaymentState.CANCELLED,
            PaymentState.VOID_DUE,
            PaymentState.REFUND_DUE,
        }
    ),
    PaymentState.AUTHORIZED: frozenset({PaymentState.CAPTURED, PaymentState.CANCELLED}),
    PaymentState.CAPTURED: frozenset({PaymentState.REFUND_DUE}),
    # money that the gateway has all the same, after the shopper was told no: it goes back
    PaymentState.DECLINED: frozenset({PaymentState.VOID_DUE, PaymentState.REFUND_DUE}),
    PaymentState.CANCELLED: frozenset({PaymentState.VOID_DUE, PaymentState.REFUND_DUE}),
    # the gateway captured it before our void arrived: then the money is sent back
    PaymentState.VOID_DUE: frozenset({PaymentState.VOIDED, PaymentState.REFUND_DUE}),
    PaymentState.VOIDED: frozenset({PaymentState.VOID_DUE, PaymentState.REFUND_DUE}),
    PaymentState.REFUND_DUE: frozenset({PaymentState.REFUNDED}),
    PaymentState.REFUNDED: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in the minor units of its currency (cents)."""

    amount: int
    currency: str

    def as_json(self) -> dict[str, object]:
        """Return the money as shoppers' clients read it."""
        return {"amount": self.amount, "currency": self.currency}


@dataclass(frozen=True, slots=True)
class Line:
    """So many units of one sku, at the price they were held for; `shard` is where they are counted."""

    sku: str
    qty: int
    unit_amount: int
    shard: int = 0

    @classmethod
    def counted(cls, name: str, qty: int, unit_amount: int) -> "Line":
        """Return the line that is counted on the shard called `name`."""
        sku, _, number = name.partition(SHARD)
        return cls(sku, qty, unit_amount, int(number or 0))

    @property
    def shard_name(self) -> str:
        """Return what the ledger and Redis call the shard."""
        return shard_name(self.sku, self.shard)


@dataclass(frozen=True, slots=True)
class Wave:
    """Units that come later; a wave is known by its time."""

    at_ms: int
    units: int


@dataclass(frozen=True, slots=True)
class Sku:
    """A stock line: one thing that is sold; `total` is how many there are to begin with, before waves and ops.

    Its units lie on `shards`, each counted for itself: tills that sell from different ones do not wait for each other.
    """

    sku: str
    name: str
    price: int
    total: int
    description: str = ""
    waves: tuple[Wave, ...] = ()
    shards: int = 1

    @property
    def shard_names(self) -> tuple[str, ...]:
        """Return what the ledger and Redis call its shards, the first by the name of the sku."""
        return tuple(shard_name(self.sku, number) for number in range(self.shards))

    def next_wave_ms(self, now_ms: int) -> int | None:
        """Return when more units come; None when none are to come."""
        return min((wave.at_ms for wave in self.waves if wave.at_ms > now_ms), default=None)


@dataclass(frozen=True, slots=True)
class Sale:
    """What is sold together, from when to when, and under which terms."""

    name: str
    title: str
    room: str
    currency: str
    starts_ms: int | None
    ends_ms: int | None
    hold_ms: int
    limit_per_shopper: int
    skus: Mapping[str, Sku]
    limit_per_identity: int | None = None
    max_waitlist: int = 1000
    offer_ms: int = 300_000

    @property
    def shard_names(self) -> tuple[str, ...]:
        """Return all shards of all its skus."""
        return tuple(name for each in self.skus.values() for name in each.shard_names)

    def is_open(self, now_ms: int) -> bool:
        """Tell whether holds may be taken at `now_ms`."""
        return (self.starts_ms is None or now_ms >= self.starts_ms) and not self.has_ended(now_ms)

    def has_ended(self, now_ms: int) -> bool:
        """Tell whether the sale is over at `now_ms`."""
        return self.ends_ms is not None and now_ms >= self.ends_ms

    def state(self, now_ms: int, available: Mapping[str, int]) -> SaleState:
        """Return what to tell shoppers; `available` counts the free units of each sku."""
        if self.has_ended(now_ms):
            return SaleState.ENDED
        if not self.is_open(now_ms):
            return SaleState.NOT_STARTED
        return SaleState.ACTIVE if any(free > 0 for free in available.values()) else SaleState.SOLD_OUT

    def priced(self, wanted: Iterable[tuple[str, int]]) -> tuple[Line, ...]:
        """Return `wanted` (sku, qty) with prices: one line a sku, in the order in which skus are locked.

        Raises:
            KeyError: a sku that is not in this sale.
        """
        summed: Counter[str] = Counter()
        for sku, qty in wanted:
            summed[sku] += qty
        return tuple(Line(sku, summed[sku], self.skus[sku].price) for sku in sorted(summed))

    def cost(self, lines: Iterable[Line]) -> Money:
        """Return what `lines` cost together."""
        return Money(sum(line.qty * line.unit_amount for line in lines), self.currency)


def shard_name(sku: str, number: int) -> str:
    """Return what a shard is called: the first is called like the sku."""
    return f"{sku}{SHARD}{number}" if number else sku


def sku_of(shard: str) -> str:
    """Return the sku that the shard called `shard` is a part of."""
    return shard.partition(SHARD)[0]


def check_move(moves: Mapping[State, frozenset[State]], before: State, after: State) -> None:
    """Let a move pass that `moves` has: `HOLD_MOVES` or `PAYMENT_MOVES`.

    Raises:
        ForbiddenMove: the table does not have it.
    """
    if after not in moves[before]:
        raise ForbiddenMove(f"{type(before).__name__}: {before} -> {after}")


def order_status(hold: HoldState, last_payment: PaymentState) -> OrderStatus:
    """Return what a shopper is told about an order whose latest attempt to pay is `last_payment`."""
    match hold:
        case HoldState.PAID:
            return OrderStatus.PAID
        case HoldState.REFUND_DUE | HoldState.REFUNDED:
            return OrderStatus.REFUNDED
        case HoldState.PAYING | HoldState.CAPTURING:
            return OrderStatus.PAYING
        case HoldState.HELD | HoldState.EXPIRED | HoldState.CANCELLED:
            was_declined = last_payment is PaymentState.DECLINED
            return OrderStatus.DECLINED if was_declined else OrderStatus.EXPIRED
