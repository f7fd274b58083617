"""Who is told: sound settings are taken, every fault is told, no address leads inside unseen."""

from base64 import b64encode
from pathlib import Path

import pytest

from inventory_backend.receivers import KAFKA_PASSWORD_VARIABLE, Kafka, Mail, Webhook, is_public, mail_address
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import parse

URL = "https://erp.example/hooks"


def secret(fill: str = "k", length: int = 32) -> str:
    return "whsec_" + b64encode(fill.encode() * length).decode()


def kept(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "hook.secret"
    path.write_text(text)
    path.chmod(mode)
    return path


def hook(path: Path, **terms: object) -> Webhook:
    return parse({"name": "erp", "url": URL, "secret_file": str(path)} | terms, Webhook)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "192.168.0.1",
        "172.16.0.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "ff02::1",
    ],
)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"])
def test_an_address_of_the_open_network_is(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://erp.example/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://localhost/",
        "https://LOCALHOST./",
        "ftp://erp.example/",
        "https://",
        "https://a@erp.example/",
        "https://erp.example/#x",
        "https://erp.example:0/",
        "https://erp.example/\r\nx: y",
        "https://[::1/",
        "erp.example",
    ],
)
def test_a_url_that_leads_inside_or_nowhere_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigFault, match=r"^url"):
        hook(kept(tmp_path, secret()), url=url)


def test_the_operator_may_allow_a_receiver_of_their_own(tmp_path: Path) -> None:
    assert hook(kept(tmp_path, secret()), url="http://127.0.0.1:8/", allow_private=True).allow_private


def test_one_secret_or_two_are_read(tmp_path: Path) -> None:
    assert hook(kept(tmp_path, secret())).secrets() == (b"k" * 32,)
    assert hook(kept(tmp_path, f"{secret()}\n{secret('n')}\n")).secrets() == (b"k" * 32, b"n" * 32)


@pytest.mark.parametrize(
    "text",
    ["", "hunter2", secret()[6:], secret(length=23), secret(length=65), "whsec_???", " ".join([secret()] * 3)],
)
def test_anything_else_is_no_secret_and_is_not_repeated(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigFault, match="whsec_") as refused:
        hook(kept(tmp_path, text)).secrets()
    assert not text or text not in str(refused.value)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="chmod 600"):
        hook(kept(tmp_path, secret(), 0o644)).secrets()


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConfigFault) as refused:
        parse({"name": "erp", "url": "http://10.0.0.1/"}, Webhook)

    assert [fault.partition(":")[0] for fault in refused.value.faults] == ["url", "url", "secret_file"]


@pytest.mark.parametrize("good", ["a@b.example", "a.b+c@x-y.example", "o'neil@b.co", "x" * 64 + "@b.example"])
def test_a_mail_address_is_taken_as_it_is(good: str) -> None:
    assert mail_address(good) == good


@pytest.mark.parametrize(
    "bad",
    [
        *("", "a", "@b.example", "a@", "a@b", "a@b.example\n", "a@b.example\r\nBcc: c@d.example", "a b@c.example"),
        *(
            "a@b.example,c@d.example",
            "<a@b.example>",
            '"a"@b.example',
            ".a@b.example",
            "a..b@c.example",
            "a@-b.example",
        ),
        *("a@b@c.example", "\u00e4@b.example", "a@[127.0.0.1]", "x" * 65 + "@b.example", "a@" + "b." * 130 + "example"),
    ],
)
def test_anything_else_is_none_and_is_not_repeated(bad: str) -> None:
    with pytest.raises(ValueError, match="must be a mail address") as refused:
        mail_address(bad)
    assert len(bad) < 2 or bad not in str(refused.value)


def test_the_faults_of_mail_are_told_at_once() -> None:
    with pytest.raises(ConfigFault) as refused:
        parse({"host": "mx", "username": "shop", "security": "none"}, Mail)

    assert [fault.partition(":")[0] for fault in refused.value.faults] == ["sender", "password_file", "security"]


def test_the_password_stands_in_a_file(tmp_path: Path) -> None:
    assert parse({}, Mail).password() == ""
    assert parse({"password_file": str(kept(tmp_path, "right\n"))}, Mail).password() == "right"


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        ({"servers": ["broker"]}, "servers"),
        ({"servers": ["kafka://broker:9092"]}, "servers"),
        ({"topic": "or ders"}, "topic"),
        ({"topic": ""}, "topic"),
        ({"events": ["order.lost"]}, "events"),
        ({"events": []}, "events"),
        ({"security": "none", "username": "till"}, "security: must be tls"),
        ({"mechanism": "OAUTHBEARER"}, "mechanism"),
        ({"timeout": "0s"}, "timeout"),
        ({"password": "secret"}, "password"),
    ],
)
def test_a_topic_that_cannot_be_told_is_refused(terms: dict[str, object], fault: str) -> None:
    with pytest.raises(ConfigFault) as refused:
        parse({"servers": ["broker:9093"]} | terms, Kafka)
    assert refused.value.faults[0].startswith(fault)


def test_the_password_of_kafka_comes_from_the_environment_or_from_a_file_that_is_private(tmp_path: Path) -> None:
    chosen = parse({"username": "till", "password_file": str(kept(tmp_path, "in-the-file\n"))}, Kafka)

    assert chosen.password({}) == "in-the-file"
    assert chosen.password({KAFKA_PASSWORD_VARIABLE: "in-the-environment"}) == "in-the-environment"
    assert parse({}, Kafka).password({KAFKA_PASSWORD_VARIABLE: "unused"}) == ""
    kept(tmp_path, "in-the-file", 0o640)
    with pytest.raises(ConfigFault, match="others may read it"):
        chosen.password({})
