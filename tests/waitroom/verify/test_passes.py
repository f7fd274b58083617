"""One pass is checked: its signature, its room, its date, and that there is exactly one."""

import hmac
import json
import subprocess
import sys
from base64 import urlsafe_b64decode

import pytest

from tests.fakes import FakeClock
from waitroom.kernel.errors import BadToken, ConfigFault
from waitroom.kernel.tokens import Keys, Pass, UpstreamPassSigner
from waitroom.verify.passes import Verifier, pass_values, upstream_signer

OLD, NEW = b"the-old-secret-that-is-32-bytes-long", b"the-new-secret-that-is-32-bytes-long"


@pytest.fixture
def signer(keys: Keys) -> UpstreamPassSigner:
    return UpstreamPassSigner(keys)


@pytest.fixture
def verifier(signer: UpstreamPassSigner, clock: FakeClock) -> Verifier:
    return Verifier(signer, clock=clock, leeway_s=5)


def kind_of(verifier: Verifier, *values: str, rooms: tuple[str, ...] = ("drop",)) -> str:
    with pytest.raises(BadToken) as refused:
        verifier.verify(values, rooms)
    assert refused.value.status == 403
    return refused.value.kind


def test_a_pass_says_who_was_let_in_where_and_since_when(
    verifier: Verifier, signer: UpstreamPassSigner, clock: FakeClock
) -> None:
    pass_ = Pass("drop", "alice", clock.now_ms(), clock.now_ms() + 1)

    assert verifier.verify([signer.sign(pass_)], {"drop", "vip"}) == pass_


def test_a_pass_counts_a_little_longer_than_it_says(
    verifier: Verifier, signer: UpstreamPassSigner, clock: FakeClock
) -> None:
    def ended_before(ms: int) -> str:
        return signer.sign(Pass("drop", "alice", 0, clock.now_ms() - ms))

    assert verifier.verify([ended_before(4999)], ["drop"]).session_id == "alice"
    assert kind_of(verifier, ended_before(5000)) == "expired-pass"


def test_each_refusal_has_its_reason_for_the_log(
    verifier: Verifier, signer: UpstreamPassSigner, clock: FakeClock
) -> None:
    good = signer.sign(Pass("drop", "alice", 0, clock.now_ms() + 1))

    assert kind_of(verifier) == "no-pass"
    assert kind_of(verifier, good, good) == "repeated-pass"
    assert kind_of(verifier, good, rooms=("vip",)) == "foreign-pass"
    assert kind_of(verifier, good[:-1]) == "bad-token"
    assert kind_of(verifier, "") == "bad-token"


def test_two_keys_live_while_one_follows_the_other(clock: FakeClock) -> None:
    pass_ = Pass("drop", "alice", 0, clock.now_ms() + 60_000_000_000_000)
    by_old, by_new = (UpstreamPassSigner(Keys([secret])).sign(pass_) for secret in (OLD, NEW))

    during = Verifier.of(UpstreamPassSigner.upstream_secret(Keys([OLD, NEW])))
    after = Verifier.of(UpstreamPassSigner.upstream_secret(Keys([NEW])))

    assert during.verify([by_old], ["drop"]) == during.verify([by_new], ["drop"]) == pass_
    assert after.verify([by_new], ["drop"]) == pass_
    assert kind_of(after, by_old) == "bad-token"


def test_the_secret_comes_from_the_environment(keys: Keys, signer: UpstreamPassSigner) -> None:
    environment = {"WAITROOM_UPSTREAM_SECRET": UpstreamPassSigner.upstream_secret(keys)}

    verifier = Verifier.of(environment=environment)

    text = signer.sign(Pass("drop", "alice", 0, 60_000_000_000_000))
    assert verifier.verify([text], ["drop"]).session_id == "alice"


@pytest.mark.parametrize("secret", ["", "short", "zz" * 32, "00" * 31, "00" * 32 + ",", ",".join(["00" * 32] * 3)])
def test_an_unusable_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ConfigFault, match="WAITROOM_UPSTREAM_SECRET") as refused:
        upstream_signer(secret)

    assert not secret or secret not in str(refused.value)


def test_all_lines_of_the_name_are_seen_in_any_case() -> None:
    said = [("Host", "shop"), ("Waitroom-Pass", "a"), ("waitroom-pass", "b"), ("Waitroom-Passport", "c")]

    assert pass_values(said) == ["a", "b"]


def test_a_store_in_another_language_finds_a_pass_as_the_guide_says(keys: Keys, signer: UpstreamPassSigner) -> None:
    """docs/verify-the-pass.md, "In another language"."""
    payload, _, signature = signer.sign(Pass("drop", "alice", 1, 2)).rpartition(".")
    key = hmac.digest(bytes.fromhex(UpstreamPassSigner.upstream_secret(keys)), b"waitroom.upstream-pass", "sha256")

    assert urlsafe_b64decode(signature + "=") == hmac.digest(key, payload.encode(), "sha256")
    assert json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4))) == ["drop", "alice", 1, 2]


@pytest.mark.parametrize("name", ["Waitroom_Pass", "waitroom.pass", "WAITROOM PASS"])
def test_another_spelling_of_the_name_is_refused(name: str) -> None:
    with pytest.raises(BadToken, match="another spelling"):
        pass_values([("Waitroom-Pass", "good"), (name, "good")])


@pytest.mark.parametrize("module", ["passes", "checkpoint", "wsgi", "asgi"])
def test_a_store_that_imports_it_gets_nothing_heavy(module: str) -> None:
    code = f"import sys, waitroom.verify.{module}; print(*sorted(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    packages = {name.partition(".")[0] for name in loaded}
    assert packages & {"aiohttp", "redis", "pydantic", "jinja2", "sqlalchemy", "prometheus_client", "uvloop"} == set()
    ours = {name for name in loaded if name.startswith(("waitroom.", "inventory_backend"))}
    assert {name for name in ours if name.count(".") == 2} <= {
        "waitroom.kernel.clock",
        "waitroom.kernel.errors",
        "waitroom.kernel.tokens",
        "waitroom.rules.routes",
        *(f"waitroom.verify.{name}" for name in ("passes", "checkpoint", "wsgi", "asgi")),
    }
