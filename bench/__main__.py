"""Measure everything and print it: `python -m bench [--quick]`, or `make bench`."""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench import beside, gate, hour, till
from bench.chart import drawn

RESULTS = Path(__file__).parent / "results"
CHART = Path(__file__).parents[1] / "docs" / "img" / "cost.svg"


def main() -> int:
    """Run every comparison in a folder of its own; print and keep the figures, and draw what crowds cost."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds: to see that it runs")
    quick = parser.parse_args().quick
    missing = [name for name in ("nginx", "haproxy", "wrk", "taskset") if shutil.which(name) is None]
    if missing:
        print(f"bench needs {', '.join(missing)}: apt-get install nginx-light haproxy wrk util-linux", file=sys.stderr)
        return 2
    rounds, seconds, count = (1, 1, 500) if quick else (5, 3, 5000)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder:
        root = Path(folder)
        root.chmod(0o755)  # nginx's worker is another user when we are root
        for name in ("beside", "join", "reserve"):
            (root / name).mkdir()
        found["beside"] = beside.compared(root / "beside", rounds=rounds, seconds=seconds)
        _print(found["beside"])
        found["join"] = gate.joins(root / "join", rounds=rounds, count=count // 2)
        load = till.Load(buyers=count, connections=1000, paces=[None, 500, 1000])
        found["reserve"] = till.compared(root / "reserve", load, rounds=1 if quick else 3)
        found["hour"] = hour.deviations(root / "hour", quick=quick)
    print(json.dumps({name: figures for name, figures in found.items() if name != "beside"}, indent=2))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(found, indent=2) + "\n")
    if not quick:
        CHART.write_text(drawn(found["beside"]))
    return 0


def _print(compared: Mapping[str, Mapping[str, Any]]) -> None:
    table = Table("", "waitroom", "nginx", "HAProxy", "beside nginx", title="CPU a request, µs: median (least to most)")
    for name, case in compared.items():
        costs = [case["cpu_us"].get(who) for who in ("waitroom", "nginx", "haproxy")]
        told = [f"{one['median']} ({one['least']} to {one['most']})" if one else "" for one in costs]
        table.add_row(name, *told, str(case["ratio"]["nginx"]))
    Console().print(table)


if __name__ == "__main__":
    sys.exit(main())
