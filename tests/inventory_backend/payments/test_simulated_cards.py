"""Each test card does what its name says, at its time."""

import pytest

from inventory_backend.payments.payments import ChargeStatus
from inventory_backend.payments.simulated_cards import Behaviour, Card, PaymentIntent, authorised_ms

BEHAVIOUR = Behaviour(slow_ms=3000, pause_ms=2000, late_ms=1000)


def charge(card: Card, **metadata: str) -> PaymentIntent:
    return PaymentIntent(100, "eur", card, 1000, authorised_ms(card, 1000, metadata, BEHAVIOUR), metadata)


@pytest.mark.parametrize("card", [Card.OK, Card.SLOW, Card.ERROR])
def test_a_good_card_is_authorised_at_once(card: Card) -> None:
    assert charge(card).status(1000) is ChargeStatus.AUTHORISED


def test_a_declined_card_stays_declined() -> None:
    assert charge(Card.DECLINED).status(10**12) is ChargeStatus.DECLINED


def test_3ds_asks_the_shopper_first() -> None:
    one = charge(Card.THREE_DS)

    assert one.status(2999) is ChargeStatus.ACTION_REQUIRED
    assert one.can_be_cancelled(2999)
    assert one.status(3000) is ChargeStatus.AUTHORISED


def test_the_late_card_comes_after_the_shop_stopped_waiting_and_cannot_be_cancelled() -> None:
    one = charge(Card.LATE, expires_ms="60000")

    assert one.status(60_999) is ChargeStatus.PROCESSING
    assert not one.can_be_cancelled(60_999)
    assert one.status(61_000) is ChargeStatus.AUTHORISED
    assert one.can_be_cancelled(61_000)


def test_the_late_card_of_a_shop_that_says_no_time() -> None:
    assert charge(Card.LATE, expires_ms="soon").status(2000) is ChargeStatus.AUTHORISED


def test_what_is_taken_or_let_go_stays_so() -> None:
    taken, gone = charge(Card.OK), charge(Card.OK)
    taken.captured, gone.is_cancelled = 100, True

    assert taken.status(2000) is ChargeStatus.CAPTURED
    assert gone.status(2000) is ChargeStatus.CANCELLED
    assert not taken.can_be_cancelled(2000)
