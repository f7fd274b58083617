"""`waitroom check` says ok with a summary, or names every fault."""

from pathlib import Path

import pytest

from tests import certificate
from waitroom.__main__ import main
from waitroom.cli.check import notes
from waitroom.config import build

ROOT = Path(__file__).parents[3]
ROOMS = [{"name": "drop", "paths": ["/"]}]
UPSTREAMS = [{"name": "store", "url": "http://store:9000"}]


def test_a_sound_file_is_summed_up(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAITROOM_SECRET", "s" * 32)
    monkeypatch.delenv("REDIS_URL", raising=False)

    assert main(["check", str(ROOT / "tests/config/good/two-rooms.toml")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("ok\n")
    assert "https://store.internal:8443" in told
    assert "1h30m" in told
    assert "drop: early from 2026-11-28T09:00:00Z to 2026-11-28T11:00:00Z, people may gather 1h before" in told
    assert "word" not in told  # the password of Redis


def test_every_fault_is_named_and_the_status_is_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "waitroom.toml"
    path.write_text('[edge]\nworkers = -1\n[[rooms]]\nname = "drop"\n')

    assert main(["check", str(path)]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "edge.workers: must be at least 0",
        "upstreams: is missing; add it",
        "rooms[0].paths: is missing; add it",
    ]


def test_what_a_start_would_refuse_is_noted_before_it(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("open")
    token.chmod(0o644)
    written = {
        "rooms": ROOMS,
        "upstreams": UPSTREAMS,
        "edge": {"listen": "0.0.0.0:80"},
        "ops": {"listen": "0.0.0.0:81"},
        "secrets": {"console_token_file": str(token)},
        "backend": {"simulated_gateway": True},
    }

    told = "\n".join(notes(build(written, {}), {}))
    for words in ("secret: none is set", str(token), "embedded", "in the clear", "firewall", "no real"):
        assert words in told


def test_a_production_setup_has_nothing_to_note() -> None:
    written = {
        "rooms": ROOMS,
        "edge": {"listen": "0.0.0.0:80", "public_origin": "https://shop.example"},
        "redis": {"url": "redis://redis"},
        "upstreams": UPSTREAMS,
    }

    assert list(notes(build(written, {}), {"WAITROOM_SECRET": "s" * 32})) == []


def test_a_host_of_a_room_that_is_not_served_is_noted() -> None:
    written = {
        "rooms": [{"name": "drop", "paths": ["/"], "hosts": ["shop.example", "old.example"]}],
        "edge": {"allowed_hosts": ["shop.example", "*.example.org"]},
        "upstreams": UPSTREAMS,
        "routes": [{"hosts": ["b.example.net", "a.example.org"], "paths": ["/"], "upstream": "store"}],
    }

    told = [note for note in notes(build(written, {}), {}) if "allowed_hosts" in note]
    assert [note.split('"')[1] for note in told] == ["old.example", "b.example.net"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("none", "to 2026-11-28T11:00:00Z\n"),
        ("drand", ", turned by drand's round 34351014 at 2026-11-28T09:00:06Z\n"),
        ("manual", ", turned by `waitroom ctl spin drop` within 30s\n"),
    ],
)
def test_what_will_turn_a_draw_is_told_so_that_it_can_be_announced(
    kind: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "waitroom.toml"
    path.write_text(
        f"""
        [[upstreams]]
        name = "store"
        url = "http://store:9000"
        [[rooms]]
        name = "drop"
        paths = ["/"]
        queueing_method = "random"
        beacon.kind = "{kind}"
        [[rooms.events]]
        name = "opening"
        event_start_time = 2026-11-28T09:00:00Z
        event_end_time = 2026-11-28T11:00:00Z
        """
    )

    assert main(["check", str(path)]) == 0
    assert told in capsys.readouterr().out


def test_what_is_wrong_with_a_certificate_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, other = certificate.made(tmp_path, "one"), certificate.made(tmp_path, "other")
    file = tmp_path / "waitroom.toml"
    tables = '[[upstreams]]\nname = "s"\nurl = "http://s:1"\n[[rooms]]\nname = "drop"\npaths = ["/"]\n'
    file.write_text(f'[edge]\ntls_certificate = "{one.certificate}"\ntls_key = "{other.key}"\n{tables}')

    assert main(["check", str(file)]) == 2
    assert "they do not belong together" in capsys.readouterr().err


def test_a_key_that_all_may_read_and_cookies_that_are_not_secure_are_noted(tmp_path: Path) -> None:
    pair = certificate.made(tmp_path)
    pair.key.chmod(0o644)
    files = {"tls_certificate": str(pair.certificate), "tls_key": str(pair.key)}
    told = "\n".join(notes(build({"edge": files, "rooms": ROOMS, "upstreams": UPSTREAMS}, {}), {}))

    assert f"edge.tls_key: everybody on this machine may read {pair.key}" in told
    assert "cookies are not Secure" in told
