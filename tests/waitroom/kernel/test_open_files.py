"""More open files are asked for than a shell grants at first, and no more than may be had."""

import resource
from collections.abc import Iterator

import pytest

from waitroom.kernel.open_files import open_files


@pytest.fixture(autouse=True)
def limits() -> Iterator[tuple[int, int]]:
    """Give the limits of this process, and put them back."""
    found = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield found
    resource.setrlimit(resource.RLIMIT_NOFILE, found)


def test_what_is_granted_already_is_not_lowered(limits: tuple[int, int]) -> None:
    assert open_files(10) == 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == limits


def test_the_soft_limit_is_raised_and_the_hard_one_holds(limits: tuple[int, int]) -> None:
    _, hard = limits
    resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))

    assert open_files(400) == 400
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (400, hard)
    if hard != resource.RLIM_INFINITY:
        assert open_files(hard + 1) == hard
