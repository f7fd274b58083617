"""A ledger has one name, whoever asks for it and however often."""

import asyncio
from uuid import UUID

from inventory_backend.ledger.ledger import Ledger, LedgerSettings, opened
from inventory_backend.ledger.own_name import own_name
from tests.fakes import FakeClock


async def test_a_ledger_keeps_its_name(ledger: Ledger, ledger_url: str, clock: FakeClock) -> None:
    async with opened(LedgerSettings(ledger_url), clock) as other:
        names = await asyncio.gather(*(one.write(own_name) for one in (ledger, other, ledger)))

        assert len(set(names)) == 1
        assert str(UUID(names[0])) == names[0]
