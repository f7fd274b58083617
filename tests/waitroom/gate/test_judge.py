"""The verdict and what follows from it, without a proxy of any kind."""

from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.edges import Front, Store, front
from waitroom.edge import Edge
from waitroom.gate.judge import Judge, is_navigation, must_wait
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, UpstreamPassSigner
from waitroom.rules.heads import Named
from waitroom.rules.routes import Route, Routes
from waitroom.rules.verdicts import Enter, Forward, Wait

ALWAYS_ON: dict[str, Any] = {"queueing_method": "fifo", "new_users_per_minute": 60_000.0}
ROUTES = Routes([Route("drop", (), ("/drop/",), ("/drop/feed",), "store")])


def judge_of(shop: Front, keys: Keys) -> Judge:
    edge: Edge = shop.edge
    return Judge(edge._line, ROUTES, UpstreamPassSigner(keys), edge._entries)


async def test_a_visit_is_judged_by_host_path_and_pass(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, total_active_users=1, **ALWAYS_ON) as shop:
        judge = judge_of(shop, keys)
        nobody = make_mocked_request("GET", "/")
        found = judge.judge(nobody, "shop.example", "/drop/x")
        assert found is not None
        issued = await judge.let_in(nobody, "drop", found[1])
        assert issued is not None
        inside = make_mocked_request("GET", "/", headers={"Cookie": issued.cookie.split(";")[0]})
        there = judge.judge(inside, "shop.example", "/drop/x")

        assert found[1] == Enter()
        assert there is not None
        assert there[1] == Forward(issued.pass_)
        assert judge.judge(nobody, "shop.example", "/drop/feed") is None
        assert judge.judge(nobody, "shop.example", "/") is None
        assert await judge.let_in(nobody, "drop", Enter()) is None, "the one seat is taken"
        assert await judge.let_in(nobody, "drop", Wait()) is None


async def test_a_pass_is_renewed_when_a_tenth_of_it_is_used(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, session_duration="100s", **ALWAYS_ON) as shop:
        judge, now_ms = judge_of(shop, keys), shop.edge.rooms.now_ms()
        fresh = shop.edge._line.issue("drop", "one", now_ms + 95_000).pass_
        used = shop.edge._line.issue("drop", "two", now_ms + 60_000).pass_

        assert judge.visited("drop", fresh) is None
        renewed = judge.visited("drop", used)
        assert renewed is not None
        assert renewed.pass_.expires_ms >= now_ms + 100_000
        assert 0.4 <= judge.used_ratio("drop", used) < 0.6


async def test_what_the_store_is_shown_names_the_same_session(redis: ScriptRunner, keys: Keys, store: Store) -> None:
    async with front(redis, keys, store, **ALWAYS_ON) as shop:
        judge, now_ms = judge_of(shop, keys), shop.edge.rooms.now_ms()
        pass_ = shop.edge._line.issue("drop", "one", now_ms + 300_000).pass_
        shown = UpstreamPassSigner(keys).verify(judge.upstream_pass(pass_), room="drop", now_ms=now_ms)

        assert (shown.session_id, shown.admitted_ms) == ("one", pass_.admitted_ms)
        assert now_ms + 55_000 < shown.expires_ms <= shop.edge.rooms.now_ms() + 60_000


@pytest.mark.parametrize(
    ("method", "headers", "is_seen"),
    [
        ("GET", {"Accept": "text/html,*/*"}, True),
        ("HEAD", {"Accept": "text/html"}, True),
        ("GET", {"Sec-Fetch-Mode": "navigate"}, True),
        ("GET", {"Accept": "text/html", "Sec-Fetch-Mode": "cors"}, False),
        ("GET", {"Accept": "text/html", "Upgrade": "websocket"}, False),
        ("POST", {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}, False),
        ("GET", {}, False),
    ],
)
def test_a_person_looks_at_pages_and_sends_nothing(method: str, headers: dict[str, str], *, is_seen: bool) -> None:
    assert is_navigation(method, Named(headers)) is is_seen


def test_who_has_to_wait_is_told_where() -> None:
    told = must_wait("drop")

    assert (told.status, told.retry_after_s) == (503, 5)
    assert told.extra["challenge"] == "/.waitroom/drop/challenge"
