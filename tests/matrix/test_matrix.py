"""Every case of the table, raw, to nginx, HAProxy, Caddy and us: never looser than the strictest, nor less faithful."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.matrix import proxies
from tests.matrix.cases import ANY, CASES, HOST, OK, Case, framed
from tests.matrix.differences import DIFFERENCES
from tests.matrix.judge import ANSWERED, CARRIED, judge
from tests.matrix.origin import origin_running
from tests.matrix.proxies import Proxy
from tests.matrix.wire import Step, read_reply, talk

_OURS_S, _PEERS_S = 30, 2
"""How long we may be silent before it is a fault; of a peer that is silent nothing is learnt."""


@pytest.fixture(scope="module")
def us(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    with origin_running() as origin:
        start = proxies.ours(tmp_path_factory.mktemp("waitroom"), origin, f"{valkey_url}?db=9")
        with start as running:
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
    case: Case, us: Proxy, peers: list[Proxy]
) -> None:
    ours, status = claims(case, us, _OURS_S)
    theirs = {peer.name: claims(case, peer, _PEERS_S)[0] for peer in peers}

    excused = {claim for name, claim in DIFFERENCES if name == case.name}
    worse = shortcomings(ours, theirs)
    assert ours, "we said nothing"
    assert case.status in {ANY, status}
    assert {claim: who for claim, who in worse.items() if claim not in excused} == {}
    assert {claim for claim in excused if ours.get(claim)} == set(), "a difference that is none any more"


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
