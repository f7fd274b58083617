"""The cookie of a signed-in browser."""

from itsdangerous import URLSafeSerializer

from tests.fakes import FakeClock
from waitroom.console.sign_ins import LIFETIME_MS, Role, SignIns
from waitroom.kernel.tokens import Keys

TOKENS = {Role.OPERATOR: "the-operator-token", Role.VIEWER: "the-viewer-token"}


def test_a_cookie_says_who_is_signed_in(clock: FakeClock, keys: Keys) -> None:
    sign_ins = SignIns(TOKENS, keys, clock)

    found = sign_ins.verify(sign_ins.sign(Role.VIEWER, "Grace"))

    assert found is not None
    assert (found.role, found.name, found.until_ms) == (Role.VIEWER, "Grace", clock.now_ms() + LIFETIME_MS)


def test_a_damaged_a_foreign_and_an_empty_cookie_are_nobody(clock: FakeClock, keys: Keys) -> None:
    sign_ins = SignIns(TOKENS, keys, clock)
    text = sign_ins.sign(Role.OPERATOR, "Ada")
    foreign = SignIns(TOKENS, Keys([b"another-secret-that-is-32-bytes-long"]), clock).sign(Role.OPERATOR, "Eve")
    other_purpose = URLSafeSerializer(keys.derive("ticket"), salt="waitroom.ticket").dumps(
        ["operator", "Eve", 1, "", ""]
    )

    assert [sign_ins.verify(each) for each in (text[:-2] + "xx", foreign, "", "a.b", str(other_purpose))] == [None] * 5


async def test_a_cookie_runs_out(clock: FakeClock, keys: Keys) -> None:
    sign_ins = SignIns(TOKENS, keys, clock)
    text = sign_ins.sign(Role.OPERATOR, "Ada")

    await clock.advance(LIFETIME_MS / 1000)

    assert sign_ins.verify(text) is None


def test_a_new_token_ends_the_cookies_of_the_old_one_and_no_others(clock: FakeClock, keys: Keys) -> None:
    before = SignIns(TOKENS, keys, clock)
    operator, viewer = before.sign(Role.OPERATOR, "Ada"), before.sign(Role.VIEWER, "Grace")

    after = SignIns({**TOKENS, Role.OPERATOR: "the-new-operator-token"}, keys, clock)

    assert after.verify(operator) is None
    assert after.verify(viewer) is not None


def test_a_role_without_a_token_has_no_cookies(clock: FakeClock, keys: Keys) -> None:
    viewer = SignIns(TOKENS, keys, clock).sign(Role.VIEWER, "Grace")

    assert SignIns({Role.OPERATOR: TOKENS[Role.OPERATOR]}, keys, clock).verify(viewer) is None


async def test_signing_out_ends_the_cookie_also_for_who_copied_it(clock: FakeClock, keys: Keys) -> None:
    sign_ins = SignIns(TOKENS, keys, clock)
    first, second = sign_ins.sign(Role.OPERATOR, "Ada"), sign_ins.sign(Role.OPERATOR, "Ada")
    signed_in = sign_ins.verify(first)
    assert signed_in is not None

    sign_ins.end(signed_in)

    assert sign_ins.verify(first) is None
    assert sign_ins.verify(second) is not None
