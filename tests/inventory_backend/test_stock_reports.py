"""The till tells a real room what is left: after every change, now and then, and never more than it knows."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from prometheus_client import REGISTRY

from inventory_backend.catalogue import Catalogue
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.stock_reports import StockReports, Units, Way, units_of, way
from tests.certificate import made
from tests.edges import Front, Store, front
from tests.fakes import FakeClock
from tests.till import KEYS, SIGNER, Shop, config, gateway, sale, shop
from tests.waiting import join, sell_out
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.redis import ScriptRunner

NOWHERE = "http://127.0.0.1:9"
EARLIER, LATER = 1_000, 2**52


@pytest.fixture
async def edge(redis: ScriptRunner, store: Store) -> AsyncIterator[Front]:
    async with front(redis, KEYS, store) as found:
        yield found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(SystemClock().now_ms())


async def seen(edge: Front) -> tuple[str, dict[str, int] | None]:
    """Return phase and stock as a waiting browser reads them."""
    await edge.tick()
    pulse: dict[str, Any] = await (await edge.get("/.waitroom/drop/pulse")).json()
    return pulse["phase"], pulse["stock"]


def url_of(edge: Front) -> str:
    return str(edge.client.make_url("/")).rstrip("/")


def heard(outcome: str) -> float:
    told = {"room": "drop", "outcome": outcome}
    return REGISTRY.get_sample_value("waitroom_till_stock_reports_total", told) or 0.0


def reporting(ledger: Ledger, session: aiohttp.ClientSession, url: str, clock: FakeClock, **terms: Any) -> StockReports:
    return StockReports(ledger, [sale(**terms)], SIGNER.reports, session, Way(url, 2000), clock)


async def becomes(edge: Front, phase: str, **units: int) -> None:
    """Wait until the room stands like that: the till's own job tells it."""
    wanted = phase, {"left": 0, "held": 0} | units
    async with asyncio.timeout(60):
        while (found := await seen(edge)) != wanted:
            assert found[0] == "idle", found
            await asyncio.sleep(0.05)


async def reserved(drop: Shop, shopper: str, sku: str) -> str:
    answer = await drop.shopper(shopper).reserve(2, sku=sku)
    assert answer.status == 201, answer
    return str(answer.body["reservation_id"])


async def paid(drop: Shop, shopper: str, rid: str) -> None:
    placed = await drop.shopper(shopper).commit(rid)
    await drop.shopper(shopper).settled(placed.body["order_id"], "paid")


async def test_what_is_held_paid_and_given_back_reaches_the_room(tmp_path: Path, redis_url: str, edge: Front) -> None:
    async with (
        gateway() as paying,
        shop(config(tmp_path, redis_url, paying, total=2, tables={"room": {"url": url_of(edge)}})) as drop,
    ):
        await becomes(edge, "idle", left=4)
        kept, returned = await reserved(drop, "alice", "laces"), await reserved(drop, "bob", "sneaker")
        await becomes(edge, "idle", held=4)
        await paid(drop, "alice", kept)
        await becomes(edge, "idle", held=2)
        await drop.shopper("bob").cancel(returned)
        await becomes(edge, "idle", left=2)
        await drop.till.jobs.outbox.deliver()
        await paid(drop, "carol", await reserved(drop, "carol", "sneaker"))
        await becomes(edge, "sold_out")


@pytest.mark.parametrize(("url", "periods"), [("", []), (NOWHERE, [0.5])])
async def test_the_job_is_there_only_where_there_is_a_room_to_tell(
    tmp_path: Path, redis_url: str, url: str, periods: list[float]
) -> None:
    async with shop(config(tmp_path, redis_url, tables={"room": {"url": url}}), with_jobs=False) as drop:
        loops = [loop for loop in drop.till.jobs.loops() if loop.name == "stock reports"]

    assert [loop.period_s for loop in loops] == periods, "a few times a second at most"


async def test_what_has_not_changed_is_told_again_only_as_a_sign_of_life(
    ledger: Ledger, edge: Front, clock: FakeClock
) -> None:
    before = heard("heard")
    counts = []
    async with aiohttp.ClientSession() as session:
        reports = reporting(ledger, session, url_of(edge), clock)
        for seconds in (0, 0.5, 4.4, 0.1, 0.5):
            await clock.advance(seconds)
            await reports.step()
            counts.append(heard("heard") - before)

    assert counts == [1, 1, 1, 2, 2]


