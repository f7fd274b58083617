"""A piece of news is kept once, with what it was about, and for as long as it may be told again."""

from functools import partial

from inventory_backend.ledger import inbox, settlement
from inventory_backend.ledger.ledger import Ledger
from tests.bookkeeping import NOW_MS
from tests.inventory_backend.ledger.test_settlement import paying

KEEP = partial(inbox.write_down, provider="simulated", event_id="evt_1", body="{}", now_ms=NOW_MS)


async def test_it_is_kept_once_for_each_provider(ledger: Ledger) -> None:
    assert await ledger.write(KEEP)
    assert not await ledger.write(KEEP)
    assert await ledger.write(partial(KEEP, provider="stripe"))


async def test_a_payment_is_found_by_our_name_until_the_gateway_has_named_it(ledger: Ledger) -> None:
    pid = await paying(ledger)

    async def found(provider: str = "simulated", pid: str = pid, ref: str = "pi_1") -> bool:
        return await ledger.read(partial(inbox.payment_of, provider=provider, pid=pid, ref=ref)) is not None

    assert await found()
    assert not await found(provider="stripe")
    assert not await found(pid="somebody-elses")
    await ledger.write(partial(settlement.postpone, pid=pid, next_ms=NOW_MS, ref="pi_1"))
    assert await found(pid="")
    assert not await found(ref="pi_2"), "another charge that only bears our name"
