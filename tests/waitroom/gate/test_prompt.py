"""What is answered at once, and that it is what the other doors say: the same bytes to everybody, for every verdict."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from tests.hot import HEALTHZ, NAVIGATION, ROOMS, Site, get, heard, site, sure
from waitroom.gate.prompt import Follow, Onward
from waitroom.gate.ready import Ready
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.rules.heads import plain_head
from waitroom.rules.verdicts import Wait


@pytest.fixture
async def shop(redis: ScriptRunner, keys: Keys) -> AsyncIterator[Site]:
    async with site(redis, keys) as made:
        yield made


def prompted(shop: Site, request: bytes, peer: str = "127.0.0.1") -> Ready | Onward | Follow | None:
    """Return what is known at once of a request."""
    head = plain_head(request)
    assert shop.served.prompt is not None
    return None if head is None else shop.served.prompt.answer(head, peer, shop.clock.now_ms())


@dataclass(frozen=True)
class Visit:
    """One request, by what the site gives it to carry; whether it is answered at once, or carried."""

    name: str
    made: Callable[[Site], bytes]
    kind: type[Ready] | type[Onward] | None


def plain(name: str, kind: type[Ready] | type[Onward] | None, *lines: bytes, target: bytes, **more: bytes) -> Visit:
    return Visit(name, lambda _shop: get(target, *lines, **more), kind)


def held(name: str, kind: type[Ready] | type[Onward] | None, line: Callable[[Site], bytes], **more: Any) -> Visit:
    return Visit(name, lambda shop: get(more.get("target", b"/drop/a"), line(shop), *more.get("lines", ())), kind)


VISITS = [
    plain("waits, a page", Ready, *NAVIGATION, target=b"/drop/a"),
    plain("waits, a page in br", Ready, *NAVIGATION, b"Accept-Encoding: br", target=b"/drop/a?b=c"),
    plain("waits, a page in zstd", Ready, *NAVIGATION, b"Accept-Encoding: zstd, gzip;q=0.5", target=b"/drop/a"),
    plain("waits, its head", Ready, *NAVIGATION, target=b"/drop/a", method=b"HEAD"),
    plain("waits, no page", Ready, target=b"/drop/a"),
    plain("waits, a script that takes HTML", Ready, b"Accept: text/html", b"Sec-Fetch-Mode: cors", target=b"/drop/a"),
    plain("waits, no page, its head", None, target=b"/drop/a", method=b"HEAD"),
    plain("waits in the room by a sloppy path", Ready, *NAVIGATION, target=b"//drop/../drop/a"),
    plain("waits in the room by an escaped path", Ready, *NAVIGATION, target=b"/%64rop/a"),
    plain("waits with an old ETag", Ready, *NAVIGATION, b'If-None-Match: "x"', target=b"/drop/a"),
    plain("waits for any room where the host is unknown", Ready, *NAVIGATION, target=b"/away/a", host=b"1.2.3.4"),
    plain("comes by an invite", None, *NAVIGATION, target=b"/drop/a?invite=abc.def"),
    plain("comes by an invite whose name is escaped", None, *NAVIGATION, target=b"/drop/a?%69nvite=abc.def"),
    held("waits with a ticket", Ready, lambda shop: shop.ticket_cookie(), lines=NAVIGATION),
    held("waits with a slow ticket", None, lambda shop: shop.ticket_cookie(is_slow=True), lines=NAVIGATION),
    held("waits with a ticket of another room", Ready, lambda shop: shop.ticket_cookie("full"), lines=NAVIGATION),
    held("is in", Onward, lambda shop: shop.pass_cookie()),
    held("is in, a page", Onward, lambda shop: shop.pass_cookie(), lines=NAVIGATION),
    held("is in with an old pass", Onward, lambda shop: shop.pass_cookie(expires_in_s=60)),
    held("has a pass that ran out", Ready, lambda shop: shop.pass_cookie(expires_in_s=-1), lines=NAVIGATION),
    held("has the pass of another room", Ready, lambda shop: shop.pass_cookie("full"), lines=NAVIGATION),
    held("has a pass with a letter more", Ready, lambda shop: shop.pass_cookie() + b"x", lines=NAVIGATION),
    held(
        "has a tossed pass before their own",
        Onward,
        lambda shop: shop.pass_cookie().replace(b"Cookie: ", b"Cookie: wr_drop_pass=.x.y; "),
    ),
    held(
        "is in, an app",
        None,
        lambda shop: shop.pass_cookie().replace(b"Cookie: wr_drop_pass=", b"Authorization: Waitroom "),
    ),
    held("is in, and asks for the waiting page", None, lambda shop: shop.pass_cookie(), target=b"/.waitroom/drop/wait"),
    plain("goes where it is exempt", Onward, target=b"/drop/feed"),
    plain("goes nearly where it is exempt", Ready, target=b"/drop/feed/../a"),
    plain("goes outside", Onward, *NAVIGATION, target=b"/"),
    plain("goes outside, to another store", Onward, target=b"/else", host=b"away.example"),
    plain("waits before another store", Ready, *NAVIGATION, target=b"/away/", host=b"away.example"),
    plain("goes through", Onward, target=b"/open/x"),
    plain("is refused", Ready, target=b"/shut/"),
    plain("is refused, a page", Ready, *NAVIGATION, target=b"/shut/"),
    plain("is refused, its head", None, target=b"/shut/", method=b"HEAD"),
    plain("finds it full", Ready, *NAVIGATION, target=b"/full/"),
    plain("finds it full, no page", Ready, target=b"/full/"),
    plain("finds it full, in a browser that takes anything", Ready, b"Accept: */*", target=b"/full/"),
    plain("asks for the pulse", Ready, target=b"/.waitroom/drop/pulse"),
    plain("asks for its head", Ready, target=b"/.waitroom/drop/pulse", method=b"HEAD"),
    plain("asks for the pulse of nowhere", None, target=b"/.waitroom/nowhere/pulse"),
    plain("asks for the pulse with a query", None, target=b"/.waitroom/drop/pulse?x"),
    plain("asks for the waiting page", Ready, *NAVIGATION, target=b"/.waitroom/drop/wait?return_to=/drop/"),
    plain("asks for the waiting page, a program", Ready, target=b"/.waitroom/drop/wait"),
    plain("asks for the proof", None, target=b"/.waitroom/drop/proof"),
    plain("asks for an own path in disguise", None, target=b"/%2ewaitroom/drop/pulse"),
    plain("asks for an own path that is none", Onward, target=b"/.waitroom"),
    plain("asks as a front, of whom nobody knows", None, target=b"/.waitroom/auth/nginx"),
]


@pytest.mark.parametrize("visit", VISITS, ids=lambda visit: visit.name)
async def test_a_visit_is_answered_as_by_the_other_doors(redis: ScriptRunner, keys: Keys, visit: Visit) -> None:
    async with site(redis, keys) as shop:
        if "full" in visit.name:
            await shop.fill("full")
        request = visit.made(shop)
        found = prompted(shop, request)
        raws, heads = [], []
        for doors in shop.both:
            raws.append(await heard(await doors.open(), [request + request + HEALTHZ]))
            heads.append([(one.head, one.body) for one in shop.seen()])

    assert type(found) is (visit.kind or type(None))
    assert sure(raws[0]) == sure(raws[1])
    assert heads[0] == heads[1]
    assert len(heads[0]) == (2 if visit.kind is Onward or visit.name == "is in, an app" else 0)


async def test_who_has_the_page_is_told_so(shop: Site) -> None:
    client = await shop.hot.open(get(b"/.waitroom/drop/pulse", b"Accept-Encoding: gzip"))
    answer = await client.answer()
    etag = answer.partition(b"ETag: ")[2].partition(b"\r\n")[0]
    request = get(b"/.waitroom/drop/pulse", b"Accept-Encoding: gzip", b"If-None-Match: " + etag)
    hot, cold = [await heard(await doors.open(), [request + HEALTHZ]) for doors in shop.both]

    assert hot.startswith(b"HTTP/1.1 304 Not Modified\r\n")
    assert sure(hot) == sure(cold)


async def test_hosts_that_are_not_allowed_are_for_the_others(redis: ScriptRunner, keys: Keys) -> None:
    async with site(redis, keys, edge={"allowed_hosts": ["shop.example"]}) as shop:
        for target in (b"/", b"/drop/a", b"/.waitroom/drop/pulse"):
            assert prompted(shop, get(target, *NAVIGATION)) is not None
            request = get(target, *NAVIGATION, host=b"evil.example")
            assert prompted(shop, request) is None
            hot, cold = [await heard(await doors.open(), [request + HEALTHZ]) for doors in shop.both]
            assert sure(hot) == sure(cold)
            assert hot.startswith(b"HTTP/1.1 421 ")


async def test_who_may_come_straight_in_is_for_the_others(redis: ScriptRunner, keys: Keys) -> None:
    always_on = {name: value for name, value in ROOMS[0].items() if name != "events"}
    async with site(redis, keys, rooms=[always_on]) as shop:
        assert prompted(shop, get(b"/drop/a", *NAVIGATION)) is None


async def test_a_pass_that_was_revoked_counts_no_more_at_the_next_request(shop: Site) -> None:
    request = get(b"/drop/a", shop.pass_cookie())
    head = plain_head(request)
    assert head is not None
    assert shop.served.prompt is not None
    assert isinstance(shop.served.prompt.answer(head, "127.0.0.1", 0), Onward)
    await shop.edge._line.end(shop.edge._line.issue("drop", "s" * 20, shop.edge.rooms.now_ms() + 1000).pass_)

    found = shop.served.prompt.answer(head, "127.0.0.1", 0)
    assert isinstance(found, Ready)
    assert found.kind is Wait


async def test_places_that_are_remembered_are_bounded(shop: Site) -> None:
    prompt = shop.served.prompt
    assert prompt is not None
    for number in range(9000):
        prompted(shop, get(b"/%d" % number))
    prompted(shop, get(b"/" + b"x" * 600))

    assert len(prompt._places) <= 4096
    assert not any(len(target) > 512 for _, target in prompt._places)


async def test_what_was_given_out_is_counted_once(shop: Site) -> None:
    prompt = shop.served.prompt
    assert prompt is not None
    judge, memo = shop.edge._judge, prompt.memo("203.0.113.1")
    judge.pour()
    for asked in (b"one", b"two", b"one", b"x" * 4000):
        prompt.given(memo, asked, Ready(b"", "drop", Wait))
    await prompt.turn()

    assert judge._given["drop", Wait] == 4
    assert memo == {}
    judge._given.clear()
