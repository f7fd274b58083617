"""What SIGHUP takes over, and what it refuses."""

from pathlib import Path

import pytest

from waitroom import config
from waitroom.cli.processes import Installation
from waitroom.cli.renewal import Renewal
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import read_secrets

TEXT = """
[edge]
workers = 2
[secrets]
file = "secret"
[[upstreams]]
name = "shop"
url = "http://127.0.0.1:9"
[[rooms]]
name = "drop"
paths = ["/"]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file, secret = tmp_path / "waitroom.toml", tmp_path / "secret"
    file.write_text(TEXT)
    secret.write_text("s" * 32)
    secret.chmod(0o600)
    return file


def renewal(file: Path) -> Renewal:
    def configured(copy: Path | None) -> config.Config:
        return config.read(file, {}, copy=copy)

    read, counts = configured(None), file.parent / "counts"
    counts.mkdir()
    keys = read_secrets({}, read.secrets.file)
    installation = Installation(file=file, config=read, keys=keys, environment={}, console_token="t", counts=counts)
    made = Renewal(installation, configured)
    made.begin(installation)
    return made


def test_settings_that_are_as_they_were_replace_nothing(file: Path) -> None:
    again = renewal(file)

    assert again() is None
    assert len(list((file.parent / "counts").iterdir())) == 1


def test_new_settings_are_read_from_a_copy_once_taken_over(file: Path) -> None:
    again = renewal(file)
    file.write_text(TEXT.replace("workers = 2", "workers = 3"))

    assert again() is not None
    renewed = again()
    assert renewed is not None, "not taken over yet, they are new again"
    programs, take_over = renewed
    take_over()

    assert [program.name for program in programs] == ["ops", "worker-1", "worker-2", "worker-3"]
    copy = Path(programs[1].argv[programs[1].argv.index("--copy") + 1])
    file.write_text("broken")
    assert copy.read_text() == TEXT.replace("workers = 2", "workers = 3")
    assert config.read(file, {}, copy=copy).secrets.file == file.parent / "secret", "paths start where they did"


def test_new_secrets_are_new_settings(file: Path) -> None:
    again = renewal(file)
    (file.parent / "secret").write_text("s" * 32 + "," + "t" * 32)

    assert again() is not None


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("workers = 2", 'listen = "127.0.0.1:9999"', "edge.listen: cannot change without a restart"),
        ("[secrets]", '[ops]\nlisten = "127.0.0.1:9998"\n[secrets]', "ops.listen: cannot change without a restart"),
        ("[secrets]", '[redis]\nurl = "redis://elsewhere/"\n[secrets]', "redis: cannot change without a restart"),
        ("[secrets]", '[backend]\nconfig = "i.toml"\n[secrets]', "backend: cannot change without a restart"),
        ("workers = 2", "workers = -2", "edge.workers: must be at least 0"),
        (TEXT, "half a", "line 1"),
    ],
)
def test_what_is_wrong_or_cannot_change_is_refused_and_told(file: Path, old: str, new: str, told: str) -> None:
    again = renewal(file)
    file.write_text(TEXT.replace(old, new))

    with pytest.raises(ConfigFault, match=told):
        again()
    file.write_text(TEXT)
    assert again() is None


def test_a_file_that_is_gone_is_told(file: Path) -> None:
    again = renewal(file)
    file.unlink()

    with pytest.raises(ConfigFault, match="cannot be read: No such file"):
        again()


def test_secrets_that_the_till_holds_a_part_of_need_a_restart(file: Path) -> None:
    file.write_text(TEXT + '[backend]\nconfig = "inventory.toml"\n')
    again = renewal(file)
    (file.parent / "secret").write_text("t" * 32)

    with pytest.raises(ConfigFault, match=r"^secrets: cannot change without a restart"):
        again()
