"""What it costs one worker to pose a challenge, to take a join, and to refuse a bad solution."""

import json
import urllib.request
from pathlib import Path
from statistics import median

from bench.parts import Cost, event_in_an_hour, measured, send_all, worker
from waitroom.kernel.ports import free_loopback
from waitroom.rules.challenges import solve

_SOLUTION_CHARS = 86  # of 16 steps
CONFIG = """
[edge]
listen = "{edge}"
workers = 1
trusted_proxies = ["127.0.0.0/8"]
[ops]
listen = "{ops}"
[[upstreams]]
name = "store"
url = "http://127.0.0.1:9"
[[rooms]]
name = "drop"
paths = ["/drop/"]
queueing_method = "random"
[rooms.challenge]
difficulty = 8
"""


def joins(folder: Path, *, rounds: int, count: int) -> dict[str, object]:
    """Return what joins of 16 steps, solved beforehand, cost end to end, and what bad solutions do."""
    edge = free_loopback()
    config = CONFIG.format(edge=edge, ops=free_loopback()) + event_in_an_hour()
    with worker(folder, edge, config, appendonly=True) as found:
        url, host, pids = f"http://{edge}", edge.host, {"worker": found.pid, "valkey": found.valkey}
        address = edge.host, edge.port
        costs: dict[str, list[float]] = {name: [] for name in ("challenge", "join", "valkey a join", "bad solution")}
        ask = f"POST /.waitroom/drop/challenge HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n".encode()
        for _ in range(rounds):
            challenges = _challenges(url, count)
            requests = [_register(host, challenge, solve(challenge)) for challenge in challenges]
            bad = _register(host, challenges[0], "A" * _SOLUTION_CHARS)
            costs["challenge"].append(_posted(pids, address, [ask] * count, 200).cpu_us("worker"))
            cost = _posted(pids, address, requests, 201)
            costs["join"].append(cost.cpu_us("worker"))
            costs["valkey a join"].append(cost.cpu_us("valkey"))
            costs["bad solution"].append(_posted(pids, address, [bad] * count, 422).cpu_us("worker"))
    cpu_us = {
        name: {"median": round(median(found), 1), "least": round(min(found), 1), "most": round(max(found), 1)}
        for name, found in costs.items()
    }
    return {"cpu_us": cpu_us, "joins_per_s_a_core": round(1e6 / median(costs["join"]))}


def _posted(pids: dict[str, int], address: tuple[str, int], requests: list[bytes], status: int) -> Cost:
    def send() -> int:
        statuses = set(send_all(address, requests, connections=32)[0])
        assert statuses == {status}, statuses
        return len(requests)

    return measured(pids, send)


def _challenges(url: str, count: int) -> list[str]:
    found = []
    for _ in range(count):
        asked = urllib.request.Request(f"{url}/.waitroom/drop/challenge", method="POST", data=b"")
        with urllib.request.urlopen(asked) as answer:
            found.append(json.loads(answer.read())["challenge"])
    return found


def _register(host: str, challenge: str, solution: str) -> bytes:
    body = json.dumps({"challenge": challenge, "solution": solution}).encode()
    head = f"POST /.waitroom/drop/queue/register HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
    return head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
