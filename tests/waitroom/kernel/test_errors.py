"""Every error has two faces: one for the log, one for the visitor."""

import pytest

from waitroom.kernel.errors import (
    BadToken,
    ConfigFault,
    ForbiddenMove,
    Refused,
    StoreUnavailable,
    UpstreamUnavailable,
    WaitroomError,
)

SECRET = "10.0.0.7:6379 secret"


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (WaitroomError(SECRET), 500, "internal"),
        (ConfigFault([SECRET]), 500, "config-fault"),
        (StoreUnavailable(SECRET), 503, "store-unavailable"),
        (UpstreamUnavailable(SECRET), 502, "upstream-unavailable"),
        (UpstreamUnavailable(SECRET, status=504), 504, "upstream-timeout"),
        (BadToken(SECRET), 403, "bad-token"),
        (BadToken(SECRET, kind="expired-pass"), 403, "expired-pass"),
        (ForbiddenMove(SECRET), 409, "forbidden-move"),
    ],
)
def test_the_log_learns_what_the_visitor_does_not(error: WaitroomError, status: int, kind: str) -> None:
    assert (error.status, error.kind, str(error)) == (status, kind, SECRET)
    assert SECRET not in error.public
    assert error.public.endswith((".", "!"))
    assert error.extra == {}


def test_a_refusal_tells_the_visitor_what_to_do() -> None:
    refusal = Refused(409, "sold-out", "Sold out.", extra={"sku": "shoe"})

    assert (refusal.status, refusal.kind, refusal.public, str(refusal)) == (
        409,
        "sold-out",
        "Sold out.",
        "sold-out: Sold out.",
    )
    assert refusal.extra == {"sku": "shoe"}


def test_all_faults_of_a_configuration_are_kept() -> None:
    fault = ConfigFault(["rooms[0].paths: is missing", "edge.listen: has no port"])

    assert fault.faults == ["rooms[0].paths: is missing", "edge.listen: has no port"]
    assert str(fault) == "rooms[0].paths: is missing; edge.listen: has no port"


@pytest.mark.parametrize("status", [425, 429, 503])
def test_who_says_later_must_say_when(status: int) -> None:
    with pytest.raises(AssertionError, match="say when"):
        Refused(status, "later", "Later.")

    assert Refused(status, "later", "Later.", retry_after_s=3).retry_after_s == 3
    assert StoreUnavailable("down", retry_after_s=9).retry_after_s == 9


def test_what_is_kept_is_a_copy() -> None:
    extra: dict[str, object] = {"a": 1}
    error = WaitroomError("x", extra=extra)
    extra["a"] = 2

    assert error.extra == {"a": 1}
