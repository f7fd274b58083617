"""Two tills on one PostgreSQL with a standby, a hot sku whole and in two shards: `python -m bench.shards`.

Each commit waits for a real standby, which applies it so many milliseconds later as if it were far away
(`remote_apply`, `recovery_min_apply_delay`). What is measured is who waits for whom, not processors.
"""

import argparse
import asyncio
import json
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from bench.parts import SECRET, answered, on_valkey, python, running, send_all
from bench.till import CONFIG, reserve_request
from tests import postgresql
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.tokens import Keys, UpstreamPassSigner
from waitroom.kernel.units import Address

_TILLS = 2


def reserves(folder: Path, url: str, *, shards: int, buyers: int, connections: int) -> dict[str, float]:
    """Return how many reserves a second two tills hold together, and how long one takes."""
    tills, signer = [free_loopback() for _ in range(_TILLS)], UpstreamPassSigner(Keys([SECRET.encode()]))
    for number, till in enumerate(tills):
        written = CONFIG.format(till=till, ledger=f'url = "{url}"', stock=buyers * _TILLS)
        (folder / f"{number}.toml").write_text(f"{written}shards = {shards}\n")
    with ExitStack() as stack:
        found = stack.enter_context(on_valkey(folder, "inventory_backend", "-c", "0.toml", appendonly=True))
        answered(f"http://{tills[0]}/readyz")
        other = python("inventory_backend", "-c", "1.toml")
        stack.enter_context(running(other, cwd=folder, environment=found.environment))
        answered(f"http://{tills[1]}/readyz")
        batches = [
            [reserve_request(till.host, signer, _TILLS * number + place) for number in range(buyers)]
            for place, till in enumerate(tills)
        ]
        load = stack.enter_context(ThreadPoolExecutor(_TILLS))
        sent = [load.submit(_sent, till, batch, connections) for till, batch in zip(tills, batches, strict=True)]
        took = [latency for one in sent for latency in one.result()]
    slowest = max(sum(one.result()) for one in sent) / connections
    return {"per_s": round(len(took) / slowest), "p50_ms": round(median(took) * 1000, 1)}


def _sent(till: Address, batch: Sequence[bytes], connections: int) -> list[float]:
    statuses, took = send_all((till.host, till.port), batch, connections=connections)
    assert set(statuses) == {201}, set(statuses)
    return took


@contextmanager
def standby(server: Path, delay_ms: int) -> Iterator[None]:
    """Let every commit on `server` wait for a standby, which applies it `delay_ms` later."""
    who, folder = postgresql.somebody(), Path(tempfile.mkdtemp(prefix="wr-standby-"))
    if who:
        shutil.chown(folder, who)
    data = folder / "data"
    copied = [postgresql.program("pg_basebackup"), "-D", str(data), "-h", str(server), "-U", "till", "-R", "-c", "fast"]
    subprocess.run(copied, check=True, capture_output=True, user=who, cwd=folder)
    settings = (f"recovery_min_apply_delay={delay_ms}ms", "listen_addresses=", "max_connections=60")
    command = [postgresql.program("postgres"), "-D", str(data), "-k", str(folder), *(f"-c{one}" for one in settings)]
    with (folder / "log").open("w") as log:
        running = subprocess.Popen(command, stdout=log, stderr=log, user=who, cwd=folder)
    try:
        asyncio.run(_asked_of(server, "ALTER SYSTEM SET synchronous_standby_names = '*'"))
        asyncio.run(_asked_of(server, "ALTER SYSTEM SET synchronous_commit = 'remote_apply'"))
        asyncio.run(_asked_of(server, "SELECT pg_reload_conf()"))
        yield
    finally:
        running.send_signal(signal.SIGQUIT)
        running.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


async def _asked_of(server: Path, statement: str) -> None:
    connection = await postgresql.connected(server, "postgres")
    await connection.execute(statement)
    await connection.close()


def main() -> int:
    """Measure turn about, and print."""
    parser = argparse.ArgumentParser(prog="bench.shards", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--buyers", type=int, default=6000, help="at each till")
    parser.add_argument("--connections", type=int, default=500, help="to each till")
    parser.add_argument("--delay-ms", type=int, default=50, help="until the standby has a commit")
    asked = parser.parse_args()
    found: dict[int, list[dict[str, float]]] = {1: [], 2: []}
    with (
        tempfile.TemporaryDirectory(prefix="wr-shards-") as folder,
        postgresql.server() as server,
        standby(server, asked.delay_ms),
    ):
        for number in range(asked.rounds):
            for shards, rounds in found.items():
                (own := Path(folder) / f"{shards}-{number}").mkdir()
                url = asyncio.run(postgresql.new_database(server))
                rounds.append(reserves(own, url, shards=shards, buyers=asked.buyers, connections=asked.connections))
                print(json.dumps({"round": number, "shards": shards, **rounds[-1]}), file=sys.stderr, flush=True)
    whole, split = (median(one["per_s"] for one in found[shards]) for shards in found)
    print(json.dumps({"whole": found[1], "split": found[2], "ratio": round(split / whole, 2)}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
