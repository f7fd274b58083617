"""Sign and verify what a gateway tells, in Stripe's scheme: `Stripe-Signature: t=…,v1=…` over the bytes as they came.

Source: https://docs.stripe.com/webhooks#verify-manually
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

HEADER = "Stripe-Signature"
TOLERANCE_S = 300
"""How old what is told may be, and how far ahead its clock: who copied it cannot keep it for later."""

_LONGEST_HEADER = 1024
_MOST_MARKS = 8


def sign(secret: bytes, at_s: int, body: bytes) -> str:
    """Return the header for `body`, sent at `at_s`."""
    return f"t={at_s},v1={_mark(secret, at_s, body)}"


def is_genuine(secrets: Sequence[bytes], header: str, body: bytes, now_s: int) -> bool:
    """Tell whether one of `secrets` signed `body` a moment ago."""
    if len(header) > _LONGEST_HEADER:
        return False
    found = [part.partition("=")[::2] for part in header.split(",")]
    times = [value for name, value in found if name.strip() == "t"]
    marks = [value for name, value in found if name.strip() == "v1" and re.fullmatch("[0-9a-f]{64}", value)]
    if len(times) != 1 or not re.fullmatch("[0-9]{1,12}", times[0]) or len(marks) > _MOST_MARKS:
        return False
    at_s = int(times[0])
    if abs(now_s - at_s) > TOLERANCE_S:
        return False
    wanted = [_mark(secret, at_s, body) for secret in secrets]
    return any([hmac.compare_digest(one, mark) for one in wanted for mark in marks])  # noqa: C419 - all, in equal time


def _mark(secret: bytes, at_s: int, body: bytes) -> str:
    return hmac.new(secret, f"{at_s}.".encode() + body, hashlib.sha256).hexdigest()
