"""What several processes count adds up; what one alone counts is shown, too."""

import os
import subprocess
import sys
from pathlib import Path

from waitroom.kernel.metrics import FOLDER, fresh_folder

ROOT = str(Path(__file__).parents[3])
COUNT = """
from prometheus_client import Counter, Gauge
Counter("wr_joins", "Joins.").inc(3)
Gauge("wr_open", "Open.", multiprocess_mode="livesum").set(5)
import os; print(os.getpid())
"""
TELL = """
import sys
from waitroom.kernel.metrics import exposition, forget_process, registry
for pid in sys.argv[1:]:
    forget_process(int(pid))
print(exposition(registry()).decode())
"""


def run(code: str, folder: Path | None, *arguments: str) -> str:
    """Run `code` in a process of its own: the library looks for the folder when it is imported."""
    where = {FOLDER: str(folder)} if folder else {}
    environment = {"PYTHONPATH": ROOT, "PATH": os.environ["PATH"], **where}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_counts_of_all_processes_add_up(tmp_path: Path) -> None:
    folder = fresh_folder(tmp_path / "metrics")
    run(COUNT, folder)
    run(COUNT, folder)

    told = run(TELL, folder)

    assert "wr_joins_total 6.0" in told
    assert "wr_open 10.0" in told


def test_a_dead_process_counts_on_but_gauges_no_more(tmp_path: Path) -> None:
    folder = fresh_folder(tmp_path / "metrics")
    dead = run(COUNT, folder).strip()
    run(COUNT, folder)

    told = run(TELL, folder, dead)

    assert "wr_joins_total 6.0" in told
    assert "wr_open 5.0" in told


def test_a_process_on_its_own_shows_what_it_counts() -> None:
    assert "wr_joins_total 3.0" in run(COUNT + TELL, None)


def test_an_earlier_run_does_not_count(tmp_path: Path) -> None:
    folder = fresh_folder(tmp_path / "metrics")
    run(COUNT, folder)
    (folder / "notes.txt").write_text("not ours")

    assert fresh_folder(folder) == folder
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert "wr_joins" not in run(TELL, folder)
