"""The counts of the proxy, over real processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from waitroom.kernel import metrics
from waitroom.proxy.counters import status_class

WORKER = """
from waitroom.proxy import counters
counters.ANSWERS.labels("store", counters.status_class(204)).inc()
counters.UPSTREAM_SECONDS.labels("store").observe(0.02)
counters.IN_FLIGHT.labels("store").inc(2)
"""


@pytest.mark.parametrize(("status", "label"), [(200, "2xx"), (101, "1xx"), (599, "5xx"), (0, "error"), (999, "error")])
def test_a_status_becomes_one_of_six_labels(status: int, label: str) -> None:
    assert status_class(status) == label


def test_the_answers_of_two_workers_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(metrics.FOLDER, str(tmp_path))
    for _ in range(2):
        subprocess.run([sys.executable, "-c", WORKER], env={**os.environ}, check=True, timeout=30)

    told = metrics.exposition(metrics.registry()).decode()

    assert 'waitroom_upstream_answers_total{status_class="2xx",upstream="store"} 2.0' in told
    assert 'waitroom_upstream_seconds_bucket{le="0.025",upstream="store"} 2.0' in told
    assert 'waitroom_upstream_in_flight{upstream="store"} 4.0' in told
