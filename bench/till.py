"""Reserves over HTTP: Valkey with its append-only file, SQLite with every commit synced."""

import json
import time
from contextlib import ExitStack
from pathlib import Path

from bench.parts import answered, measured, python, running, send_all
from waitroom.kernel.embedded import server_binary
from waitroom.kernel.ports import free_loopback
from waitroom.kernel.tokens import Keys, Pass, UpstreamPassSigner

SECRET = "a-secret-for-measuring-of-32-characters"
_CONFIG = """
[server]
listen = "{till}"
[ledger]
file = "ledger.sqlite"
[[sales]]
name = "drop"
hold = "10m"
[[sales.skus]]
sku = "sneaker"
name = "Sneaker"
price = 100
total = {stock}
"""


def reserves(folder: Path, *, buyers: int, connections: int) -> dict[str, object]:
    """Return what a reserve costs while there is stock, and what a refusal costs afterwards."""
    till = free_loopback()
    (folder / "inventory.toml").write_text(_CONFIG.format(till=till, stock=buyers // 2))
    socket = folder / "valkey.sock"
    valkey = [server_binary(), "--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "yes"]
    settings = {"WAITROOM_SECRET": SECRET, "REDIS_URL": f"unix://{socket}"}
    requests = _requests(till.host, buyers)
    with ExitStack() as stack:
        redis = stack.enter_context(running([*valkey, "--dir", str(folder)], cwd=folder))
        serve = python("inventory_backend", "-c", str(folder / "inventory.toml"))
        pid = stack.enter_context(running(serve, cwd=folder, environment=settings))
        answered(f"http://{till}/sales/drop")
        found: dict[str, object] = {}
        half = buyers // 2
        for name, batch, expected in (("held", requests[:half], 201), ("sold_out", requests[half:], 409)):
            latencies: list[float] = []
            statuses: list[int] = []

            def load(batch: list[bytes] = batch, statuses: list[int] = statuses, took: list[float] = latencies) -> int:
                answers = send_all((till.host, till.port), batch, connections=connections)
                statuses.extend(answers[0])
                took.extend(answers[1])
                return len(statuses)

            cost = measured({"till": pid, "valkey": redis}, load)
            assert set(statuses) == {expected}, {status: statuses.count(status) for status in set(statuses)}
            found[name] = {
                "per_s": round(cost.per_s),
                "till_cpu_us": round(cost.cpu_us("till"), 1),
                "per_s_a_core": round(1e6 / cost.cpu_us("till")),
                "valkey_cpu_us": round(cost.cpu_us("valkey"), 1),
                "p99_ms": round(sorted(latencies)[int(len(latencies) * 0.99)] * 1000, 1),
            }
    return found


def _requests(host: str, count: int) -> list[bytes]:
    signer = UpstreamPassSigner(Keys([SECRET.encode()]))
    now_ms = time.time_ns() // 1_000_000
    body = json.dumps({"sale": "drop", "lines": [{"sku": "sneaker", "qty": 1}]}).encode()
    found = []
    for number in range(count):
        shown = signer.sign(Pass("drop", f"buyer-{number}", now_ms, now_ms + 600_000))
        head = (
            f"POST /checkout/reserve HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Waitroom-Pass: {shown}\r\nIdempotency-Key: key-{number}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        found.append(head.encode() + body)
    return found
