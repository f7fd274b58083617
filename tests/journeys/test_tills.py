"""Two tills on one PostgreSQL and one Valkey sell one stock: neither takes it from the other, whatever breaks."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import pytest
from redis.asyncio import Redis
from sqlalchemy import select

from inventory_backend.ledger import supply
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.schema import reservation, sale
from inventory_backend.sales import HoldState
from tests import postgresql
from tests.bookkeeping import books
from tests.inventory_backend.test_main import ready, till
from tests.till import Answer, Shopper, gateway
from waitroom.kernel.clock import SystemClock
from waitroom.kernel.embedded import EmbeddedServer
from waitroom.kernel.ports import free_loopback

pytestmark = [pytest.mark.journey, pytest.mark.xdist_group("journey")]

UNITS, BUYERS = 100, 240


@dataclass(frozen=True)
class Tills:
    """Two tills, and what stands behind them."""

    files: tuple[Path, Path]
    urls: tuple[str, str]
    session: aiohttp.ClientSession
    valkey: Redis
    ledger: Ledger
    gateway_url: str

    def shopper(self, name: str, place: int = 0) -> Shopper:
        return Shopper(self.session, self.urls[place % 2], name, SystemClock())

    async def epoch(self) -> int:
        return await self.ledger.read(lambda connection: int(connection.execute(select(sale.c.epoch)).scalar_one()))

    async def asked(self, name: str, place: int, what: str, *about: str) -> Answer:
        """Ask one till, and the other where it is gone or busy, under the same key: what a shopper behind both does."""
        async with asyncio.timeout(60):
            while True:
                try:
                    answer: Answer = await getattr(self.shopper(name, place), what)(*about)
                    if answer.status not in {503, 425} and answer.kind != "request-in-flight":
                        return answer
                except (aiohttp.ClientError, ConnectionError):
                    pass
                place += 1
                await asyncio.sleep(0.05)

    async def buy(self, number: int) -> tuple[str, str]:
        """Reserve at one till, pay at the other; return what became of it, and the reservation."""
        name = f"s{number}"
        held = await self.asked(name, number, "reserve")
        if held.status != 201:
            return held.kind, ""
        rid = held.body["reservation_id"]
        placed = await self.asked(name, number + 1, "commit", rid)
        assert placed.status == 202, placed
        while (shown := await self.asked(name, number, "get", placed.body["status_url"])).body["status"] == "paying":
            await asyncio.sleep(0.1)
        return str(shown.body["status"]), rid


def settings(folder: Path, ledger_url: str, redis_url: str, gateway_url: str, shards: int) -> tuple[Path, str]:
    listen = free_loopback()
    file = folder / f"till-{listen.port}.toml"
    file.write_text(f"""
        [server]
        listen = "{listen}"
        [redis]
        url = "{redis_url}"
        [ledger]
        url = "{ledger_url}"
        [payments]
        url = "{gateway_url}"
        poll = "100ms"
        [[sales]]
        name = "drop"
        skus = [{{ sku = "sneaker", name = "Sneaker", price = 12900, total = {UNITS}, shards = {shards} }}]
        """)
    return file, f"http://{listen}"


@pytest.fixture(params=[1, 2])
async def tills(request: pytest.FixtureRequest) -> AsyncIterator[Tills]:
    """Give what two tills need, the sku whole or split; the test starts them."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tills-")))
        ledger_url = await postgresql.new_database(stack.enter_context(postgresql.server()))
        server = EmbeddedServer(folder / "r")
        await server.start()
        stack.push_async_callback(server.stop)
        gateway_url = await stack.enter_async_context(gateway())
        urls = (ledger_url, server.url, gateway_url)
        (one, one_url), (other, other_url) = (settings(folder, *urls, request.param) for _ in range(2))
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        valkey = Redis.from_url(server.url)
        stack.push_async_callback(valkey.aclose)
        ledger = await stack.enter_async_context(opened(LedgerSettings(ledger_url), SystemClock()))
        yield Tills((one, other), (one_url, other_url), session, valkey, ledger, gateway_url)


async def test_one_is_killed_and_valkey_is_emptied_in_the_middle_of_a_sale(tills: Tills) -> None:
    async with till(tills.files[0]), till(tills.files[1]) as doomed:
        for url in tills.urls:
            await ready(tills.session, url)
        assert await tills.epoch() == 1, "the second took the stock of the first over as it was"
        first = [asyncio.ensure_future(tills.buy(number)) for number in range(40)]
        await _sold(tills, 1)
        await tills.valkey.flushall()
        found = await asyncio.gather(*first)
        second = [asyncio.ensure_future(tills.buy(number)) for number in range(40, 80)]
        await _sold(tills, 41)
        doomed.kill()
        found += await asyncio.gather(*second)
        third = [asyncio.ensure_future(tills.buy(number)) for number in range(80, BUYERS)]
        await tills.valkey.flushall()
        found += await asyncio.gather(*third)
        last = await tills.asked("late", 0, "reserve")

    assert Counter(word for word, _ in found) == {"paid": UNITS, "sold-out": BUYERS - UNITS}
    assert last.kind == "sold-out"
    assert 3 <= await tills.epoch() < 8, (
        "two losses, put back by one at a time; a time-out begins anew, a quarrel never ends"
    )
    kept = await books(tills.ledger)
    assert (sum(kept.allocated.values()), kept.holds) == (UNITS, {HoldState.PAID: UNITS})
    async with tills.session.get(f"{tills.gateway_url}/v1/payment_intents?limit=100") as answer:
        charges = await answer.json()
    assert [one["status"] for one in charges["data"]] == ["succeeded"] * UNITS, "both carried on, one charge each"
    assert not charges["has_more"]
    promised = {rid for _, rid in found if rid}
    wanted = select(reservation.c.rid).where(reservation.c.state == HoldState.PAID)
    assert promised == set(await tills.ledger.read(lambda connection: connection.execute(wanted).scalars().all()))


async def _sold(tills: Tills, units: int) -> None:
    """Wait until so many units are held or sold."""
    async with asyncio.timeout(60):
        while supply.by_sku(await tills.ledger.read(supply.supplies))["drop", "sneaker"].allocated < units:
            await asyncio.sleep(0.02)
