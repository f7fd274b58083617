"""Three books are held against each other."""

from dataclasses import replace

import pytest

from inventory_backend.balance import Sheet, Sum, compared
from inventory_backend.ledger.tallies import Paid, Tallies, Units
from inventory_backend.payments.payments import ChargeStatus, Listed
from inventory_backend.sales import HoldState, Money, PaymentState
from inventory_backend.stock.glance import Glance

COST = Money(12900, "EUR")
NAME = ("drop", "sneaker")


def paid(state: PaymentState = PaymentState.CAPTURED, *, provider: str = "simulated", is_settled: bool = True) -> Paid:
    return Paid("p", "r", provider, state, COST, HoldState.PAID, is_settled, 0)


def charge(
    status: ChargeStatus = ChargeStatus.CAPTURED, *, cost: Money = COST, refunded: int = 0, pid: str = "p"
) -> Listed:
    return Listed("pi", status, cost, refunded, pid=pid)


def ledger(*payments: Paid, **more: object) -> Tallies:
    units = {NAME: Units(total=10, allocated=1, version=4, sold=1, held=0, aside=0)}
    whole = Tallies(units, {"drop": 1}, {one.pid: one for one in payments}, is_quiet=True, faults=())
    return replace(whole, **more)  # type: ignore[arg-type]  # passed through


def sheet(before: Tallies, *charges: Listed, free: Glance | None = None, after: Tallies | None = None) -> Sheet:
    return compared(before, {"simulated": charges}, {NAME: free} if free else {}, after or before)


def test_what_agrees_balances() -> None:
    found = sheet(ledger(paid()), charge(), free=Glance(9, 0))

    assert (found.is_balanced, found.under_way, found.elsewhere) == (True, 0, 0)
    assert (found.ledger, found.gateway) == ({"EUR": Sum(12900, 0)}, {"EUR": Sum(12900, 0)})
    assert found.ledger["EUR"].kept == 12900


@pytest.mark.parametrize(
    ("state", "charges", "told"),
    [
        (PaymentState.CAPTURED, [], "the gateway has no such charge"),
        (PaymentState.CAPTURED, [charge(ChargeStatus.AUTHORISED)], "12900 were kept, and 0 at the gateway"),
        (PaymentState.CAPTURED, [charge(refunded=12900)], "12900 were kept, and 0 at the gateway"),
        (PaymentState.CAPTURED, [charge(refunded=100)], "12900 were kept, and 12800 at the gateway"),
        (PaymentState.CAPTURED, [charge(), charge()], "12900 were kept, and 25800 at the gateway"),
        (PaymentState.CAPTURED, [charge(cost=Money(12901, "EUR"))], "for 12900, and 12901 EUR at the gateway"),
        (PaymentState.CAPTURED, [charge(cost=Money(12900, "USD"))], "for 12900, and 12900 USD at the gateway"),
        (PaymentState.DECLINED, [charge()], "0 were kept, and 12900 at the gateway"),
        (PaymentState.REFUNDED, [charge()], "0 were kept, and 12900 at the gateway"),
        (PaymentState.REFUNDED, [], "the gateway has no such charge"),
        (PaymentState.CANCELLED, [charge(ChargeStatus.AUTHORISED)], "still authorised at the gateway"),
    ],
)
def test_money_that_differs_is_told(state: PaymentState, charges: list[Listed], told: str) -> None:
    found = sheet(ledger(paid(state)), *charges)

    assert len(found.differences) == 1
    assert told in found.differences[0]


@pytest.mark.parametrize(
    ("state", "charges"),
    [
        (PaymentState.DECLINED, []),
        (PaymentState.DECLINED, [charge(ChargeStatus.DECLINED)]),
        (PaymentState.VOIDED, [charge(ChargeStatus.CANCELLED)]),
        (PaymentState.REFUNDED, [charge(refunded=12900)]),
    ],
)
def test_what_ended_without_money_balances(state: PaymentState, charges: list[Listed]) -> None:
    found = sheet(ledger(paid(state)), *charges)

    assert found.is_balanced
    assert sum(one.kept for one in (*found.ledger.values(), *found.gateway.values())) == 0


def test_what_moves_is_counted_and_not_judged() -> None:
    moving = ledger(paid(PaymentState.AUTHORIZED, is_settled=False))

    assert sheet(moving, charge()).under_way == 1
    assert sheet(ledger(), charge(), after=moving).under_way == 1
    assert sheet(moving, charge(), after=ledger(paid())).under_way == 1
    assert all(one.is_balanced for one in (sheet(moving, charge()), sheet(moving, after=ledger(paid()))))


def test_a_charge_that_no_ledger_knows_is_told_unless_it_is_nobodys_or_empty() -> None:
    assert "is in no ledger" in sheet(ledger(), charge(pid="lost")).differences[0]
    assert sheet(ledger(), charge(pid="lost")).gateway == {"EUR": Sum(12900, 0)}
    assert sheet(ledger(), charge(pid=""), charge(ChargeStatus.CANCELLED, pid="x")).is_balanced


def test_a_payment_of_a_gateway_that_was_not_asked_is_only_counted() -> None:
    found = sheet(ledger(paid(provider="stripe")))

    assert (found.is_balanced, found.elsewhere, found.ledger) == (True, 1, {})


def test_redis_differs_only_while_nothing_moves() -> None:
    still = ledger()
    told = sheet(still, free=Glance(8, 0)).differences

    assert told == ("drop sneaker: the ledger has 9 free, and Redis 8",)
    assert sheet(still, free=Glance(8, 1)).is_balanced, "a soft hold is on its way"
    assert sheet(ledger(is_quiet=False), free=Glance(8, 0)).is_balanced, "units are on their way back"
    moved = ledger(units={NAME: Units(10, 2, 5, 1, 1, 0)})
    assert sheet(still, free=Glance(8, 0), after=moved).is_balanced, "somebody bought meanwhile"


def test_a_ledger_that_contradicts_itself_does_not_balance() -> None:
    assert sheet(ledger(faults=("odd",))).differences == ("odd",)
