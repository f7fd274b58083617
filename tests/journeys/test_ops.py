"""What ops turn, from the terminal or by the API, is so on every worker within a second, and stands in the audit."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Event
from typing import Any

import pytest

from tests.http_shopper import OWN, HttpShopper
from tests.whole_site import ROOT, WholeSite, until, worker_behind

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey")]

NewShopper = Callable[..., HttpShopper]
Pulse = dict[str, Any]


def ctl(site: WholeSite, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `waitroom ctl` as an operator would who has the configuration."""
    argv = [sys.executable, "-m", "waitroom", "ctl", "-c", str(site.folder / "waitroom.toml"), *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WAITROOM_")}
    environment = clean | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(argv, capture_output=True, text=True, timeout=30, cwd=site.home, env=environment, check=False)


@pytest.fixture
def restored(site: WholeSite, new_shopper: NewShopper) -> Iterator[WholeSite]:
    """Give the installation; whatever is turned is turned back, and every worker knows."""
    yield site
    defaults: dict[str, dict[str, object]] = {
        "rate": {"per_minute": 60000},
        "cap": {"total_active_users": 5000},
        "message": {"text": ""},
    }
    for what, body in (defaults | {"resume": {}}).items():
        site.ops(what, body)
    workers = [watcher.shopper for watcher in watchers(site, new_shopper)]
    until(lambda: all(worker.get(f"{OWN}/pulse").body["phase"] == "open" for worker in workers))
    until(lambda: site.ops().get("waiting") == 0)


@dataclass
class Watcher:
    """Somebody who follows the pulse of one worker over one connection."""

    shopper: HttpShopper
    worker: int
    seen: list[tuple[int, float]] = field(default_factory=list)
    after: list[Pulse] = field(default_factory=list)

    def follow(self, until_told: Event) -> None:
        while not until_told.wait(0.02):
            pulse = self.shopper.get(f"{OWN}/pulse").body
            self.seen.append((pulse["server_ms"], pulse["rate_per_minute"]))

    def look(self, at_ms: int) -> bool:
        """Ask once; keep what was made after `at_ms`, and say whether there is any."""
        pulse = self.shopper.get(f"{OWN}/pulse").body
        if pulse["server_ms"] > at_ms:
            self.after.append(pulse)
        return bool(self.after)


def watchers(site: WholeSite, new_shopper: NewShopper) -> list[Watcher]:
    """Return one watcher for each worker."""
    found: dict[int, Watcher] = {}
    for _ in range(50):
        shopper = new_shopper()
        shopper.get(f"{OWN}/pulse")
        worker = worker_behind(site, shopper.connection.sock.getsockname()[1])
        if worker is not None:
            found.setdefault(worker, Watcher(shopper, worker))
        if len(found) == 2:
            break
    assert sorted(found) == sorted(site.workers())
    return list(found.values())


def test_a_new_rate_is_on_every_worker_within_a_second(restored: WholeSite, new_shopper: NewShopper) -> None:
    watching, told = watchers(restored, new_shopper), Event()
    with ThreadPoolExecutor(2) as pool:
        following = [pool.submit(watcher.follow, told) for watcher in watching]
        done = ctl(restored, "rate", "drop", "600", "--why", "the shop is slow")
        time.sleep(1.2)
        told.set()
        for one in following:
            one.result()

    assert done.returncode == 0, done.stderr
    entry = restored.ops("audit")["entries"][0]
    assert (entry["what"], float(entry["value"]), entry["why"]) == ("rate", 600, "the shop is slow")
    assert float(entry["before"]) == 60000
    assert entry["who"]
    assert restored.ops()["rate_per_minute"] == 600
    assert json.loads(ctl(restored, "--json", "status", "drop").stdout)["rooms"][0]["rate_per_minute"] == 600
    for watcher in watching:
        first_ms = next(server_ms for server_ms, rate in watcher.seen if rate == 600)
        assert first_ms - entry["at_ms"] <= 1000, f"worker {watcher.worker} was late"
        assert watcher.seen[0][1] == 60000


LIVE: dict[str, tuple[dict[str, object], Callable[[Pulse], bool]]] = {
    "rate": ({"per_minute": 1200}, lambda pulse: pulse["rate_per_minute"] == 1200),
    "message": ({"text": "At six."}, lambda pulse: pulse["message"] == "At six."),
    "pause": ({}, lambda pulse: pulse["phase"] == "paused"),
    "resume": ({}, lambda pulse: pulse["phase"] == "open"),
    "sold-out": ({}, lambda pulse: pulse["phase"] == "sold_out"),
    "close": ({}, lambda pulse: pulse["phase"] == "paused" and pulse["is_closed"]),
    "open-all": ({"for_s": 600}, lambda pulse: "open_until_ms" in pulse),
    "end": ({}, lambda pulse: pulse["phase"] == "ended"),
}


@pytest.mark.parametrize("what", LIVE)
def test_a_change_is_in_the_first_pulse_that_each_worker_makes_after_it(
    what: str, restored: WholeSite, new_shopper: NewShopper
) -> None:
    body, holds = LIVE[what]
    watching = watchers(restored, new_shopper)
    if what == "resume":
        restored.ops("pause", {})

    assert restored.ops(what, {**body, "why": "because"})["room"] == "drop"

    entry = restored.ops("audit")["entries"][0]
    assert (entry["what"], entry["why"], entry["who"]) == (what, "because", "operator (127.0.0.0/24)")
    for watcher in watching:
        until(partial(watcher.look, entry["at_ms"]))
        assert holds(watcher.shopper.get(f"{OWN}/pulse").body), f"worker {watcher.worker} goes on as before"
        assert all(holds(pulse) for pulse in watcher.after), f"worker {watcher.worker} was late"


def test_who_is_inside_or_comes_meets_a_change_on_every_worker(restored: WholeSite, new_shopper: NewShopper) -> None:
    inside, other = new_shopper(), new_shopper()
    inside.come_in()
    other.come_in()
    watching = [watcher.shopper for watcher in watchers(restored, new_shopper)]

    def everywhere(cookies: Mapping[str, str], status: int, kind: str = "") -> Callable[[], bool]:
        def is_so() -> bool:
            for shopper in watching:
                shopper.cookies = dict(cookies)
            answers = [shopper.get("/drop/") for shopper in watching]
            return all((answer.status, answer.kind) == (status, kind) for answer in answers)

        return is_so

    restored.ops("cap", {"total_active_users": 0})
    until(everywhere({}, 503, "waiting"))
    restored.ops("open-all", {"for_s": 600})
    until(everywhere({}, 200))
    restored.ops("resume", {})
    until(everywhere({}, 503, "waiting"))
    restored.ops("close", {})
    until(everywhere(inside.cookies, 503, "closed"))
    restored.ops("resume", {})
    until(everywhere(inside.cookies, 200))
    restored.ops("revoke", {"session": inside.ticket["ticket_id"], "why": "a shared pass"})
    until(everywhere(inside.cookies, 503, "waiting"))
    assert everywhere(other.cookies, 200)()
    restored.ops("revoke-all", {})
    until(everywhere(other.cookies, 503, "waiting"))

    told = [(entry["what"], entry["value"]) for entry in restored.ops("audit")["entries"][:7]]
    assert [what for what, _ in told] == ["revoke-all", "revoke", "resume", "close", "resume", "open-all", "cap"]
    assert told[1][1] == inside.ticket["ticket_id"]


def test_the_rate_is_what_lets_people_in(restored: WholeSite, new_shopper: NewShopper) -> None:
    until(lambda: restored.ops()["outstanding"] == 0)  # who was called before and may still come has a claim on it
    restored.ops("pause", {})
    restored.ops("rate", {"per_minute": 60})
    for _ in range(30):
        new_shopper(address="203.0.113.9").join()
    ctl(restored, "resume", "drop")
    time.sleep(3)
    assert 20 <= restored.ops()["waiting"] < 30, "one a second, and no burst for the time of the pause"

    assert ctl(restored, "rate", "drop", "60000").returncode == 0

    until(lambda: restored.ops()["waiting"] == 0, within_s=15)


def test_the_cap_is_what_holds_people_back(restored: WholeSite, new_shopper: NewShopper) -> None:
    shopper, before = new_shopper(), restored.ops()
    assert ctl(restored, "cap", "drop", "0").returncode == 0
    shopper.join()
    until(lambda: restored.ops()["total_active_users"] == 0)
    time.sleep(1)
    assert not shopper.is_called()
    assert restored.ops()["sessions"] == before["sessions"], "who is inside stays inside"

    assert ctl(restored, "cap", "drop", "5000").returncode == 0

    shopper.wait_for_turn()


def test_pause_keeps_places_and_resume_goes_on(restored: WholeSite, new_shopper: NewShopper) -> None:
    inside, waiting = new_shopper(), new_shopper()
    inside.come_in()
    assert ctl(restored, "pause", "drop").returncode == 0
    until(lambda: restored.pulse()["phase"] == "paused")
    assert waiting.join().body["place"] == 1
    time.sleep(0.6)
    assert waiting.claim().status == 425
    assert inside.get("/drop/").status == 200

    assert ctl(restored, "resume", "drop").returncode == 0

    waiting.wait_for_turn()


def test_a_message_reaches_everybody_in_line(restored: WholeSite) -> None:
    told = 'Back at six. <script>alert("x")</script> ✓'
    assert ctl(restored, "message", "drop", told).returncode == 0
    until(lambda: restored.pulse()["message"] == told)

    assert ctl(restored, "message", "drop", "").returncode == 0

    until(lambda: not restored.pulse()["message"])


def test_end_is_the_end_for_who_waits_and_not_for_who_is_inside(restored: WholeSite, new_shopper: NewShopper) -> None:
    inside, waiting = new_shopper(), new_shopper()
    inside.come_in()
    restored.ops("pause", {})
    waiting.join()

    assert ctl(restored, "end", "drop", "--yes").returncode == 0

    until(lambda: restored.pulse()["phase"] == "ended")
    refused = waiting.claim()
    assert (refused.status, refused.kind) == (410, "ended")
    until(lambda: new_shopper().post(f"{OWN}/challenge").status == 410)
    assert inside.buy()["status"] == "paid"
    assert ctl(restored, "resume", "drop").returncode == 0
    until(lambda: restored.pulse()["phase"] == "open")


def test_a_wrong_word_is_told_and_turns_nothing(restored: WholeSite) -> None:
    revision = restored.ops()["revision"]
    for arguments in (["rate", "drop", "-5"], ["rate", "drop", "nan"], ["rate", "nowhere", "5"], ["cap", "drop", "-1"]):
        done = ctl(restored, *arguments)
        assert done.returncode != 0
        assert done.stderr
        assert "Traceback" not in done.stderr

    assert restored.ops()["revision"] == revision
