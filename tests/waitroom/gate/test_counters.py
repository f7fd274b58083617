"""The counts of the gate, over real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waitroom.kernel import metrics

WORKER = """
import sys
from waitroom.gate import counters
counters.JOINS.labels("drop", "new").inc(int(sys.argv[1]))
counters.CHALLENGES_REFUSED.labels("drop", "forged-challenge").inc()
counters.WORKER_STARTED.set(1_700_000_000)
"""


def worker(folder: Path, joins: int) -> None:
    environment = {**os.environ, metrics.FOLDER: str(folder)}
    subprocess.run([sys.executable, "-c", WORKER, str(joins)], env=environment, check=True, timeout=30)


def test_the_counts_of_two_workers_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    worker(tmp_path, 3)
    worker(tmp_path, 4)

    told = metrics.exposition(metrics.registry()).decode()

    assert 'waitroom_joins_total{outcome="new",room="drop"} 7.0' in told
    assert 'waitroom_challenges_refused_total{reason="forged-challenge",room="drop"} 2.0' in told
    assert told.count("\nwaitroom_worker_started_timestamp_seconds{") == 2
