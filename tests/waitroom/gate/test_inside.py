"""Whoever is in, as their requests go by: a pass kept, renewed, handed over or ended."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp.test_utils import make_mocked_request

from tests.edges import as_app
from tests.hot import Site, get, site
from waitroom.gate.inside import Inside
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, Pass, UpstreamPassSigner
from waitroom.rules.heads import plain_head
from waitroom.rules.verdicts import Forward

NOBODY = make_mocked_request("GET", "/drop/")


@pytest.fixture
async def shop(redis: ScriptRunner, keys: Keys) -> AsyncIterator[Site]:
    async with site(redis, keys) as made:
        yield made


def inside(shop: Site) -> Inside:
    return shop.edge._inside


def pass_of(shop: Site, expires_in_s: int) -> Pass:
    return shop.edge._line.issue("drop", "one", shop.edge.rooms.now_ms() + expires_in_s * 1000).pass_


async def test_a_fresh_pass_goes_by_and_one_that_grows_old_is_renewed(shop: Site) -> None:
    assert inside(shop).answered(NOBODY, "drop", pass_of(shop, 299), None) == ()
    ((name, cookie),) = inside(shop).answered(NOBODY, "drop", pass_of(shop, 100), "unknown")

    assert name == "Set-Cookie"
    assert cookie.startswith("wr_drop_pass=W")
    assert "Max-Age=300;" in cookie


async def test_a_new_pass_is_handed_over_and_to_an_app_as_text(shop: Site) -> None:
    pass_, app = pass_of(shop, 299), make_mocked_request("GET", "/drop/", headers=as_app(""))

    assert [name for name, _ in inside(shop).answered(NOBODY, "drop", pass_, None, is_new=True)] == ["Set-Cookie"]
    added = dict(inside(shop).answered(app, "drop", pass_, None, is_new=True))
    assert added["Set-Cookie"].startswith(f"wr_drop_pass={added['Waitroom-Token']};")


async def test_a_plain_head_is_asked_like_a_whole_request(shop: Site) -> None:
    head, pass_ = plain_head(get(b"/drop/")), pass_of(shop, 100)
    assert head is not None

    assert inside(shop).answered(head, "drop", pass_, None) == inside(shop).answered(NOBODY, "drop", pass_, None)


async def test_the_store_ends_a_session_and_the_browser_forgets_the_pass(shop: Site) -> None:
    ((name, cookie),) = inside(shop).answered(NOBODY, "drop", pass_of(shop, 100), "revoke")
    async with asyncio.timeout(60):
        while not shop.edge.sessions.is_revoked("drop", "one"):
            await asyncio.sleep(0.001)

    assert (name, cookie.partition(";")[0]) == ("Set-Cookie", "wr_drop_pass=")


async def test_what_the_store_is_shown_is_good_for_the_same_session(shop: Site, keys: Keys) -> None:
    shown = inside(shop).shown(pass_of(shop, 100))

    assert UpstreamPassSigner(keys).verify(shown, room="drop", now_ms=shop.edge.rooms.now_ms()).session_id == "one"


async def test_a_request_that_goes_through_is_counted(shop: Site) -> None:
    shop.edge._judge.pour()
    inside(shop).carried("drop")

    assert shop.edge._judge._given == {("drop", Forward): 1}
