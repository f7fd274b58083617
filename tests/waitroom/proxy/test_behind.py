"""Several sites behind one edge, by host and path, and only some of them behind a room."""

from pathlib import Path

import pytest

from tests import origin as parts
from tests.edges import HTML, Store, front
from tests.origin import Origin
from waitroom.config import build
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys
from waitroom.proxy.behind import all_connected, ways

ROOM = {"name": "drop", "paths": ["/drop/"]}


async def test_what_no_room_guards_goes_where_its_route_says(
    redis: ScriptRunner, keys: Keys, store: Store, origin: Origin
) -> None:
    beside = {
        "upstreams": [{"name": "blog", "url": origin.url}],
        "routes": [{"paths": ["/blog/", "/drop/"], "upstream": "blog"}],
    }
    async with front(redis, keys, store, opens_in_s=60, beside=beside) as shop:
        await shop.get("/blog/1")
        await shop.get("/else")
        waits = await (await shop.get("/drop/", headers=HTML)).text()

    assert [seen.target for seen in origin.seen] == [b"/blog/1"]
    assert [request.path for request in store.seen] == ["/else"]
    assert "/.waitroom/drop/" in waits  # a route opens no room


async def test_a_room_leads_to_its_own_upstream(redis: ScriptRunner, keys: Keys, store: Store, origin: Origin) -> None:
    beside = {"upstreams": [{"name": "till", "url": origin.url}]}
    async with front(redis, keys, store, beside=beside, queueing_method="passthrough", served_by="till") as shop:
        await shop.get("/drop/1")

    assert [seen.target for seen in origin.seen] == [b"/drop/1"]
    assert store.seen == []


async def test_each_upstream_has_the_limits_that_are_set_for_it() -> None:
    upstreams = [
        {"name": "store", "url": "http://127.0.0.1:9", "connect_timeout": "1s", "connection_lifetime": "7s"},
        {"name": "blog", "url": "unix:/run/blog.sock", "max_connections": 3},
    ]
    config = build({"edge": {"max_body": "2KiB"}, "upstreams": upstreams, "rooms": [ROOM]}, {})
    async with all_connected(config, SystemClock()) as found:
        store, blog = found["store"].limits, found["blog"].limits

    assert (store.connect_timeout_s, store.connection_lifetime_s, store.max_connections) == (1, 7, 256)
    assert (blog.max_connections, blog.max_body_bytes) == (3, 2048)
    assert ways(config).upstream("any", "/") == "store"


async def test_certificates_that_are_none_are_a_fault_of_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    upstream = {"name": "store", "url": "https://127.0.0.1:9", "ca_file": str(tmp_path / "ca.pem")}
    config = build({"upstreams": [upstream], "rooms": [ROOM]}, {})

    with pytest.raises(ConfigFault, match="certificates"):
        async with all_connected(config, SystemClock()):
            pass


async def test_a_site_that_does_not_answer_is_a_page_that_tries_again_and_the_pass_stays(
    redis: ScriptRunner, keys: Keys, store: Store
) -> None:
    async with parts.origin() as gone:
        url = gone.url
    beside = {"upstreams": [{"name": "gone", "url": url}]}
    async with front(redis, keys, store, beside=beside, served_by="gone") as shop:
        page = await shop.get("/drop/", headers=HTML)
        text = await page.text()
        data = await shop.get("/drop/x", headers={"Cookie": page.headers["Set-Cookie"].partition(";")[0]})

    assert (page.status, data.status) == (502, 502)
    assert 'http-equiv="refresh"' in text
    assert page.headers["Set-Cookie"].startswith("wr_drop_pass=")
