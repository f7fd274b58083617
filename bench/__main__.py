"""Measure everything and print it: `python -m bench [--quick]`, or `make bench`."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from bench import auth, gate, hour, till

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    """Run every comparison in a folder of its own; print and keep the figures."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer, shorter rounds: to see that it runs")
    quick = parser.parse_args().quick
    missing = [name for name in ("nginx", "wrk", "taskset") if shutil.which(name) is None]
    if missing:
        print(f"bench needs {', '.join(missing)}: apt-get install nginx-light wrk util-linux", file=sys.stderr)
        return 2
    rounds, seconds, count = (1, 1, 500) if quick else (5, 3, 5000)
    found: dict[str, object] = {}
    with tempfile.TemporaryDirectory(prefix="wr-bench-") as folder:
        root = Path(folder)
        root.chmod(0o755)  # nginx's worker is another user when we are root
        for name in ("hot", "auth", "join", "reserve"):
            (root / name).mkdir()
        found["hot"] = gate.hot(root / "hot", rounds=rounds, seconds=seconds)
        found["auth"] = auth.verdicts(root / "auth", rounds=rounds, seconds=seconds)
        found["join"] = gate.joins(root / "join", rounds=rounds, count=count // 2)
        found["reserve"] = till.reserves(root / "reserve", buyers=2 * count, connections=256)
        found["hour"] = hour.deviations(root / "hour", quick=quick)
    print(json.dumps(found, indent=2))
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "latest.json").write_text(json.dumps(found, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
