"""What a gateway signs is believed for a while, and nothing else is; Stripe's own library agrees."""

import pytest
import stripe

from inventory_backend.payments.signatures import TOLERANCE_S, is_genuine, sign
from waitroom.kernel.clock import SystemClock

NEW, OLD = b"whsec_new", b"whsec_old"
NOW_S = 1_700_000_000
BODY = b'{"id":"evt_1"}'


@pytest.mark.parametrize("secrets", [[NEW], [OLD, NEW], [NEW, OLD]])
def test_either_of_two_secrets_is_good_while_one_follows_the_other(secrets: list[bytes]) -> None:
    assert is_genuine(secrets, sign(NEW, NOW_S, BODY), BODY, NOW_S)


def test_a_header_may_carry_signatures_under_both_secrets() -> None:
    both = f"{sign(OLD, NOW_S, BODY)},{sign(NEW, NOW_S, BODY).partition(',')[2]},v0=abc"

    assert is_genuine([NEW], both, BODY, NOW_S)


@pytest.mark.parametrize("off_s", [-TOLERANCE_S - 1, TOLERANCE_S + 1])
def test_what_was_signed_long_ago_or_will_be_is_not_believed(off_s: int) -> None:
    assert not is_genuine([NEW], sign(NEW, NOW_S + off_s, BODY), BODY, NOW_S)


@pytest.mark.parametrize(
    "header",
    [
        "",
        "v1=",
        f"t={NOW_S}",
        f"t={NOW_S},v1=",
        f"t={NOW_S},v1={'0' * 64}",
        sign(NEW, NOW_S, BODY).replace("v1", "v0"),
        sign(NEW, NOW_S, BODY).upper(),
        sign(NEW, NOW_S, BODY) + f",t={NOW_S}",
        sign(NEW, NOW_S, BODY).replace(f"t={NOW_S}", f"t={NOW_S + 1}"),
        sign(NEW, NOW_S, BODY).replace(f"t={NOW_S}", "t=\u0661"),
        sign(NEW, NOW_S, BODY) + ",v1=0" * 500,
        sign(NEW, NOW_S, BODY + b" "),
        sign(OLD, NOW_S, BODY),
    ],
)
def test_anything_else_is_forged(header: str) -> None:
    assert not is_genuine([NEW], header, BODY, NOW_S)


def test_without_a_secret_nothing_is_genuine() -> None:
    assert not is_genuine([], sign(b"", NOW_S, BODY), BODY, NOW_S)


def test_the_library_of_stripe_agrees_both_ways() -> None:
    now_s = SystemClock().now_ms() // 1000
    assert stripe.WebhookSignature.verify_header(BODY.decode(), sign(NEW, now_s, BODY), NEW.decode(), TOLERANCE_S)

    theirs = stripe.WebhookSignature.generate_signature_header(BODY.decode(), NEW.decode(), NOW_S)
    assert is_genuine([NEW], theirs, BODY, NOW_S)
