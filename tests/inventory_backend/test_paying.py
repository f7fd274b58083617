"""What the operator says of the gateway: its secrets are never in the file, and never sent in the clear."""

from pathlib import Path

import pytest

from inventory_backend.paying import API_KEY_VARIABLE, SIMULATED_SECRET_VARIABLE, WEBHOOK_SECRET_VARIABLE, Payments
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import parse

SECRET = "whsec_0123456789abcdef"


def test_each_provider_has_its_usual_address() -> None:
    assert parse({}, Payments).address == "http://127.0.0.1:9100"
    assert parse({"provider": "stripe"}, Payments).address == "https://api.stripe.com"
    assert parse({"provider": "stripe", "url": "http://127.0.0.1:9"}, Payments).address == "http://127.0.0.1:9"


@pytest.mark.parametrize("url", ["http://api.stripe.com", "http://10.0.0.1", "http://localhost.evil.example"])
def test_the_secret_key_goes_nowhere_in_the_clear(url: str) -> None:
    with pytest.raises(ConfigFault, match=r"^url: .*https"):
        parse({"provider": "stripe", "url": url}, Payments)


@pytest.mark.parametrize("url", ["javascript:x", "shop.example/o", "https://shop.example", "https://a b/"])
def test_shoppers_come_back_to_an_address(url: str) -> None:
    with pytest.raises(ConfigFault):
        parse({"return_url": url}, Payments)


def private(folder: Path, text: str, mode: int = 0o600) -> str:
    file = folder / "secret"
    file.write_text(text)
    file.chmod(mode)
    return str(file)


def test_the_key_comes_from_its_file_or_from_the_environment(tmp_path: Path) -> None:
    chosen = parse({"api_key_file": private(tmp_path, "sk_live_1\n")}, Payments)

    assert chosen.api_key({}) == "sk_live_1"
    assert chosen.api_key({API_KEY_VARIABLE: "rk_test_2"}) == "rk_test_2"


@pytest.mark.parametrize(("text", "mode"), [("pk_live_1", 0o600), ("", 0o600), ("sk_live_1", 0o644)])
def test_a_key_that_is_none_or_that_others_may_read_is_refused_untold(tmp_path: Path, text: str, mode: int) -> None:
    with pytest.raises(ConfigFault) as refused:
        parse({"api_key_file": private(tmp_path, text, mode)}, Payments).api_key({})
    assert not text or text not in str(refused.value)


def test_two_webhook_secrets_live_while_one_follows_the_other(tmp_path: Path) -> None:
    chosen = parse({"webhook_secret_file": private(tmp_path, f"{SECRET}\n{SECRET}2\n")}, Payments)

    assert chosen.webhook_secrets({}) == (SECRET.encode(), f"{SECRET}2".encode())
    assert chosen.webhook_secrets({WEBHOOK_SECRET_VARIABLE: SECRET}) == (SECRET.encode(),)
    assert parse({}, Payments).webhook_secrets({}) == ()


def test_a_simulated_gateway_that_was_started_beside_us_is_believed_and_stripe_is_not_taken_for_it() -> None:
    given = {SIMULATED_SECRET_VARIABLE: f"{SECRET}9", WEBHOOK_SECRET_VARIABLE: SECRET}

    assert parse({}, Payments).webhook_secrets(given) == (f"{SECRET}9".encode(),)
    assert parse({"provider": "stripe"}, Payments).webhook_secrets(given) == (SECRET.encode(),)


@pytest.mark.parametrize("text", ["", "short", f"{SECRET} {SECRET} {SECRET}"])
def test_webhook_secrets_that_are_no_good_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigFault):
        parse({"webhook_secret_file": private(tmp_path, text)}, Payments).webhook_secrets({})
