"""Parts of a whole installation die at the worst moment, and nobody loses a place, a hold or money."""

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException
from threading import Event
from typing import TypeVar

import pytest
from redis import Redis

from tests.http_shopper import OWN, Answer, HttpShopper
from tests.whole_site import WholeSite, processes, read, until, whole_site, worker_behind

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey")]

HTML = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}
NewShoppers = Callable[[int], list[HttpShopper]]
T = TypeVar("T")


@pytest.fixture(scope="module")
def site() -> Iterator[WholeSite]:
    """Give an installation of its own, which the tests of this file shoot at."""
    with whole_site() as running:
        yield running


@pytest.fixture
def new_shoppers(site: WholeSite) -> Iterator[NewShoppers]:
    """Give shoppers who sit on every worker."""
    made: list[HttpShopper] = []

    def make(count: int) -> list[HttpShopper]:
        fresh = [HttpShopper(site.url) for _ in range(count)]
        made.extend(fresh)
        return fresh

    yield make
    for shopper in made:
        shopper.close()


def worker_of(site: WholeSite, shopper: HttpShopper) -> int | None:
    sock = shopper.connection.sock
    return worker_behind(site, sock.getsockname()[1]) if sock else None


def wait_for_two_workers(site: WholeSite, without: int) -> None:
    until(lambda: without not in site.workers() and len(site.workers()) == 2)
    until(lambda: len({worker for worker in (probed(site) for _ in range(4)) if worker}) == 2)


def probed(site: WholeSite) -> int | None:
    """Return a worker that answers now."""
    probe = HttpShopper(site.url)
    try:
        assert probe.get(f"{OWN}/pulse").status == 200
        return worker_of(site, probe)
    except (OSError, HTTPException):
        return None
    finally:
        probe.close()


@pytest.mark.parametrize("moment", ["between join and claim", "between claim and reserve"])
def test_a_worker_dies_and_everybody_still_gets_through(
    line: WholeSite, new_shoppers: NewShoppers, moment: str
) -> None:
    shoppers = new_shoppers(10)
    for shopper in shoppers:
        shopper.join()
    places = [shopper.get(f"{OWN}/queue/status").body["place"] for shopper in shoppers]
    if moment == "between claim and reserve":
        line.ops("resume", {})
        for shopper in shoppers:
            shopper.wait_for_turn()
    victim = worker_of(line, shoppers[0])
    assert victim is not None
    hit = [shopper for shopper in shoppers if worker_of(line, shopper) == victim]

    os.kill(victim, signal.SIGKILL)

    if moment == "between join and claim":
        assert [shopper.get(f"{OWN}/queue/status").body["place"] for shopper in shoppers] == places
        line.ops("resume", {})
        for shopper in shoppers:
            shopper.wait_for_turn()
    assert [shopper.buy()["status"] for shopper in shoppers] == ["paid"] * len(shoppers)
    assert hit
    wait_for_two_workers(line, without=victim)


def test_workers_die_again_and_again_under_a_crowd(line: WholeSite, new_shoppers: NewShoppers) -> None:
    crowd, calm = new_shoppers(24), Event()
    for shopper in crowd:
        shopper.join()
    line.ops("resume", {})

    def through(shopper: HttpShopper) -> str:
        stubborn(shopper.wait_for_turn)
        held = stubborn(lambda: shopper.reserve(key="mine"))
        placed = stubborn(lambda: shopper.commit(held.body["reservation_id"], key="mine too"))
        return str(stubborn(lambda: shopper.settled(placed.body["order_id"]))["status"])

    def shoot() -> None:
        for _ in range(4):
            with suppress(ProcessLookupError, ValueError):
                line.kill(" _worker ")
            if calm.wait(0.7):
                return

    before = line.stock("sneaker") or 0
    with ThreadPoolExecutor(25) as pool:
        shooting = pool.submit(shoot)
        outcomes = list(pool.map(through, crowd))
        shooting.result()
        calm.set()

    assert outcomes == ["paid"] * len(crowd)
    until(lambda: line.stock("sneaker") == before - len(crowd))
    wait_for_two_workers(line, without=0)


