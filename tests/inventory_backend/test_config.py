"""What the operator may set: sound files are read, every fault is told, the shipped file says the defaults."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from inventory_backend import config
from inventory_backend.config import (
    Config,
    Ledger,
    Redis,
    Sale,
    Server,
    Wave,
    read,
    upstream_signer,
)
from inventory_backend.paying import Payments
from inventory_backend.receivers import Confirmations, Kafka, Mail, Webhook
from inventory_backend.secret_files import Secrets
from tests.till import KEYS
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.logs import Logs
from waitroom.kernel.settings import parse
from waitroom.kernel.tokens import Pass, UpstreamPassSigner

SHIPPED = Path(__file__).parents[2] / "config" / "inventory.toml"
SMALL = {"sales": [{"name": "drop", "skus": [{"sku": "a", "name": "A", "price": 1, "total": 1}]}]}


def test_the_shipped_file_says_the_defaults() -> None:
    shipped, small = read(SHIPPED, {}), parse(SMALL, Config)

    for table in (
        "server",
        "redis",
        "ledger",
        "room",
        "payments",
        "confirmations",
        "mail",
        "kafka",
        "secrets",
        "logs",
        "webhooks",
    ):
        assert getattr(shipped, table) == getattr(small, table)
    own = {"name", "skus"}
    assert shipped.sales[0].model_dump(exclude=own) == small.sales[0].model_dump(exclude=own)


@pytest.mark.parametrize(
    "model",
    [
        Server,
        Redis,
        Ledger,
        config.Room,
        Payments,
        Confirmations,
        Mail,
        Kafka,
        Webhook,
        Secrets,
        Logs,
        Sale,
        config.Sku,
        Wave,
    ],
)
def test_the_shipped_file_names_every_setting_with_a_comment(model: type[BaseModel]) -> None:
    text = SHIPPED.read_text("utf-8")
    for field in model.model_fields.values():
        key = field.validation_alias
        if key not in {"skus", "waves"}:
            assert re.search(rf"^(# )?{key} = .+ +# .+$", text, re.MULTILINE), key
        assert field.description


def test_every_fault_is_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    path.write_text("""
        [server]
        listen = "9000"
        [ledger]
        url = "mysql://x"
        group_delay = "1m"
        [payments]
        provider = "bank"
        window = 60
        [[sales]]
        name = "drop"
        starts_at = 2026-11-28T10:00:00
        hold = "0s"
        currency = "euro"
        skus = []
        [[sales]]
        name = "drop"
        limit_per_shopper = 0
        starts_at = "2026-11-28T12:00:00Z"
        ends_at = "2026-11-28T10:00:00Z"
        skus = [
            { sku = "a", name = "A", price = 1.5, total = -1 },
            { sku = "a#1", name = "", price = 1, total = 1, shards = 65 },
        ]
        """)

    with pytest.raises(ConfigFault) as refused:
        read(path, {})

    paths = [fault.partition(": ")[0] for fault in refused.value.faults]
    for expected in (
        "server.listen",
        "ledger.url",
        "ledger.group_delay",
        "payments.provider",
        "payments.window",
        "sales[0].starts_at",
        "sales[0].hold",
        "sales[0].currency",
        "sales[0].skus",
        "sales[1].limit_per_shopper",
        "sales[1].skus[0].price",
        "sales[1].skus[0].total",
        "sales[1].skus[1].sku",
        "sales[1].skus[1].name",
        "sales[1].skus[1].shards",
        "sales[1].name",
    ):
        assert expected in paths, (expected, refused.value.faults)


def test_a_sale_must_fit_together() -> None:
    sku = {"sku": "a", "name": "A", "price": 1, "total": 1}
    times = {"starts_at": "2026-11-28T12:00:00Z", "ends_at": "2026-11-28T10:00:00Z"}

    with pytest.raises(ConfigFault) as refused:
        parse({"sales": [{"name": "drop", "skus": [sku, sku], **times}]}, Config)

    assert [fault.partition(": ")[0] for fault in refused.value.faults] == ["sales[0].skus[1].sku", "sales[0].ends_at"]


def test_a_wave_comes_once_at_a_time_and_before_the_end() -> None:
    at = ["2026-11-28T09:30:00Z", "2026-11-28T10:30:00+01:00", "2026-11-28T10:00:00Z"]
    waves = [{"at": one, "add": 5} for one in at]
    sku = {"sku": "a", "name": "A", "price": 1, "total": 1}

    with pytest.raises(ConfigFault) as refused:
        parse({"sales": [{"name": "drop", "skus": [sku | {"waves": waves}]}]}, Config)
    assert [fault.partition(": ")[0] for fault in refused.value.faults] == ["sales[0].skus[0].waves[1].at"]

    late = {"ends_at": "2026-11-28T10:00:00Z", "skus": [sku | {"waves": [waves[0], waves[2]]}]}
    with pytest.raises(ConfigFault) as refused:
        parse({"sales": [{"name": "drop", **late}]}, Config)
    assert [fault.partition(": ")[0] for fault in refused.value.faults] == ["sales[0].skus[0].waves[1].at"]

    with pytest.raises(ConfigFault, match="more than"):
        parse({"sales": [{"name": "drop", "skus": [sku | {"waves": [waves[0] | {"add": 10**8}]}]}]}, Config)


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environment = {"REDIS_URL": "redis://r:1", "WAITROOM_SIMULATED_GATEWAY_URL": "http://127.0.0.1:9999"}

    found = read(SHIPPED, environment)

    assert (found.redis.url, found.payments.url) == ("redis://r:1", "http://127.0.0.1:9999")
    with pytest.raises(ConfigFault, match="url"):
        read(SHIPPED, {"REDIS_URL": "http://no"})


def test_the_ledger_is_a_file_unless_told_otherwise(tmp_path: Path) -> None:
    assert parse(SMALL, Config).ledger_url == "sqlite:///inventory.db"
    named = parse(SMALL | {"ledger": {"file": "books.db"}}, Config, folder=tmp_path)
    assert named.ledger_url == f"sqlite:///{tmp_path}/books.db"
    remote = parse(SMALL | {"ledger": {"url": "postgresql://db/shop"}}, Config)
    assert remote.ledger_url == "postgresql://db/shop"


def test_a_sale_without_a_room_belongs_to_the_one_of_its_name() -> None:
    rules = parse(SMALL, Config).sales[0].as_rules()

    assert (rules.room, rules.title, rules.limit_per_shopper, rules.hold_ms) == ("drop", "drop", 1, 600_000)


@pytest.mark.parametrize(
    "environment",
    [
        {"WAITROOM_UPSTREAM_SECRET": UpstreamPassSigner.upstream_secret(KEYS)},
        {"WAITROOM_UPSTREAM_SECRET": "00" * 32 + "," + UpstreamPassSigner.upstream_secret(KEYS)},
        {"WAITROOM_SECRET": "a-test-secret-that-is-32-bytes-long!"},
    ],
)
def test_a_pass_of_the_room_is_verified(environment: dict[str, str]) -> None:
    text = UpstreamPassSigner(KEYS).sign(Pass("drop", "alice", 0, 1000))

    assert upstream_signer(parse(SMALL, Config), environment).verify(text, room="drop", now_ms=0).session_id == "alice"


@pytest.mark.parametrize("given", ["", "short", "zz" * 32, "00" * 31, "00" * 32 + ","])
def test_an_unusable_secret_is_refused(given: str) -> None:
    with pytest.raises(ConfigFault) as refused:
        upstream_signer(parse(SMALL, Config), {"WAITROOM_UPSTREAM_SECRET": given})

    assert not given or given not in str(refused.value)


def test_the_room_is_where_the_file_says_else_where_the_one_who_starts_us_says(tmp_path: Path) -> None:
    path = tmp_path / "inventory.toml"
    small = '[[sales]]\nname = "drop"\nskus = [{ sku = "a", name = "A", price = 1, total = 1 }]\n'
    path.write_text(small)
    assert read(path, {}).room.url == ""
    assert read(path, {config.ROOM_VARIABLE: "http://127.0.0.1:8080"}).room.url == "http://127.0.0.1:8080"
    path.write_text('room = { url = "https://shop.example/" }\n' + small)
    assert read(path, {config.ROOM_VARIABLE: "http://127.0.0.1:8080"}).room.url == "https://shop.example"
    with pytest.raises(ConfigFault):
        read(path.with_name("none.toml"), {})
