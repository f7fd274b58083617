"""Reserves over HTTP beside the way they are written first, turn about: `python -m bench.till [--rounds 3]`.

Ours has Valkey with its append-only file, and SQLite or PostgreSQL with every commit synced. The peer (naive_till)
locks the row of the sku for each request, on the same PostgreSQL. With `--alone` all of them, and what loads them, go
before whatever else the machine does (SCHED_FIFO): latencies say nothing of who has to wait for a processor.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.parts import SECRET, SERVER_CORE, answered, cpu_seconds, measured, on_valkey, python, running, send_all
from tests import postgresql
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.tokens import Keys, Pass, UpstreamPassSigner
from waitroom.kernel.units import Address

CONFIG = """
[server]
listen = "{till}"
[ledger]
{ledger}
[[sales]]
name = "drop"
hold = "10m"
[[sales.skus]]
sku = "sneaker"
name = "Sneaker"
price = 100
total = {stock}
"""
_UNAVAILABLE = 503
"""What a till on a machine that stands still says; who hears it has nothing, and leaves a unit for later."""
_PASS_MS = 3_600_000

Round = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class Load:
    """So many buyers in each part, over so many connections; they come at each of `paces` in turn, None is at once."""

    buyers: int
    connections: int
    paces: Sequence[int | None]

    @property
    def stock(self) -> int:
        """As many as are held: at each pace first while there is something, then when it is gone."""
        return self.buyers * len(self.paces)

    def batches(self, host: str) -> Sequence[tuple[str, list[bytes], int, int | None]]:
        """Return name, requests, the status each must have, and the pace of each part."""
        numbers = iter(range(2 * self.stock))
        signer = UpstreamPassSigner(Keys([SECRET.encode()]))
        parts = [(said, status, pace) for said, status in (("held", 201), ("sold_out", 409)) for pace in self.paces]
        return [
            (
                said if pace is None else f"{said}_{pace}_per_s",
                [reserve_request(host, signer, number) for number, _ in zip(numbers, range(self.buyers), strict=False)],
                status,
                pace,
            )
            for said, status, pace in parts
        ]


def reserves(folder: Path, load: Load, *, ledger: str = 'file = "ledger.sqlite"', database: int | None = None) -> Round:
    """Return what a reserve costs while there is stock, and what a refusal costs afterwards."""
    till = free_loopback()
    (folder / "inventory.toml").write_text(CONFIG.format(till=till, stock=load.stock, ledger=ledger))
    with on_valkey(folder, "inventory_backend", "-c", "inventory.toml", appendonly=True) as found:
        return _measured(till, load, {"till": found.pid, "valkey": found.valkey}, database)


def naive(folder: Path, load: Load, url: str, database: int) -> Round:
    """Return the same of the peer."""
    till = free_loopback()
    with running(python("bench.naive_till", str(till.port), url, str(load.stock)), cwd=Path.cwd()) as pid:
        return _measured(till, load, {"till": pid}, database)


def _measured(till: Address, load: Load, pids: Mapping[str, int], database: int | None) -> Round:
    answered(f"http://{till}/readyz")
    found: Round = {}
    for name, batch, expected, pace in load.batches(till.host):
        statuses, took = list[int](), list[float]()

        def sent(
            batch: list[bytes] = batch,
            pace: int | None = pace,
            told: tuple[list[int], list[float]] = (statuses, took),
        ) -> int:
            answers = send_all((till.host, till.port), batch, connections=load.connections, per_s=pace)
            told[0].extend(answers[0])
            told[1].extend(answers[1])
            return len(batch)

        before = 0.0 if database is None else family_seconds(database)
        cost = measured(pids, sent)
        assert set(statuses) <= {201, 409, _UNAVAILABLE}, set(statuses)
        wrong = sum(status != expected for status in statuses)
        found[name] = {
            "per_s": round(cost.per_s),
            "per_s_a_core": round(1e6 / cost.cpu_us("till")),
            **{f"{process}_cpu_us": round(cost.cpu_us(process), 1) for process in pids},
            "p50_ms": round(median(took) * 1000, 1),
            "p99_ms": round(sorted(took)[int(len(took) * 0.99)] * 1000, 1),
            "otherwise": wrong,
        }
        if database is not None:
            found[name]["postgresql_cpu_us"] = round((family_seconds(database) - before) / len(batch) * 1e6, 1)
    return found


def reserve_request(host: str, signer: UpstreamPassSigner, number: int) -> bytes:
    """Return the reserve of one buyer."""
    body = {"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}
    return post(host, "/checkout/reserve", body, shown(signer, number), f"key-{number}")


def shown(signer: UpstreamPassSigner, number: int) -> str:
    """Return the pass of a buyer."""
    now_ms = time.time_ns() // 1_000_000
    return signer.sign(Pass("drop", f"buyer-{number}", now_ms, now_ms + _PASS_MS))


def post(host: str, path: str, body: object, shown: str, key: str) -> bytes:
    """Return a request to the till."""
    said = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        f"Waitroom-Pass: {shown}\r\nIdempotency-Key: {key}\r\nContent-Length: {len(said)}\r\n\r\n"
    )
    return head.encode() + said


def family_seconds(pid: int) -> float:
    """Return the CPU time of a server and of the processes it made that live."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + sum(cpu_seconds(int(child)) for child in listed)


def compared(root: Path, load: Load, *, rounds: int) -> dict[str, object]:
    """Return the medians of `rounds`, each with its least and its most, of ours on both databases and of the peer."""
    found: dict[str, list[Round]] = {"sqlite": [], "postgresql": [], "naive": []}
    with postgresql.server() as server:
        database = int((server / "data" / "postmaster.pid").read_text().split()[0])
        os.sched_setaffinity(database, {int(SERVER_CORE)})

        def on_postgresql(run: Callable[[Path, str], Round]) -> Callable[[Path], Round]:
            return lambda folder: run(folder, asyncio.run(postgresql.new_database(server)))

        ways: dict[str, Callable[[Path], Round]] = {
            "sqlite": lambda folder: reserves(folder, load),
            "postgresql": on_postgresql(
                lambda folder, url: reserves(folder, load, ledger=f'url = "{url}"', database=database)
            ),
            "naive": on_postgresql(lambda folder, url: naive(folder, load, url, database)),
        }
        for number in range(rounds):
            for way, run in ways.items():
                (folder := root / f"{way}-{number}").mkdir()
                found[way].append(run(folder))
                print(json.dumps({"round": number, "way": way, **found[way][-1]}), file=sys.stderr, flush=True)
    return {way: _summed(each) for way, each in found.items()}


def _summed(each: Sequence[Round]) -> dict[str, object]:
    def spread(part: str, figure: str) -> dict[str, float]:
        figures = sorted(one[part][figure] for one in each)
        return {"median": median(figures), "least": figures[0], "most": figures[-1]}

    return {part: {figure: spread(part, figure) for figure in each[0][part]} for part in each[0]}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="bench.till", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--buyers", type=int, default=4000, help="in each part")
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--paces", type=int, nargs="*", default=[500, 1000], metavar="PER_S", help="reserves a second")
    parser.add_argument("--alone", action="store_true", help="before whatever else the machine does (needs root)")
    asked = parser.parse_args()
    if asked.alone:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))  # what is started from here inherits it
    with tempfile.TemporaryDirectory(prefix="wr-till-") as folder:
        load = Load(asked.buyers, asked.connections, [None, *asked.paces])
        print(json.dumps(compared(Path(folder), load, rounds=asked.rounds), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
