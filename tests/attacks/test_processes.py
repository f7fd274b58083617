"""What somebody on the same machine could read: arguments, environments, files, ports, logs."""

import ipaddress
import json
import re
import socket
import stat
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from inventory_backend.config import Server
from tests.whole_site import ROOT, WholeSite, whole_site
from waitroom.cli.processes import Installation
from waitroom.config import Config, build
from waitroom.config.around import Edge, Ops
from waitroom.kernel.tokens import Keys, UpstreamPassSigner
from waitroom.kernel.units import Address
from waitroom.rules.challenges import solve

OURS = {
    "WAITROOM_SECRET": "the-signing-secret-of-32-characters-or-more",
    "WAITROOM_CONSOLE_TOKEN": "the-token-of-operators",
    "WAITROOM_VIEWER_TOKEN": "the-token-of-viewers",
    "WAITROOM_UPSTREAM_SECRET": "of-another-installation",
    "WAITROOM_SIMULATED_GATEWAY_SECRET": "of-another-gateway",
    "WAITROOM_STRIPE_API_KEY": "sk_live_1",
    "WAITROOM_PAYMENTS_WEBHOOK_SECRET": "whsec_of-the-real-gateway",
    "WAITROOM_IDENTITY_SECRET": "the-secret-that-the-store-shares-with-its-till",
    "WAITROOM_KAFKA_PASSWORD": "the-password-of-the-brokers",
    "WAITROOM_TILL_OPS_TOKEN": "the-token-of-those-who-refund",
    "REDIS_URL": "redis://:the-password-of-redis@127.0.0.1/",
}


def _config() -> Config:
    return build(
        {
            "rooms": [{"name": "drop", "paths": ["/"]}],
            "upstreams": [{"name": "shop", "url": "http://127.0.0.1:9"}],
            "backend": {"config": "/etc/inventory.toml", "simulated_gateway": True},
        },
        OURS,
    )


def test_each_process_is_given_what_it_needs_and_no_other_secret(keys: Keys, tmp_path: Path) -> None:
    installation = Installation(
        file=Path("/etc/waitroom.toml"),
        config=_config(),
        keys=keys,
        environment={"PATH": "/bin", **OURS},
        console_token=OURS["WAITROOM_CONSOLE_TOKEN"],
        counts=tmp_path,
        gateway=Address("127.0.0.1", 9100),
    )
    given = {
        program.name.partition("-")[0]: {name for name in program.environment if name in OURS}
        for program in installation.programs()
    }
    till = next(program for program in installation.programs() if program.name == "till")

    assert given == {
        "gateway": {"WAITROOM_SIMULATED_GATEWAY_SECRET"},
        "till": {
            "REDIS_URL",
            "WAITROOM_UPSTREAM_SECRET",
            "WAITROOM_SIMULATED_GATEWAY_SECRET",
            "WAITROOM_STRIPE_API_KEY",
            "WAITROOM_PAYMENTS_WEBHOOK_SECRET",
            "WAITROOM_IDENTITY_SECRET",
            "WAITROOM_KAFKA_PASSWORD",
            "WAITROOM_TILL_OPS_TOKEN",
        },
        "ops": {"REDIS_URL", "WAITROOM_SECRET", "WAITROOM_CONSOLE_TOKEN", "WAITROOM_VIEWER_TOKEN"},
        "worker": {"REDIS_URL", "WAITROOM_SECRET"},
    }
    assert till.environment["WAITROOM_SIMULATED_GATEWAY_SECRET"] != OURS["WAITROOM_SIMULATED_GATEWAY_SECRET"]
    assert till.environment["WAITROOM_UPSTREAM_SECRET"] == UpstreamPassSigner.upstream_secret(keys)
    assert not [name for name in installation.plain() if name in OURS]
    arguments = " ".join(part for program in installation.programs() for part in program.argv)
    assert not [value for value in OURS.values() if value in arguments]


def test_no_secret_that_a_program_reads_is_unknown_to_this_list() -> None:
    sources = [
        file.read_text("utf-8") for name in ("waitroom", "inventory_backend") for file in (ROOT / name).rglob("*.py")
    ]
    read = {
        found for text in sources for found in re.findall(r'"(WAITROOM_[A-Z_]*(?:SECRET|TOKEN|KEY|PASSWORD))"', text)
    }

    assert read - set(OURS) == set()


def test_by_default_nothing_listens_for_other_machines() -> None:
    for listen in (Edge().listen, Ops().listen, Server().listen):
        assert ipaddress.ip_address(listen.host).is_loopback


# A whole installation, as another user of the machine sees it


@pytest.fixture(scope="module")
def site() -> Iterator[WholeSite]:
    with whole_site() as found:
        yield found


