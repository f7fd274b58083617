"""Till, gateway, Valkey and workers are killed under a crowd that pays, again and again; then the books balance."""

import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from itertools import count, cycle, islice
from threading import Event
from typing import Any

import pytest

from tests.http_shopper import Answer, HttpShopper
from tests.whole_site import ROOT, WholeSite, processes, until, whole_site

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey")]

CHECKOUTS = int(os.environ.get("CHECKOUTS", "120"))
AT_ONCE = 32
DEATHS_OF_EACH = 1 if CHECKOUTS < 1000 else 5
PARTS = ("inventory_backend -c", "simulated_psp", "valkey.sock", " _worker ")
CARDS = ("card_ok", "card_ok", "card_ok", "card_3ds", "card_ok", "card_error", "card_ok", "card_declined")
PRICE = 14900
LATER = {502, 503, 504}
"""What an honest client tries again, under the same key."""


def test_whatever_is_killed_the_books_balance() -> None:
    done, is_over = count(1), Event()
    reached = [0]

    def checked_out(number: int) -> str:
        outcome = checkout(site, number)
        reached[0] = next(done)
        return outcome

    with whole_site() as site, ThreadPoolExecutor(AT_ONCE + 1) as pool:
        shooting = pool.submit(shoot, site, reached, is_over)
        try:
            outcomes = Counter(pool.map(checked_out, range(CHECKOUTS)))
        finally:
            is_over.set()
        killed = shooting.result()
        until(lambda: is_at_rest(site), within_s=60, every_s=0.5)
        found, report = books(site, "--json"), books(site)
        sys.stdout.write(f"\n{killed}\n{report.stdout}")

    assert set(killed) == set(PARTS)
    cards = Counter(CARDS[number % len(CARDS)] for number in range(CHECKOUTS))
    assert outcomes == {"paid": CHECKOUTS - cards["card_declined"], "cancelled": cards["card_declined"]}
    told = json.loads(found.stdout)
    sneaker = next(one for one in told["skus"] if one["sku"] == "sneaker")
    assert (sneaker["sold"], sneaker["held"]) == (outcomes["paid"], 0)
    assert sneaker["free"] == sneaker["free_in_redis"] == 5000 - outcomes["paid"]
    kept = {"captured": outcomes["paid"] * PRICE, "refunded": 0, "kept": outcomes["paid"] * PRICE}
    assert told["money"] == [{"currency": "EUR", "ledger": kept, "gateway": kept}]
    assert (found.returncode, report.returncode) == (0, 0)
    assert report.stdout.endswith("the books balance\n")


def shoot(site: WholeSite, reached: list[int], is_over: Event) -> Counter[str]:
    """Kill one part after the other, evenly over the crowd, as a crash would; return how often each died."""
    killed = Counter[str]()
    deaths = DEATHS_OF_EACH * len(PARTS)
    for number, part in enumerate(islice(cycle(PARTS), deaths), start=1):
        while reached[0] < CHECKOUTS * number // (deaths + 1):
            if is_over.wait(0.02):
                return killed
        with suppress(ProcessLookupError, ValueError):
            site.kill(part)
            killed[part] += 1
    return killed


def checkout(site: WholeSite, number: int) -> str:
    """Come in, reserve, pay and follow the order; who is declined lets go. Return how it ended."""
    shopper, card = HttpShopper(site.url, timeout_s=60), CARDS[number % len(CARDS)]
    shopper.patience_s = 60
    try:
        persistent(lambda: came_in(shopper), lambda is_in: is_in)
        held = surely(lambda: shopper.reserve(key="reserve"), 201)
        rid = held.body["reservation_id"]
        order = surely(lambda: shopper.commit(rid, card, key="pay"), 202).body["order_id"]
        followed = persistent(
            lambda: shopper.get(f"/checkout/orders/{order}"),
            lambda answer: answer.status == 200 and answer.body["status"] != "paying",
        )
        if followed.body["status"] == "declined":
            return str(surely(lambda: shopper.post("/checkout/cancel", {"reservation_id": rid}), 200).body["status"])
        return str(followed.body["status"])
    finally:
        shopper.close()


def came_in(shopper: HttpShopper) -> bool:
    """Join and wait for our turn; tell whether it went through."""
    try:
        shopper.come_in()
    except (AssertionError, KeyError):  # an answer of the moment in which something died
        return False
    return True


def surely(ask: Callable[[], Answer], status: int) -> Answer:
    """Ask until the answer is one, which must have `status`."""
    answer: Answer = persistent(ask, lambda found: found.status not in LATER and found.kind != "request-in-flight")
    assert answer.status == status, answer
    return answer


def persistent(ask: Callable[[], Any], is_enough: Callable[[Any], bool], *, within_s: float = 90) -> Any:
    """Ask again and again, over whatever breaks, until it is enough."""
    late_s = time.monotonic() + within_s
    while True:
        with suppress(OSError, HTTPException):
            if is_enough(found := ask()):
                return found
        assert time.monotonic() < late_s, "no answer in time"
        time.sleep(0.1)


def is_at_rest(site: WholeSite) -> bool:
    """Tell whether no payment moves, and Redis has heard of everything."""
    found = books(site, "--json")
    if found.returncode == 2:
        return False
    told = json.loads(found.stdout)
    return not told["payments_under_way"] and all(one["free"] == one["free_in_redis"] for one in told["skus"])


def books(site: WholeSite, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Let ops add up the books, as they would beside a running site."""
    (command,) = (line for line in processes(site.home).values() if "simulated_psp" in line)
    gateway = re.search(r"--listen (\S+)", command)
    assert gateway is not None
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "COLUMNS": "120",
        "REDIS_URL": f"unix://{site.folder}/valkey/valkey.sock",
        "WAITROOM_SIMULATED_GATEWAY_URL": f"http://{gateway[1]}",
    }
    argv = [sys.executable, "-m", "inventory_backend", "books", "-c", str(site.folder / "inventory.toml"), *arguments]
    return subprocess.run(argv, cwd=site.folder, env=environment, capture_output=True, text=True, check=False)
