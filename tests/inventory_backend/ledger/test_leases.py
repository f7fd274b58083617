"""One till at a time; a dead one for no longer than its lease."""

import asyncio

from inventory_backend.ledger import leases
from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from tests.bookkeeping import NOW_MS
from tests.fakes import FakeClock


async def taken(ledger: Ledger, holder: str, now_ms: int = NOW_MS) -> bool:
    return await ledger.write(lambda c: leases.take(c, "stock", holder, now_ms, now_ms + 1000))


async def test_one_holds_it_until_it_ends_or_is_given_back(ledger: Ledger) -> None:
    assert await taken(ledger, "a")
    assert not await taken(ledger, "b", NOW_MS + 999)
    assert await taken(ledger, "b", NOW_MS + 1000)
    assert not await taken(ledger, "a", NOW_MS + 1000)

    await ledger.write(lambda c: leases.give_back(c, "stock", "a"))
    assert not await taken(ledger, "a", NOW_MS + 1000), "only its holder gives it back"
    await ledger.write(lambda c: leases.give_back(c, "stock", "b"))
    assert await taken(ledger, "a", NOW_MS + 1000)


async def test_its_holder_renews_it(ledger: Ledger) -> None:
    for now_ms in range(NOW_MS, NOW_MS + 5000, 500):
        assert await taken(ledger, "a", now_ms)
        assert not await taken(ledger, "b", now_ms + 499)


async def test_of_many_that_ask_at_once_one_gets_it(ledger_url: str, clock: FakeClock) -> None:
    async with (
        opened(LedgerSettings(ledger_url), clock) as one,
        opened(LedgerSettings(ledger_url), clock) as other,
    ):
        asked = [taken(ledger, f"{n}") for n, ledger in enumerate((one, other) * 10)]
        assert (await asyncio.gather(*asked)).count(True) == 1
