"""The rules of selling."""

from enum import StrEnum
from itertools import product

import pytest

from inventory_backend.sales import (
    COUNTED,
    HOLD_MOVES,
    PAYMENT_MOVES,
    HoldState,
    Line,
    OrderStatus,
    PaymentState,
    SaleState,
    check_move,
    order_status,
    sku_of,
)
from tests.till import sale
from waitroom.kernel.errors import ForbiddenMove


@pytest.mark.parametrize(("before", "after"), list(product(HoldState, HoldState)))
def test_a_hold_makes_the_moves_of_the_table_and_no_other(before: HoldState, after: HoldState) -> None:
    if after in HOLD_MOVES[before]:
        check_move(HOLD_MOVES, before, after)
    else:
        with pytest.raises(ForbiddenMove):
            check_move(HOLD_MOVES, before, after)


@pytest.mark.parametrize(("before", "after"), list(product(PaymentState, PaymentState)))
def test_a_payment_makes_the_moves_of_the_table_and_no_other(before: PaymentState, after: PaymentState) -> None:
    if after in PAYMENT_MOVES[before]:
        check_move(PAYMENT_MOVES, before, after)
    else:
        with pytest.raises(ForbiddenMove):
            check_move(PAYMENT_MOVES, before, after)


@pytest.mark.parametrize("table", [HOLD_MOVES, PAYMENT_MOVES])
def test_every_state_has_its_row(table: dict[StrEnum, frozenset[StrEnum]]) -> None:
    states = type(next(iter(table)))
    assert set(table) == set(states)


def test_only_a_counted_hold_is_ever_paid() -> None:
    assert all(before in COUNTED for before, moves in HOLD_MOVES.items() if HoldState.PAID in moves)
    assert HOLD_MOVES[HoldState.PAID] == {HoldState.REFUND_DUE}, "what is sold stays sold, or its money goes back"


@pytest.mark.parametrize(
    ("now_ms", "free", "state"),
    [
        (999, 5, SaleState.NOT_STARTED),
        (1000, 5, SaleState.ACTIVE),
        (1000, 0, SaleState.SOLD_OUT),
        (1999, 1, SaleState.ACTIVE),
        (2000, 5, SaleState.ENDED),
        (2000, 0, SaleState.ENDED),
    ],
)
def test_a_sale_tells_its_state(now_ms: int, free: int, state: SaleState) -> None:
    assert sale(starts_ms=1000, ends_ms=2000).state(now_ms, {"sneaker": free, "laces": 0}) is state


def test_a_sale_without_times_is_open() -> None:
    assert sale().is_open(0)


def test_equal_skus_are_summed_and_priced_in_the_order_of_locking() -> None:
    lines = sale().priced([("sneaker", 1), ("laces", 2), ("sneaker", 1)])

    assert [(line.sku, line.qty, line.unit_amount) for line in lines] == [("laces", 2, 500), ("sneaker", 2, 12900)]
    assert sale().cost(lines).as_json() == {"amount": 26_800, "currency": "EUR"}


def test_a_shard_is_called_like_its_sku_and_the_first_is_it() -> None:
    one = sale(shards=2)

    assert one.shard_names == ("laces", "laces#1", "sneaker", "sneaker#1")
    for number, name in enumerate(one.skus["sneaker"].shard_names):
        line = Line.counted(name, 2, 500)
        assert (line.sku, line.shard, line.shard_name, sku_of(name)) == ("sneaker", number, name, "sneaker")


@pytest.mark.parametrize(
    ("hold", "payment", "status"),
    [
        (HoldState.PAYING, PaymentState.INIT, OrderStatus.PAYING),
        (HoldState.CAPTURING, PaymentState.AUTHORIZED, OrderStatus.PAYING),
        (HoldState.PAID, PaymentState.CAPTURED, OrderStatus.PAID),
        (HoldState.HELD, PaymentState.DECLINED, OrderStatus.DECLINED),
        (HoldState.EXPIRED, PaymentState.DECLINED, OrderStatus.DECLINED),
        (HoldState.EXPIRED, PaymentState.CANCELLED, OrderStatus.EXPIRED),
        (HoldState.EXPIRED, PaymentState.INIT, OrderStatus.EXPIRED),
        (HoldState.REFUND_DUE, PaymentState.VOID_DUE, OrderStatus.REFUNDED),
        (HoldState.REFUNDED, PaymentState.REFUNDED, OrderStatus.REFUNDED),
    ],
)
def test_a_shopper_is_told_how_the_order_stands(hold: HoldState, payment: PaymentState, status: OrderStatus) -> None:
    assert order_status(hold, payment) is status
