"""Sell everything to a crowd that pays: `python -m bench.sellout [--units 10000 --buyers 100000]`.

Real processes: the till with SQLite, Valkey with its append-only file, the simulated gateway. Each buyer comes with a
pass of their own over one of the kept connections, reserves, pays, and asks until the order is paid. At the end the
books of ledger, Redis and gateway are held against each other by the till's own command.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.parts import LOAD_CORE, SECRET, answered, cpu_seconds, on_valkey, python, read_answer, running
from bench.till import post, reserve_request, shown
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.tokens import Keys, UpstreamPassSigner
from waitroom.kernel.units import Address

PRICE = 100
_CONFIG = """
[server]
listen = "{till}"
[ledger]
file = "ledger.sqlite"
[payments]
url = "http://{gateway}"
[[sales]]
name = "drop"
hold = "30m"
[[sales.skus]]
sku = "sneaker"
name = "Sneaker"
price = {price}
total = {units}
"""
_LOOK_AGAIN_S = 1.0
_LATER = 503


@dataclass
class Crowd:
    """Everybody who comes, and what became of them."""

    till: Address
    signer: UpstreamPassSigner = field(default_factory=lambda: UpstreamPassSigner(Keys([SECRET.encode()])))
    statuses: Counter[str] = field(default_factory=Counter)
    orders: dict[int, str] = field(default_factory=dict)

    async def come(self, buyers: int, connections: int) -> None:
        """Let all of them reserve, and pay for what they get."""
        numbers = iter(range(buyers))
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._connection(numbers))

    async def all_paid(self) -> None:
        """Ask for every order until its payment is over."""
        reader, writer = await asyncio.open_connection(self.till.host, self.till.port)
        while self.orders:
            for number, order in list(self.orders.items()):
                head = f"GET /checkout/orders/{order} HTTP/1.1\r\nHost: {self.till.host}\r\n"
                writer.write(f"{head}Waitroom-Pass: {shown(self.signer, number)}\r\n\r\n".encode())
                status, body = await read_answer(reader)
                if status == 200 and (word := json.loads(body)["status"]) != "paying":
                    self.statuses[word] += 1
                    del self.orders[number]
                elif status == 200:
                    break  # the first are paid first: who came later need not be asked for yet
            else:
                continue
            await asyncio.sleep(_LOOK_AGAIN_S)
        writer.close()

    async def _connection(self, numbers: Iterator[int]) -> None:
        reader, writer = await asyncio.open_connection(self.till.host, self.till.port)

        async def asked(request: bytes) -> tuple[int, Any]:
            while True:
                writer.write(request)
                status, body = await read_answer(reader)
                if status != _LATER:
                    return status, json.loads(body)
                self.statuses["sent again"] += 1
                await asyncio.sleep(_LOOK_AGAIN_S)

        for number in numbers:
            status, told = await asked(reserve_request(self.till.host, self.signer, number))
            if status != 201:
                self.statuses[told["type"].rpartition(":")[2]] += 1
                continue
            self.statuses["held"] += 1
            payment = {"provider": "simulated", "method": "card_ok"}
            body = {"reservation_id": told["reservation_id"], "payment": payment}
            pass_ = shown(self.signer, number)
            status, told = await asked(post(self.till.host, "/checkout/commit", body, pass_, f"pay-{number}"))
            assert status == 202, told
            self.orders[number] = told["order_id"]
        writer.close()


def sellout(folder: Path, *, units: int, buyers: int, connections: int) -> dict[str, object]:
    """Return how long it took, what it cost, and what the books say."""
    till, gateway = free_loopback(), free_loopback()
    config = folder / "inventory.toml"
    config.write_text(_CONFIG.format(till=till, gateway=gateway, units=units, price=PRICE))
    charges = ["--listen", str(gateway), "--file", str(folder / "charges")]
    psp = python("inventory_backend.payments.simulated_psp", *charges)
    with (
        running(psp, cwd=folder) as paid,
        on_valkey(folder, "inventory_backend", "-c", str(config), appendonly=True) as found,
    ):
        pids = {"valkey": found.valkey, "gateway": paid, "till": found.pid}
        answered(f"http://{till}/readyz")
        crowd, start = Crowd(till), time.monotonic()
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        os.sched_setaffinity(0, {int(LOAD_CORE)})
        asyncio.run(crowd.come(buyers, connections))
        answered_s = time.monotonic() - start
        asyncio.run(crowd.all_paid())
        paid_s = time.monotonic() - start
        os.sched_setaffinity(0, range(os.cpu_count() or 1))
        cpu_s = {name: round(cpu_seconds(pid) - before[name], 1) for name, pid in pids.items()}
        books = _books(config, found.environment)
    (sneaker,), (money,) = books["skus"], books["money"]
    return {
        "units": units,
        "buyers": buyers,
        "connections": connections,
        "everybody_answered_s": round(answered_s, 1),
        "last_one_paid_s": round(paid_s, 1),
        "cpu_s": cpu_s,
        "became": dict(crowd.statuses),
        "sold": sneaker["sold"],
        "oversold": max(0, sneaker["sold"] + sneaker["held"] - units),
        "money_at_the_gateway": money["gateway"]["kept"],
        "money_of_what_was_sold": sneaker["sold"] * PRICE,
        "books_balance": books["balanced"],
    }


def _books(config: Path, settings: Mapping[str, str]) -> dict[str, Any]:
    done = subprocess.run(
        [*python("inventory_backend", "books"), "-c", str(config), "--json"],
        env={**os.environ, **settings},
        cwd=config.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def main() -> int:
    """Sell, and print; 1 when a unit or a cent is not where it belongs."""
    parser = argparse.ArgumentParser(prog="bench.sellout", description=__doc__)
    parser.add_argument("--units", type=int, default=10_000)
    parser.add_argument("--buyers", type=int, default=100_000)
    parser.add_argument("--connections", type=int, default=500)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="wr-sellout-") as folder:
        found = sellout(Path(folder), units=asked.units, buyers=asked.buyers, connections=asked.connections)
    print(json.dumps(found, indent=2))
    return 0 if found["books_balance"] and found["oversold"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