def processes(site: WholeSite) -> dict[int, tuple[str, dict[str, str]]]:
    """Return arguments and environment of every process of the installation."""
    found = {}
    for pid in site.pids(""):
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        pairs = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
        found[pid] = (line, dict(pair.split("=", 1) for pair in pairs if "=" in pair))
    return found


@pytest.mark.journey
@pytest.mark.xdist_group("attacks-on-processes")
def test_no_argument_and_no_foreign_environment_holds_a_secret(site: WholeSite) -> None:
    secret = (site.folder / "secret").read_text("utf-8").strip()
    found = processes(site)
    assert len(found) >= 6, "supervisor, two workers, ops, till, gateway, Valkey"

    for line, environment in found.values():
        assert secret not in line
        assert site.token not in line
        assert secret not in str(environment)
        assert (site.token in str(environment)) == (" _ops " in line)
        assert ("WAITROOM_UPSTREAM_SECRET" in environment) == (line.split()[1:3] == ["-m", "inventory_backend"])
        if "valkey" in line.split()[0] or "redis" in line.split()[0]:
            assert set(environment) <= {"PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ", "TMPDIR"}


@pytest.mark.journey
@pytest.mark.xdist_group("attacks-on-processes")
def test_nothing_listens_for_other_machines(site: WholeSite) -> None:
    inodes = set()
    for pid in site.pids(""):
        for fd in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # it was closed meanwhile
                inodes.add(str(fd.readlink()).removeprefix("socket:[").removesuffix("]"))
    listening = []
    for table, size in (("tcp", 4), ("tcp6", 16)):
        for line in Path(f"/proc/net/{table}").read_text("ascii").splitlines()[1:]:
            parts = line.split()
            if parts[3] == "0A" and parts[9] in inodes:
                raw = bytes.fromhex(parts[1].partition(":")[0])
                words = b"".join(raw[at : at + 4][::-1] for at in range(0, size, 4))
                listening.append(ipaddress.ip_address(words))

    assert len(listening) >= 4  # for shoppers, whose workers share one; operators; the till; the gateway
    assert all(address.is_loopback for address in listening)


@pytest.mark.journey
@pytest.mark.xdist_group("attacks-on-processes")
def test_files_with_secrets_and_state_are_for_their_owner_only(site: WholeSite) -> None:
    told = {"waitroom.toml", "inventory.toml"}  # written by the operator
    open_to_others = []
    for path in site.folder.rglob("*"):
        mode = stat.S_IMODE(path.lstat().st_mode)
        is_below_private = any(
            stat.S_IMODE(parent.stat().st_mode) & 0o077 == 0
            for parent in path.parents
            if parent.is_relative_to(site.folder) and parent != site.folder
        )
        if mode & 0o077 and not is_below_private and path.name not in told:
            open_to_others.append(f"{path.relative_to(site.folder)} {mode:04o}")
    sock = site.folder / "valkey" / "valkey.sock"

    assert open_to_others == []
    assert stat.S_ISSOCK(sock.stat().st_mode)
    assert stat.S_IMODE(sock.stat().st_mode) == 0o700
    assert stat.S_IMODE(sock.parent.stat().st_mode) == 0o700


@pytest.mark.journey
@pytest.mark.xdist_group("attacks-on-processes")
def test_no_log_holds_a_token_a_cookie_a_query_or_an_address(site: WholeSite) -> None:
    address = "198.51.100.77"

    def ask(path: str, body: bytes | None = None, **headers: str) -> dict[str, str]:
        sent = {"X-Forwarded-For": address, "Content-Type": "application/json", **headers}
        with urllib.request.urlopen(urllib.request.Request(site.url + path, body, sent), timeout=5) as answer:
            found: dict[str, str] = json.load(answer)
            return found

    challenge = ask("/.waitroom/drop/challenge", b"")["challenge"]
    solved = json.dumps({"challenge": challenge, "solution": solve(challenge)}).encode()
    ticket = ask("/.waitroom/drop/queue/register", solved)["ticket"]
    ask("/.waitroom/drop/queue/status?secret=of-the-query", None, Authorization=f"Waitroom {ticket}")
    with socket.create_connection(("127.0.0.1", site.port)) as raw:
        raw.sendall(f"GET / HTTP/1.1\r\nHost: h\r\nCookie : wr_drop_ticket={ticket}\r\n\r\n".encode())
        assert b"400" in raw.recv(1000)
    written = site.log + "".join(Path(path).read_text("utf-8", "replace") for path in _outputs(site))

    assert "process started" in written
    for secret in (ticket, ticket[-40:], challenge, "of-the-query", address, site.token):
        assert secret not in written


def _outputs(site: WholeSite) -> list[Path]:
    return [site.home.parent / f"{site.home.name}.out"]