async def test_a_room_that_does_not_answer_is_told_later_and_the_log_says_so_once(
    ledger: Ledger, edge: Front, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "inventory_backend")
    async with aiohttp.ClientSession() as session:
        silent = reporting(ledger, session, NOWHERE, clock)
        for _ in range(3):
            await silent.step()
        silent._way = Way(url_of(edge), 2000)  # the room is back
        await silent.step()

    assert [record.message for record in caplog.records] == [
        "room does not hear of the stock",
        "room hears of the stock again",
    ]
    assert (await seen(edge))[1] == {"left": 20, "held": 0}


async def test_over_tls_only_a_room_that_our_own_ca_vouches_for_is_told(
    ledger: Ledger, clock: FakeClock, tmp_path: Path
) -> None:
    told = list[str]()

    async def stock(request: web.Request) -> web.Response:
        told.append((await request.json())["report"])
        return web.Response(status=204)

    room = web.Application()
    room.router.add_post("/.waitroom/drop/stock", stock)
    pair, stranger = made(tmp_path), made(tmp_path, "stranger")
    server = TestServer(room, scheme="https")
    await server.start_server(ssl=pair.serving())
    async with server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        for ca_file in (None, stranger.certificate, pair.certificate):
            reached = way(url, 2000, ca_file)
            await StockReports(ledger, [sale()], SIGNER.reports, session, reached, clock).step()

    (report,) = told
    assert SIGNER.reports.verify(report, room="drop").left == 20


@pytest.mark.parametrize("text", [None, "", "-----BEGIN CERTIFICATE-----\n"])
def test_a_file_that_vouches_for_nobody_is_refused_by_its_name(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)

    with pytest.raises(ConfigFault, match=r"^room\.ca_file: .*ca\.pem"):
        way("https://room.example", 2000, file)


async def test_a_clock_that_was_put_back_is_heard_again_when_it_has_caught_up(
    ledger: Ledger, edge: Front, clock: FakeClock
) -> None:
    behind = FakeClock(clock.now_ms() - 5_000)
    async with aiohttp.ClientSession() as session:
        await reporting(ledger, session, url_of(edge), clock).step()
        restarted = reporting(ledger, session, url_of(edge), behind)
        await restarted.step()
        assert "drop" not in restarted._told
        await behind.advance(5.1)
        await restarted.step()

    assert "drop" in restarted._told


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [
        ({}, {}, 26),
        ({"starts_ms": LATER}, {"starts_ms": LATER}, 26),
        ({}, {"starts_ms": LATER}, 20),
        ({"ends_ms": EARLIER}, {"starts_ms": LATER}, 6),
        ({"ends_ms": EARLIER}, {}, 6),
        ({"ends_ms": EARLIER}, {"ends_ms": EARLIER}, None),
    ],
)
async def test_of_the_sales_of_one_room_those_count_that_are_open_else_those_to_come(
    ledger_url: str, edge: Front, clock: FakeClock, first: Any, second: Any, told: int | None
) -> None:
    sales = [sale(**first), replace(sale(total=3, **second), name="second")]
    async with opened(LedgerSettings(ledger_url), clock) as ledger, aiohttp.ClientSession() as session:
        await Catalogue(ledger, sales).seed()
        counted = await ledger.read(units_of)
        await StockReports(ledger, sales, SIGNER.reports, session, Way(url_of(edge), 2000), clock).step()

    assert counted == {"drop": Units(20, 0), "second": Units(6, 0)}
    assert (await seen(edge))[1] == (None if told is None else {"left": told, "held": 0})


async def test_what_somebody_inside_waits_for_does_not_come_back_for_the_room(ledger: Ledger) -> None:
    await sell_out(ledger, ("sneaker", 1), ("laces", 1))
    assert await ledger.read(units_of) == {"drop": Units(0, 20)}

    await join(ledger, "ann", ("sneaker", 2))
    await join(ledger, "ben")
    assert await ledger.read(units_of) == {"drop": Units(0, 17)}
    for n in range(18):
        await join(ledger, f"s{n}")

    assert await ledger.read(units_of) == {"drop": Units(0, 0)}