def stubborn(step: Callable[[], T], *, within_s: float = 60) -> T:
    """Try a step again while connections break; everything here may be asked twice."""
    late_s = time.monotonic() + within_s
    while True:
        try:
            return step()
        except (OSError, HTTPException):
            assert time.monotonic() < late_s
            time.sleep(0.1)


def test_the_till_dies_in_the_middle_of_a_checkout(line: WholeSite, new_shoppers: NewShoppers) -> None:
    paying, holding = new_shoppers(2)
    for shopper in (paying, holding):
        shopper.join()
    line.ops("resume", {})
    for shopper in (paying, holding):
        shopper.wait_for_turn()
    charges = len(gateway_charges(line))
    held = holding.reserve().body
    placed = paying.commit(paying.reserve().body["reservation_id"], "card_slow").body

    dead = line.kill("inventory_backend -c")

    refused = holding.get("/drop/")
    assert refused.status == 502
    assert refused.kind
    assert "refused" not in str(refused.body), "what went wrong inside is for the log"
    until(lambda: line.pids("inventory_backend -c") and dead not in line.pids("inventory_backend -c"))
    until(lambda: read(f"{line.url}/sales/drop"))
    assert paying.settled(placed["order_id"])["status"] == "paid"
    kept = holding.get(f"/checkout/reservations/{held['reservation_id']}")
    assert (kept.status, kept.body["status"]) == (200, "held")
    paid = holding.settled(holding.commit(held["reservation_id"]).body["order_id"])
    assert paid["status"] == "paid"
    assert sum(charge["amount_received"] for charge in gateway_charges(line)[: -charges or None]) == 2 * 14900
    assert len(gateway_charges(line)) == charges + 2, "each was charged once"


def gateway_charges(site: WholeSite) -> list[dict[str, int]]:
    """Return the charges of the simulated gateway, newest first."""
    (command,) = (line for line in processes(site.home).values() if "simulated_psp" in line)
    found = re.search(r"--listen (\S+)", command)
    assert found is not None
    charges: list[dict[str, int]] = read(f"http://{found[1]}/v1/payment_intents?limit=100")["data"]
    return charges


@pytest.mark.parametrize("part", [" _ops ", "simulated_psp"])
def test_what_dies_beside_the_line_comes_back(site: WholeSite, new_shoppers: NewShoppers, part: str) -> None:
    (shopper,) = new_shoppers(1)
    dead = site.kill(part)

    assert shopper.get("/drop/").status == 200
    until(lambda: site.pids(part) and dead not in site.pids(part))
    assert shopper.buy()["status"] == "paid"
    until(lambda: site.ops().get("room") == "drop")


def test_valkey_hangs_then_dies_and_nobody_notices_but_newcomers(line: WholeSite, new_shoppers: NewShoppers) -> None:
    inside, *waiting = new_shoppers(6)
    inside.join()
    line.ops("resume", {})
    inside.wait_for_turn()
    line.ops("pause", {})
    until(lambda: all(line.pulse()["phase"] == "paused" for _ in range(12)))  # on both workers: who knows which answers
    for shopper in waiting:
        shopper.join()
    before = [place(shopper) for shopper in waiting]
    assert [found["place"] for found in before] == [1, 2, 3, 4, 5]
    generation = line.pulse()["generation"]
    (valkey,) = line.pids("valkey.sock") or line.pids("unixsocket")

    os.kill(valkey, signal.SIGSTOP)
    try:
        everything_cheap_still_works(line, inside, waiting[0])
    finally:
        os.kill(valkey, signal.SIGKILL)
    everything_cheap_still_works(line, inside, waiting[0], may_be_back=True)

    until(lambda: read(f"{line.url}/.waitroom/readyz") and line.ops().get("phase") == "paused")
    until(lambda: waiting[0].get(f"{OWN}/queue/status").status == 200)
    assert [place(shopper) for shopper in waiting] == before
    assert line.pulse()["generation"] == generation, "it was on disk"
    line.ops("resume", {})
    for shopper in (inside, *waiting):
        if shopper is not inside:
            shopper.wait_for_turn()
        assert shopper.reserve(key="mine").status == 201


