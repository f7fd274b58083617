"""What we start never outlives us, not even when we are killed."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import eventually
from waitroom.kernel.lifeline import tied

PARENT = """
import subprocess, sys, signal, time
from waitroom.kernel.lifeline import tied
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], preexec_fn=tied())
print(child.pid, flush=True)
time.sleep(600)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_a_child_dies_with_a_parent_that_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = int(await parent.stdout.readline())
    assert is_alive(child)

    parent.kill()
    await parent.communicate()

    await eventually(lambda: not is_alive(child))


def test_a_child_keeps_the_life_it_has_while_the_parent_lives() -> None:
    with subprocess.Popen(["sleep", "600"], preexec_fn=tied(signal.SIGTERM)) as child:
        assert is_alive(child.pid)

        os.kill(child.pid, signal.SIGTERM)

        assert child.wait(10) == -signal.SIGTERM
