"""The store behind gets a secret of its own, by which it can check passes and do nothing else."""

from pathlib import Path

import pytest

from waitroom.__main__ import main
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.tokens import Keys, Pass, UpstreamPassSigner
from waitroom.verify.passes import Verifier

OLD, NEW = "the-old-secret-that-is-32-bytes-long", "the-new-secret-that-is-32-bytes-long"


def test_what_it_prints_verifies_what_the_edge_signs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WAITROOM_SECRET", f"{OLD},{NEW}")

    assert main(["upstream-secret"]) == 0

    printed = capsys.readouterr().out
    assert OLD not in printed
    verifier = Verifier.of(printed.strip())
    for secret in (OLD, NEW):
        edge = UpstreamPassSigner(Keys([secret.encode()]))
        text = edge.sign(Pass("drop", "alice", 0, SystemClock().now_ms() + 60_000))
        assert verifier.verify([text], ["drop"]).session_id == "alice"


def test_it_reads_the_secret_file_that_the_settings_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("WAITROOM_SECRET", raising=False)
    (tmp_path / "secret").write_text(NEW)
    (tmp_path / "secret").chmod(0o600)
    rest = '[[upstreams]]\nname = "store"\nurl = "http://127.0.0.1:9"\n[[rooms]]\nname = "drop"\npaths = ["/drop/"]\n'
    (tmp_path / "waitroom.toml").write_text(f'[secrets]\nfile = "secret"\n{rest}')

    assert main(["upstream-secret", "-c", str(tmp_path / "waitroom.toml")]) == 0

    assert capsys.readouterr().out.strip() == UpstreamPassSigner.upstream_secret(Keys([NEW.encode()]))


def test_without_a_secret_it_prints_none(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("WAITROOM_SECRET", raising=False)

    assert main(["upstream-secret"]) == 2
    assert capsys.readouterr().out == ""
