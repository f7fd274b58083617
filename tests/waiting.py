"""Shoppers who wait for units, in the ledger of a test."""

from inventory_backend.ledger import holds, waitlist
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.waitlist import Joined, Joining, Standing
from inventory_backend.sales import HoldState, Sale, WaitlistState
from tests.bookkeeping import NOW_MS, wanted
from tests.till import sale

OFFER_MS = 300_000


async def sell_out(ledger: Ledger, *lines: tuple[str, int], total: int = 10) -> list[str]:
    """Hold everything, one unit (or `lines`) a shopper, and return the reservations."""
    asked = [wanted(f"owner{n}", *lines) for n in range(total)]
    for one in asked:
        await ledger.write_together(holds.take, one)
    return [one.rid for one in asked]


async def join(
    ledger: Ledger,
    shopper: str,
    *lines: tuple[str, int],
    terms: Sale | None = None,
    now_ms: int = NOW_MS,
    identity: str | None = None,
) -> Joined:
    """Wait for `lines`, by default one sneaker."""
    chosen = terms or sale()
    asked = Joining(chosen, shopper, chosen.priced(lines or [("sneaker", 1)]), now_ms, identity)
    return await ledger.write(lambda connection: waitlist.join(connection, asked))


async def free(ledger: Ledger, *rids: str, now_ms: int = NOW_MS) -> list[str]:
    """Let the holds `rids` run out."""
    note = Note("expiry", now_ms, "expired")
    return await ledger.write(lambda c: holds.release(c, rids, HoldState.HELD, HoldState.EXPIRED, note))


async def standing(ledger: Ledger, shopper: str) -> Standing:
    """Return where a shopper who joined stands."""
    found = await ledger.read_together(waitlist.standing, ("drop", shopper))
    assert isinstance(found, Standing)
    return found


async def offered(ledger: Ledger, *shoppers: str) -> list[str]:
    """Return those of `shoppers` who have an offer."""
    return [one for one in shoppers if (await standing(ledger, one)).state is WaitlistState.OFFERED]
