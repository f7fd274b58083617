"""Find the data folders, in a wheel as in a checkout."""

from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path


def folder(name: str) -> Traversable:
    """Return the data folder `name`: the copy inside the wheel, else the one at the top of the checkout."""
    packaged = files("waitroom") / name
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / name
