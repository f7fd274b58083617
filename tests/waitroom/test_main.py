"""The `waitroom` command: its commands are listed, and what fails says so without a traceback."""

import subprocess
import sys

import pytest

from waitroom import __version__
from waitroom.__main__ import main


def test_help_says_what_one_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--help"])

    assert left.value.code == 0
    told = capsys.readouterr().out
    assert "    check " in told
    assert "traceback" not in told.lower()


def test_it_runs_as_a_module_and_says_its_version() -> None:
    done = subprocess.run([sys.executable, "-m", "waitroom", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout == f"waitroom {__version__}\n"


def test_an_unknown_command_is_refused_with_status_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["serv"])

    assert left.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


def test_a_fault_of_the_configuration_is_told_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "nowhere.toml"]) == 2
    assert capsys.readouterr().err == "nowhere.toml: cannot be read: No such file or directory\n"
