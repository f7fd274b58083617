"""Each process is started with what it needs, and with no secret of another."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from waitroom import config
from waitroom.cli.processes import Installation
from waitroom.kernel.tokens import Keys, UpstreamPassSigner
from waitroom.kernel.units import Address
from waitroom.supervisor import Program, Tier

TILLS = {
    "WAITROOM_IDENTITY_SECRET": "i" * 32,
    "WAITROOM_KAFKA_PASSWORD": "k" * 32,
    "WAITROOM_PAYMENTS_WEBHOOK_SECRET": "w" * 32,
    "WAITROOM_STRIPE_API_KEY": "sk_test_1",
    "WAITROOM_TILL_OPS_TOKEN": "o" * 32,
}
FOREIGN = {"PATH": "/bin", "WAITROOM_SECRET": "s" * 32, "WAITROOM_CONSOLE_TOKEN": "old"} | TILLS


def programs(
    keys: Keys,
    *,
    backend: dict[str, object] | None = None,
    workers: int = 2,
    redis: str = "",
    edge: dict[str, object] | None = None,
) -> dict[str, Program]:
    written: dict[str, object] = {
        "edge": {"workers": workers} | (edge or {}),
        "redis": {"url": redis, "folder": "data"},
        "rooms": [{"name": "drop", "paths": ["/"]}],
        "upstreams": [{"name": "shop", "url": "http://127.0.0.1:9"}],
        "backend": backend or {},
    }
    installation = Installation(
        file=Path("/etc/waitroom.toml"),
        config=config.build(written, {}),
        keys=keys,
        environment=FOREIGN,
        console_token="the-console-token",
        counts=Path("/tmp/counts"),
        gateway=Address("127.0.0.1", 9100) if backend else None,
    )
    return {program.name: program for program in installation.programs()}


def test_a_room_alone_is_its_workers_and_its_console(keys: Keys) -> None:
    found = programs(keys)

    assert list(found) == ["ops", "worker-1", "worker-2"]
    assert found["worker-1"].argv == (sys.executable, "-m", "waitroom", "_worker", "-c", "/etc/waitroom.toml")
    assert found["worker-1"].drain_s > 30


def test_no_number_of_workers_is_one_a_core(keys: Keys) -> None:
    assert sum(name.startswith("worker") for name in programs(keys, workers=0)) == len(os.sched_getaffinity(0))


def test_the_shop_is_started_beside_the_room_where_it_is_configured(keys: Keys) -> None:
    found = programs(keys, backend={"config": "/etc/inventory.toml", "simulated_gateway": True})

    assert found["till"].argv[-4:] == ("-m", "inventory_backend", "-c", "/etc/inventory.toml")
    kept = ("--file", "data/simulated-gateway.db")
    gateway = ("-m", "inventory_backend.payments.simulated_psp", "--listen", "127.0.0.1:9100", *kept)
    assert found["gateway"].argv[1:] == (*gateway, "--till", "/etc/inventory.toml")
    assert found["till"].environment["WAITROOM_SIMULATED_GATEWAY_URL"] == "http://127.0.0.1:9100"
    assert [found[name].tier for name in ("gateway", "till", "ops", "worker-1")] == sorted(Tier)[:4]


@pytest.mark.parametrize(
    ("edge", "url"),
    [
        ({"listen": "0.0.0.0:8080"}, "http://127.0.0.1:8080"),
        ({"listen": "[::]:8080", "public_origin": "https://shop.example"}, "http://[::1]:8080"),
        ({"tls_certificate": "a", "tls_key": "b", "public_origin": "https://shop.example"}, "https://shop.example"),
        ({"proxy_protocol": "required", "trusted_proxies": ["10.0.0.0/8"]}, ""),
    ],
)
def test_the_till_is_told_where_the_room_hears_what_is_left(keys: Keys, edge: dict[str, object], url: str) -> None:
    till = programs(keys, backend={"config": "/etc/inventory.toml"}, edge=edge)["till"]

    assert till.environment["WAITROOM_ROOM_URL"] == url


def test_everybody_gets_the_secret_they_need_and_no_other(keys: Keys) -> None:
    found = programs(keys, backend={"config": "/etc/inventory.toml", "simulated_gateway": True})
    secrets = {
        name: {key: value for key, value in one.environment.items() if re.search("SECRET|TOKEN|KEY|PASSWORD", key)}
        for name, one in found.items()
    }

    ours = {"WAITROOM_SECRET": "s" * 32}
    assert secrets["worker-1"] == ours
    assert secrets["ops"] == ours | {"WAITROOM_CONSOLE_TOKEN": "the-console-token"}
    tells = {"WAITROOM_SIMULATED_GATEWAY_SECRET": keys.derive("simulated-gateway")[0].hex()}
    passes = {"WAITROOM_UPSTREAM_SECRET": UpstreamPassSigner.upstream_secret(keys)}
    assert secrets["till"] == TILLS | passes | tells
    assert secrets["gateway"] == tells


def test_a_gateway_of_a_till_that_is_run_elsewhere_tells_nobody(keys: Keys) -> None:
    assert "--till" not in programs(keys, backend={"simulated_gateway": True})["gateway"].argv


def test_everybody_counts_in_one_place_and_finds_one_redis(keys: Keys) -> None:
    own = programs(keys)["worker-1"].environment
    named = programs(keys, redis="redis://cache:6379/0")["worker-1"].environment

    assert own["PROMETHEUS_MULTIPROC_DIR"] == "/tmp/counts"
    assert own["REDIS_URL"].startswith("unix:///") and own["REDIS_URL"].endswith("data/valkey.sock")
    assert named["REDIS_URL"] == "redis://cache:6379/0"


@pytest.mark.parametrize("command", ["_worker", "_ops"])
def test_a_process_without_a_secret_refuses_with_words(command: str, tmp_path: Path) -> None:
    file = tmp_path / "waitroom.toml"
    file.write_text(
        '[[upstreams]]\nname = "shop"\nurl = "http://127.0.0.1:9"\n[[rooms]]\nname = "drop"\npaths = ["/"]\n'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WAITROOM")}
    environment["WAITROOM_CONSOLE_TOKEN"] = "a-console-token-of-a-test"

    argv = [sys.executable, "-m", "waitroom", command, "-c", str(file)]
    ended = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)

    assert ended.returncode == 2
    assert ended.stderr.startswith("secret: none is set.")