def place(shopper: HttpShopper) -> dict[str, object]:
    told = shopper.get(f"{OWN}/queue/status").body
    return {name: told[name] for name in ("state", "ticket_id", "score", "place")}


def everything_cheap_still_works(
    site: WholeSite, inside: HttpShopper, waiting: HttpShopper, *, may_be_back: bool = False
) -> None:
    """Pulse, waiting page and passes need no Redis; what does need it says so, and when to ask again."""
    begun_s = time.monotonic()
    inside.patience_s = waiting.patience_s = 0
    assert site.pulse()["phase"] == "paused"
    newcomer = HttpShopper(site.url)
    newcomer.always |= HTML
    page = newcomer.get("/drop/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    newcomer.close()
    assert inside.get("/drop/").status == 200, "a pass needs no Redis"
    answers: list[Answer] = [waiting.get(f"{OWN}/queue/status"), inside.reserve(key="mine")]
    for answer in answers:
        if answer.status in {200, 201} and may_be_back:
            continue
        assert (answer.status, answer.kind) == (503, "store-unavailable"), answer
        assert int(answer.headers["retry-after"]) >= 1
    inside.patience_s = waiting.patience_s = 15
    assert time.monotonic() - begun_s < 30, "and nobody hangs"


def test_valkey_loses_everything_and_no_promise_is_broken(line: WholeSite, new_shoppers: NewShoppers) -> None:
    holder, *waiting = new_shoppers(4)
    holder.join()
    line.ops("resume", {})
    holder.wait_for_turn()
    held = holder.reserve("last")
    assert held.status == 201
    line.ops("pause", {})
    until(lambda: line.pulse()["phase"] == "paused")
    tickets = [shopper.join().body for shopper in waiting]
    generation = line.pulse()["generation"]

    with Redis(unix_socket_path=str(line.folder / "valkey" / "valkey.sock")) as valkey:
        valkey.flushall()

    until(lambda: line.pulse().get("generation") not in {None, generation})
    line.ops("resume", {})
    # all of them come back, as their pages would: only then are people called again
    for shopper, ticket in zip(waiting, tickets, strict=True):
        told = shopper.get(f"{OWN}/queue/status").body
        assert (told["ticket_id"], told["score"]) == (ticket["ticket_id"], ticket["score"])
    for shopper in waiting:
        shopper.wait_for_turn(within_s=90)
        again = shopper.reserve("last")
        assert (again.status, again.kind) == (409, "sold-out"), "what was promised is not sold again"
    assert holder.settled(holder.commit(held.body["reservation_id"]).body["order_id"])["status"] == "paid"
    assert waiting[0].buy()["status"] == "paid"


def test_told_to_stop_it_lets_everybody_finish() -> None:
    answers: list[int] = []
    broken: list[str] = []
    with whole_site() as site, ThreadPoolExecutor(8) as pool:
        shopper = HttpShopper(site.url)
        shopper.come_in()
        stopping = Event()

        def ask() -> None:
            visitor = HttpShopper(site.url)
            visitor.cookies = dict(shopper.cookies)
            while True:
                try:
                    answers.append(visitor.get("/drop/").status)
                except (OSError, HTTPException) as fault:
                    if not (stopping.is_set() and isinstance(fault, ConnectionError)):
                        broken.append(repr(fault))
                    return

        asking = [pool.submit(ask) for _ in range(8)]
        until(lambda: len(answers) > 40)
        begun_s = time.monotonic()
        stopping.set()
        os.kill(supervisor_of(site), signal.SIGTERM)
        for one in asking:
            one.result(60)
        until(lambda: processes(site.home) == {})
        assert time.monotonic() - begun_s < 60
        shopper.close()

    assert set(answers) == {200}, "nobody got half a page, or a fault"
    assert broken == []


def supervisor_of(site: WholeSite) -> int:
    (pid,) = site.pids("waitroom serve")
    return pid
