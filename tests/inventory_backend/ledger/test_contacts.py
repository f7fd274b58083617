"""An address is kept beside the books, and the latest is the one."""

from inventory_backend.ledger import contacts, holds
from inventory_backend.ledger.ledger import Ledger
from tests.bookkeeping import NOW_MS, wanted


async def test_the_latest_address_is_the_one(ledger: Ledger) -> None:
    one = wanted("alice", ("sneaker", 1))
    await ledger.write_together(holds.take, one)

    async def address() -> str | None:
        return await ledger.read(lambda c: contacts.address_of(c, one.rid))

    assert await address() is None
    for email in ("a@example.com", "b@example.com"):
        await ledger.write(lambda c, email=email: contacts.keep(c, one.rid, email, NOW_MS))  # type: ignore[misc]  # mypy cannot see a default in a lambda

    assert await address() == "b@example.com"
