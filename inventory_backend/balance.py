"""Hold three books against each other: the ledger, what Redis has free, and the gateway's own list of charges."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from inventory_backend.ledger.stock_changes import Name
from inventory_backend.ledger.tallies import TAKEN, Paid, Tallies
from inventory_backend.payments.payments import ChargeStatus, Listed
from inventory_backend.sales import PaymentState
from inventory_backend.stock.glance import Glance


@dataclass(slots=True)
class Sum:
    """Money of one currency, in its minor units."""

    captured: int = 0
    refunded: int = 0

    @property
    def kept(self) -> int:
        """What is left of it with us."""
        return self.captured - self.refunded


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the books say together.

    `under_way` counts the payments that move just now, `elsewhere` those of a gateway that was not asked.
    """

    ledger: Mapping[str, Sum]
    gateway: Mapping[str, Sum]
    under_way: int
    elsewhere: int
    differences: tuple[str, ...]

    @property
    def is_balanced(self) -> bool:
        """Whether everything agrees, to the unit and to the cent."""
        return not self.differences


def compared(
    before: Tallies, listed: Mapping[str, Sequence[Listed]], free: Mapping[Name, Glance], after: Tallies
) -> Sheet:
    """Return the sheet of the providers in `listed`, each with its charges.

    The ledger was added up before and after the others were asked, as a sale may be running: what moved is left out.
    """
    charges: dict[str, list[Listed]] = defaultdict(list)
    for one in chain.from_iterable(listed.values()):
        charges[one.pid].append(one)
    charges.pop("", None)  # no payment of ours
    ours = {pid: one for pid, one in after.payments.items() if one.provider in listed}
    still = [one for pid, one in ours.items() if one.is_settled and before.payments.get(pid) == one]
    orphans = [one for pid, found in charges.items() if pid not in after.payments for one in found]
    differences = (
        *after.faults,
        *_unlike_redis(before, free, after),
        *(told for one in still if (told := _unlike(one, charges.get(one.pid, [])))),
        *(_orphan(one) for one in orphans if _has_money(one)),
    )
    at_rest = chain(orphans, *(charges.get(one.pid, []) for one in still))
    return Sheet(
        ledger=_by_currency(map(_booked, still)),
        gateway=_by_currency(map(_charged, at_rest)),
        under_way=len(ours) - len(still),
        elsewhere=len(after.payments) - len(ours),
        differences=differences,
    )


def _unlike_redis(before: Tallies, free: Mapping[Name, Glance], after: Tallies) -> Iterator[str]:
    """Yield where Redis counts otherwise, although nothing is on its way to it."""
    for name, glance in free.items():
        units = before.units[name]
        is_still = before.is_quiet and after.is_quiet and after.units.get(name) == units and not glance.soft
        if is_still and glance.free != units.free:
            yield f"{name[0]} {name[1]}: the ledger has {units.free} free, and Redis {glance.free}"


def _unlike(paid: Paid, charges: Sequence[Listed]) -> str | None:
    """Return what is wrong with a payment that is over; None when the gateway says the same."""
    about, kept = f"payment {paid.pid}: {paid.state} in the ledger", sum(map(_kept, charges))
    if paid.state in TAKEN and not charges:
        return f"{about}, and the gateway has no such charge"
    for one in charges:
        if one.cost != paid.cost:
            return f"{about} for {paid.cost.amount}, and {one.cost.amount} {one.cost.currency} at the gateway"
    if kept != paid.kept:
        return f"{about}, so {paid.kept} were kept, and {kept} at the gateway ({_states(charges)})"
    if any(one.status is ChargeStatus.AUTHORISED for one in charges):
        return f"{about}, and still authorised at the gateway"
    return None


def _orphan(charge: Listed) -> str:
    return f"charge {charge.ref} over {charge.cost.amount} {charge.cost.currency} ({charge.status}) is in no ledger"


def _has_money(charge: Listed) -> bool:
    return charge.status in {ChargeStatus.AUTHORISED, ChargeStatus.CAPTURED} and charge.cost.amount > charge.refunded


def _states(charges: Iterable[Listed]) -> str:
    return ", ".join(one.status for one in charges)


def _kept(charge: Listed) -> int:
    return charge.cost.amount - charge.refunded if charge.status is ChargeStatus.CAPTURED else 0


def _booked(paid: Paid) -> tuple[str, int, int]:
    is_back = paid.state is PaymentState.REFUNDED
    captured = paid.cost.amount if paid.state in TAKEN else 0
    return paid.cost.currency, captured, captured if is_back else 0


def _charged(charge: Listed) -> tuple[str, int, int]:
    is_taken = charge.status is ChargeStatus.CAPTURED
    return charge.cost.currency, charge.cost.amount if is_taken else 0, charge.refunded


def _by_currency(moved: Iterable[tuple[str, int, int]]) -> dict[str, Sum]:
    sums: dict[str, Sum] = defaultdict(Sum)
    for currency, captured, refunded in moved:
        sums[currency].captured += captured
        sums[currency].refunded += refunded
    return dict(sorted(sums.items()))
