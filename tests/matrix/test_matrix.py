"""Every case of the table, raw, to nginx, HAProxy, Caddy and us: never looser than the strictest, nor less faithful."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.matrix import proxies
from tests.matrix.cases import ANY, CASES, CLOSE, HOST, OK, Case, Kind, framed, get
from tests.matrix.differences import DIFFERENCES
from tests.matrix.judge import ANSWERED, CARRIED, judge
from tests.matrix.origin import origin_running
from tests.matrix.proxies import Proxy
from tests.matrix.wire import Message, Step, read_reply, talk
from waitroom.rules.heads import plain_head

_OURS_S, _PEERS_S = 30, 2
"""How long we may be silent before it is a fault; of a peer that is silent nothing is learnt."""


@pytest.fixture(scope="module")
def us(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with origin_running() as origin:
        start = proxies.ours(tmp_path_factory.mktemp("waitroom"), origin, f"{valkey_url}?db=9")
        with start as running:
            yield running


@pytest.fixture(scope="module")
def long_way(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Run a worker of ours without its hot path."""
    with origin_running() as origin:
        folder = tmp_path_factory.mktemp("long_way")
        with proxies.ours(folder, origin, f"{valkey_url}?db=9", hot_path=False) as running:
            yield running


@pytest.fixture(scope="module")
def peers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Proxy]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(start(folder(tmp_path_factory, start.__name__), stack.enter_context(origin_running())))
            for start in (proxies.nginx, proxies.haproxy, proxies.caddy)
        ]


def folder(factory: pytest.TempPathFactory, name: str) -> Path:
    """Return a folder that nginx's worker may enter, which is another user where we are root."""
    made = factory.mktemp(name)
    for part in (made, made.parent, made.parent.parent):
        part.chmod(0o755)
    return made


def claims(case: Case, proxy: Proxy, silence_s: float) -> tuple[dict[str, bool], int]:
    """Return what is true of `case` with `proxy`, and the status it answered."""
    seen = proxy.origin.ask(case.answer)
    raw, end = talk(proxy.port, case.steps, silence_s=silence_s)
    return judge(case, seen, raw, end), read_reply(raw, end, is_head=case.sent.startswith(b"HEAD ")).status


def shortcomings(ours: dict[str, bool], theirs: dict[str, dict[str, bool]]) -> dict[str, list[str]]:
    """Return what is true of a peer and not of us. Who refuses a request is not asked what became of it."""
    decisive = [claim for claim in (CARRIED, ANSWERED) if ours.get(claim) is False]
    asked = decisive[:1] or {claim for found in theirs.values() for claim in found}
    better = {claim: [name for name, found in theirs.items() if found.get(claim)] for claim in asked}
    return {claim: names for claim, names in better.items() if names and not ours.get(claim)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.row} {case.name}")
def test_never_looser_than_the_strictest_nor_less_faithful_than_the_most_faithful(
    case: Case, us: Proxy, long_way: Proxy, peers: list[Proxy]
) -> None:
    ours, status = claims(case, us, _OURS_S)
    assert claims(case, long_way, _OURS_S) == (ours, status)
    theirs = {peer.name: claims(case, peer, _PEERS_S)[0] for peer in peers}

    excused = {claim for name, claim in DIFFERENCES if name == case.name}
    worse = shortcomings(ours, theirs)
    assert ours, "we said nothing"
    assert case.status in {ANY, status}
    assert {claim: who for claim, who in worse.items() if claim not in excused} == {}
    assert {claim for claim in excused if ours.get(claim)} == set(), "a difference that is none any more"


# what follows an upgrade that nobody takes up is aiohttp's on either way, and not always answered
TALKS = [case for case in CASES if b"Upgrade:" not in case.sent]
KEPT = [(case, is_kept) for case in TALKS for is_kept in (True, False) if is_kept or CLOSE in case.answer != OK]


@pytest.mark.parametrize(
    ("case", "is_kept"), KEPT, ids=lambda one: f"{one.row} {one.name}" if isinstance(one, Case) else f"kept {one}"
)
def test_the_fast_lane_is_as_the_long_way(case: Case, us: Proxy, long_way: Proxy, *, is_kept: bool) -> None:
    """The same once more, by clients that keep their connection: only these are carried by the fast lane."""
    kept = unclosed(case, is_kept=is_kept)
    ours, theirs = exchanged(kept, us), exchanged(kept, long_way)

    assert ours.claims == theirs.claims
    if case.kind is Kind.PLAIN and "cut" not in case.name and Step.HALF_CLOSE not in case.steps:
        assert ours == theirs


@dataclass(frozen=True, slots=True)
class Exchanged:
    """What came of a case: what is true of it, what came back, and what the origin got."""

    claims: dict[str, bool]
    interim: list[bytes]
    answer: tuple[bytes, list[tuple[bytes, bytes]], bytes]
    requests: list[tuple[bytes, bytes]]


def exchanged(case: Case, proxy: Proxy) -> Exchanged:
    proxy.origin.rest()
    seen = proxy.origin.ask(case.answer)
    raw, end = talk(proxy.port, case.steps, silence_s=_OURS_S)
    reply = read_reply(raw, end, is_head=case.sent.startswith(b"HEAD "))
    found = reply.answer or Message()
    fields = [pair for pair in found.fields if pair[0] != b"Date"]
    requests = [(one.head, one.framed) for one in seen]
    true = judge(case, seen, raw, end)
    true.pop("one answer and no more", None)  # the last request has one too, if it was still read
    return Exchanged(true, [one.first for one in reply.interim], (found.first, fields, found.body), requests)


def unclosed(case: Case, *, is_kept: bool) -> Case:
    """Return `case` on a connection that goes on, which a last request ends, so that nobody waits."""
    line = CLOSE + b"\r\n"
    steps = [step.replace(line, b"") if isinstance(step, bytes) else step for step in case.steps]
    if Step.HALF_CLOSE not in steps and b" HTTP/1.0\r\n" not in case.sent:  # which end it themselves
        steps.append(get(b"/.waitroom/healthz"))
    return replace(case, steps=tuple(steps), answer=case.answer.replace(line, b"") if is_kept else case.answer)


def test_most_of_it_is_carried_by_the_fast_lane() -> None:
    plain = [case for case in CASES if plain_head(unclosed(case, is_kept=True).sent)]

    assert len(plain) > len(CASES) // 3


def test_every_difference_is_of_a_case_and_is_told_to_operators() -> None:
    told = (proxies.ROOT / "docs" / "proxy.md").read_text("utf-8")

    assert {name for name, _ in DIFFERENCES} <= {case.name for case in CASES}
    assert [why for why in DIFFERENCES.values() if why not in told] == []


def test_names_of_cases_are_taken_once() -> None:
    names = [case.name for case in CASES]

    assert [name for name in names if names.count(name) > 1] == []


def test_who_has_to_wait_sends_no_body(us: Proxy) -> None:
    seen = us.origin.ask(OK)
    steps: list[bytes | Step] = [
        framed(b"Expect: 100-continue", b"Content-Length: 3").replace(HOST, b"Host: queue.example"),
        Step.AWAIT_CONTINUE,
        b"abc",
    ]

    raw, _ = talk(us.port, steps, silence_s=_OURS_S)

    assert raw.startswith(b"HTTP/1.1 503 ")
    assert b"100 Continue" not in raw
    assert seen == []
