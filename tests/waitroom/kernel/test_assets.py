"""The data folders are found wherever the software runs from."""

import subprocess
import sys
from pathlib import Path

import pytest

from waitroom.kernel.assets import folder


@pytest.mark.parametrize(("name", "held"), [("lua", "limits"), ("templates", "static")])
def test_a_checkout_gives_the_folder_at_its_top(name: str, held: str) -> None:
    assert (folder(name) / held).is_dir()


def test_it_does_not_matter_where_one_stands(tmp_path: Path) -> None:
    told = "from waitroom.kernel.assets import folder; print((folder('lua') / 'limits' / 'take.lua').is_file())"
    root = str(Path(__file__).parents[3])
    ran = subprocess.run(
        [sys.executable, "-c", told], cwd=tmp_path, env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )

    assert ran.stdout == "True\n"


def test_a_folder_inside_the_package_comes_first() -> None:
    """As in a wheel, where lua/ and templates/ lie in the package; test_wheel.py builds a real one."""
    assert folder("kernel") == Path(__file__).parents[3] / "waitroom" / "kernel"
