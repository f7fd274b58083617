"""Wait for units that others give back: join, leave, and see how one stands, each with its answer.

The ledger keeps the order, and hands over what comes free in the transaction that frees it (`ledger.offers`).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from inventory_backend.catalogue import Catalogue
from inventory_backend.counters import WAITLIST
from inventory_backend.identities import Identities
from inventory_backend.ledger import orders, waitlist
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.orders import Hold, Placed
from inventory_backend.ledger.waitlist import Joined, Joining, Standing
from inventory_backend.refusals import refused
from inventory_backend.sales import WaitlistState
from waitroom.kernel.errors import WaitroomError
from waitroom.kernel.tokens import Pass


class Waitlist:
    """Who is next when a unit comes back."""

    def __init__(self, ledger: Ledger, catalogue: Catalogue, identities: Identities) -> None:
        """Keep the waitlists of the sales in `catalogue`; `identities` say who a shopper is to the store."""
        self._ledger = ledger
        self._catalogue = catalogue
        self._identities = identities

    async def join(self, shopper: Pass, sale: str, wanted: Sequence[tuple[str, int]], token: str | None = None) -> bool:
        """Give the shopper a place, and tell whether it is a new one: who joins again keeps the first.

        Raises:
            Refused: unknown-sale, unknown-sku, sale-not-active, limit-reached, no-waitlist, not-sold-out, other-wish,
                waitlist-full, identity-missing, identity-refused.
            StoreUnavailable: whether there is a place now is not known; the same request finds out.
        """
        try:
            found, lines = self._catalogue.ordered(shopper.room, sale, wanted)
            if not found.max_waitlist:
                raise refused("no-waitlist")
            now_ms, own = self._ledger.now_ms(), shopper.session_id
            identity = self._identities.read(token, own, now_ms) if found.limit_per_identity is not None else None
            asked = Joining(found, own, lines, now_ms, identity)
            word = await self._ledger.write(lambda connection: waitlist.join(connection, asked))
            if word not in {Joined.JOINED, Joined.KNOWN}:
                raise refused(word, sale=sale)
        except WaitroomError as refusal:
            WAITLIST.labels(refusal.kind).inc()
            raise
        WAITLIST.labels(word).inc()
        return word is Joined.JOINED

    async def leave(self, shopper: Pass, sale: str) -> None:
        """Give the place up, or the offer that came of it: it goes to the next. Without one nothing happens.

        Raises:
            Refused: unknown-sale, no-pass, payment-in-progress.
        """
        self._check(shopper, sale)
        now_ms, own = self._ledger.now_ms(), shopper.session_id
        if await self._ledger.write(lambda connection: waitlist.leave(connection, sale, own, now_ms)):
            WAITLIST.labels("left").inc()
            return
        found = await self._ledger.read_together(waitlist.standing, (sale, own))
        if found is None or found.rid is None or found.state not in {WaitlistState.OFFERED, WaitlistState.PAYING}:
            return
        rid = found.rid
        word = await self._ledger.write(lambda connection: orders.cancel(connection, rid, own, now_ms))
        if word is Placed.IN_PROGRESS:
            raise refused(word)
        WAITLIST.labels("declined").inc()

    async def standing(self, shopper: Pass, sale: str) -> tuple[Standing | None, Hold | None]:
        """Return where the shopper stands, and what they are offered; None for who never joined.

        Raises:
            Refused: unknown-sale, no-pass.
        """
        self._check(shopper, sale)
        found = await self._ledger.read_together(waitlist.standing, (sale, shopper.session_id))
        if found is None:
            return None, None
        if found.rid is not None:
            return found, await self._ledger.read(partial(orders.hold, rid=found.rid, shopper=shopper.session_id))
        has_ended = self._catalogue.sales[sale].has_ended(self._ledger.now_ms())
        return (replace(found, state=WaitlistState.ENDED) if has_ended else found), None

    async def give_up(self) -> None:
        """Pass on what lay aside for too long for somebody who wants more than comes free."""
        now_ms = self._ledger.now_ms()
        if await self._ledger.read(partial(waitlist.impatient, now_ms=now_ms)):  # looking disturbs no writer
            await self._ledger.write(lambda connection: waitlist.give_up(connection, now_ms))

    def _check(self, shopper: Pass, sale: str) -> None:
        found = self._catalogue.sales.get(sale)
        if found is None:
            raise refused("unknown-sale")
        if shopper.room != found.room:
            raise refused("no-pass")
