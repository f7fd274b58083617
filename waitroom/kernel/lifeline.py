"""Tie a process that we start to our own life: when we die, however we die, it dies too.

A supervisor that is killed with SIGKILL cannot clean up. What it started would go on holding the ports.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal a process gets when the thread that started it ends; execve keeps it."""

_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def tied(last_signal: signal.Signals = signal.SIGKILL) -> Callable[[], None]:
    """Return a `preexec_fn`: the new process gets `last_signal` when the thread that started it ends.

    Start processes from the main thread, therefore. Where the kernel is not Linux nothing is tied.
    """
    parent = os.getpid()

    def tie() -> None:
        if _prctl is None:
            return
        _prctl(_PR_SET_PDEATHSIG, int(last_signal))
        if os.getppid() != parent:  # we died before the call above
            os.kill(os.getpid(), signal.SIGKILL)

    return tie
