"""The counts of connections, over real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waitroom.kernel import metrics

WORKER = """
from waitroom.wire import counters
counters.CONNECTIONS.inc(3)
counters.CONNECTIONS_CUT.labels("full").inc()
"""


def test_the_connections_of_two_workers_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    for _ in range(2):
        subprocess.run([sys.executable, "-c", WORKER], env={**os.environ}, check=True, timeout=30)

    told = metrics.exposition(metrics.registry()).decode()

    assert "waitroom_connections 6.0" in told
    assert 'waitroom_connections_cut_total{why="full"} 2.0' in told
