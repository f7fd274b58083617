"""Only the hosts on the list are answered, whatever is asked and by whichever way."""

from collections.abc import AsyncIterator

import pytest

from tests.edges import HTML, Front, Store, front
from tests.wire import request, send
from waitroom.kernel.redis import ScriptRunner
from waitroom.kernel.tokens import Keys, StockReport, StockReportSigner

EDGE = {"allowed_hosts": ["shop.example", "*.shops.example"], "trusted_proxies": ["127.0.0.0/8"]}


@pytest.fixture
async def gate(redis: ScriptRunner, keys: Keys, store: Store) -> AsyncIterator[Front]:
    async with front(redis, keys, store, edge=EDGE, queueing_method="fifo") as found:
        yield found


@pytest.mark.parametrize("host", ["shop.example", "Shop.Example.:8080", "a.shops.example"])
async def test_a_host_on_the_list_is_served(gate: Front, host: str) -> None:
    assert (await send(gate.client.port or 0, request("GET /about", host=host))).body == b"the store"


async def test_probes_are_answered_by_address(gate: Front) -> None:
    for probe in ("healthz", "readyz"):
        assert (await gate.get(f"/.waitroom/{probe}", headers={"Host": "127.0.0.1"})).status == 200


async def test_the_store_behind_reports_by_whatever_address_it_has_for_us(gate: Front, keys: Keys) -> None:
    report = StockReportSigner(keys).sign(StockReport("drop", 1, 0, gate.edge.rooms.now_ms()))

    told = await gate.post("/.waitroom/drop/stock", json={"report": report}, headers={"Host": "127.0.0.1"})

    assert told.status == 204


@pytest.mark.parametrize("kind", ["nginx", "redirect", "envoy"])
@pytest.mark.parametrize(("host", "is_served"), [("shop.example:8443", True), ("evil.example", False)])
async def test_a_front_may_call_us_as_it_likes_and_tells_the_host(
    gate: Front, kind: str, host: str, is_served: bool
) -> None:
    told = {"X-Forwarded-Method": "GET", "X-Forwarded-Proto": "http", **HTML}
    told |= {"Host": host} if kind == "envoy" else {"Host": "gate", "X-Forwarded-Host": host, "X-Forwarded-Uri": "/a"}
    address = "/.waitroom/auth/envoy/a" if kind == "envoy" else f"/.waitroom/auth/{kind}"

    status = (await gate.get(address, headers=told)).status

    if is_served:
        assert status in {200, 204}
    else:
        assert status == (403 if kind == "nginx" else 421)  # nginx knows no other refusal
