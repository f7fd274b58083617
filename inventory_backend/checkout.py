"""Reserve, commit, cancel: what a shopper may do with stock, each with its answer.

Redis admits, the ledger promises: a hold is answered only after its row is committed (W1), and told to Redis only after
that (W2).
"""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from inventory_backend import documents
from inventory_backend.catalogue import Catalogue
from inventory_backend.counters import HOLDS, HOLDS_EXPIRED
from inventory_backend.identities import Identities
from inventory_backend.ids import order_id, reservation_id
from inventory_backend.ledger import holds, orders
from inventory_backend.ledger.holds import Taken, Wanted
from inventory_backend.ledger.idempotency import Answer, Asked, Replays
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.orders import Placed, Placing
from inventory_backend.payments.saga import Saga
from inventory_backend.refusals import refused
from inventory_backend.sales import Line, Sale
from inventory_backend.stock.counter import Counter, Passed
from inventory_backend.stock.stock import Hold
from waitroom.kernel.errors import Refused, WaitroomError
from waitroom.kernel.tokens import Pass

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Terms:
    """How long a payment may take, and who may be paid through."""

    window_ms: int
    grace_ms: int
    providers: frozenset[str]
    is_mail_sent: bool = False
    identities: Identities = field(default_factory=lambda: Identities(()))


@dataclass(frozen=True, slots=True)
class Paying:
    """How a shopper pays, and where they want to read of it."""

    provider: str
    method: str
    email: str | None = None


class Checkout:
    """The till."""

    def __init__(self, ledger: Ledger, counter: Counter, catalogue: Catalogue, saga: Saga, terms: Terms) -> None:
        """Sell what `catalogue` has; `saga` carries the payments."""
        self._ledger = ledger
        self._counter = counter
        self._catalogue = catalogue
        self._saga = saga
        self._terms = terms
        self._identities = terms.identities
        self._replays = Replays(ledger)
        self._too_late, self._held = HOLDS.labels(Hold.SOLD_OUT), HOLDS.labels(Hold.HELD)

    def is_too_late(self, shopper: Pass, name: str, wanted: Sequence[tuple[str, int]]) -> bool:
        """Tell from memory whether all is gone: a crowd that came too late costs Redis and the ledger nothing.

        Raises:
            Refused: unknown-sku, sale-not-active, limit-reached, where there are none to be had of what is wanted.
        """
        if not self._catalogue.is_gone(name, shopper.session_id):
            return False
        try:
            self._catalogue.ordered(shopper.room, name, wanted)
        except Refused as refusal:
            HOLDS.labels(refusal.kind).inc()
            raise
        self._too_late.inc()
        return True

    async def reserve(
        self, shopper: Pass, sale: str, wanted: Sequence[tuple[str, int]], ask: Asked, identity: str | None = None
    ) -> Answer:
        """Set units aside for the shopper; `identity` is the store's word on who they are, where the sale asks for it.

        Raises:
            Refused: unknown-sale, unknown-sku, sale-not-active, identity-missing, identity-refused, limit-reached,
                sold-out, or the key is not usable.
            StoreUnavailable: nothing was promised; the same request may be sent again.
        """
        if self.is_too_late(shopper, sale, wanted):
            raise refused(Taken.SOLD_OUT, sale=sale)
        try:
            answer = await self._replays.first(ask, lambda: self._reserve(shopper, sale, wanted, ask, identity))
        except WaitroomError as refusal:
            HOLDS.labels(refusal.kind).inc()
            raise
        (HOLDS.labels("replayed") if answer.is_replayed else self._held).inc()
        return answer

    async def commit(self, shopper: Pass, rid: str, paying: Paying, ask: Asked) -> Answer:
        """Begin to pay for a hold.

        Raises:
            Refused: not-found, hold-expired, payment-in-progress, already-paid, or the key is not usable.
            StoreUnavailable: whether the payment began is not known; the same request finds out.
        """
        return await self._replays.once(ask, lambda: self._commit(shopper, rid, paying, ask))

    async def cancel(self, shopper: Pass, rid: str) -> None:
        """Let go of a hold.

        Raises:
            Refused: not-found, hold-expired, payment-in-progress, already-paid.
        """
        _check_id(rid)
        now_ms = self._ledger.now_ms()
        word = await self._ledger.write(lambda connection: orders.cancel(connection, rid, shopper.session_id, now_ms))
        if word is not Placed.CANCELLED:
            raise refused(word)

    async def hold(self, shopper: Pass, rid: str) -> orders.Hold:
        """Return a hold of the shopper.

        Raises:
            Refused: not-found.
        """
        _check_id(rid)
        found = await self._ledger.read(lambda connection: orders.hold(connection, rid, shopper.session_id))
        if found is None:
            raise refused("not-found")
        return found

    async def order(self, shopper: Pass, order: str) -> orders.Order:
        """Return an order of the shopper.

        Raises:
            Refused: not-found.
        """
        _check_id(order)
        found = await self._ledger.read_together(orders.find, (order, shopper.session_id))
        if found is None:
            raise refused("not-found")
        return found

    async def expire(self) -> None:
        """Give back the units of holds whose time ran out; the outbox tells Redis afterwards."""
        now_ms = self._ledger.now_ms()
        if not await self._ledger.read(lambda connection: holds.overdue(connection, now_ms, most=1)):
            return  # looking does not disturb the writer
        gone = await self._ledger.write(lambda connection: holds.expire(connection, now_ms))
        HOLDS_EXPIRED.inc(len(gone))
        log.info("holds expired", extra={"count": len(gone)})

    async def _reserve(
        self, shopper: Pass, name: str, wanted: Sequence[tuple[str, int]], ask: Asked, token: str | None
    ) -> Answer:
        sale, lines = self._catalogue.ordered(shopper.room, name, wanted)
        identity = self._identity(sale, shopper, token)
        rid = reservation_id(name, shopper.session_id, ask.key)
        for is_last in (False, True):
            passed = await self._counter.hold(sale, lines, rid, shopper.session_id)
            if passed.word in {Hold.SOLD_OUT, Hold.LIMIT_REACHED}:
                raise _refused(passed.word, sale)
            if passed.word is Hold.AGAIN and (before := await self._kept(sale, passed, rid, ask)) is not None:
                return before
            asked = self._wanted(sale, passed.lines, rid, shopper.session_id, ask, identity)
            taken = await self._ledger.write_together(holds.take, asked)
            if taken is Taken.SOLD_OUT and not is_last and await self._counter.gather(sale, passed.lines, rid):
                continue  # they lay on another shard than Redis thought
            return await self._answered(taken, sale, passed, asked, ask)
        raise AssertionError("the last try returned or raised")

    async def _answered(self, taken: Taken, sale: Sale, passed: Passed, asked: Wanted, ask: Asked) -> Answer:
        match taken:
            case Taken.HELD:
                self._counter.confirm(sale, passed.lines, asked.rid)
                return Answer(asked.kept.status, asked.kept.body)
            case Taken.KNOWN:  # another process was faster under this key, or its answer was forgotten after a day
                if (before := await self._kept(sale, passed, asked.rid, ask)) is not None:
                    return before
                raise refused("idempotency-key-reused")
            case Taken.SOLD_OUT | Taken.LIMIT_REACHED:
                self._counter.release(sale, passed.lines, asked.rid)
                raise _refused(taken, sale)

    async def _kept(self, sale: Sale, passed: Passed, rid: str, ask: Asked) -> Answer | None:
        """Return the answer kept for `ask`; where there is one, or it had another body, nothing is held for it anew."""
        try:
            before = await self._replays.known(ask)
        except Refused:
            self._counter.release(sale, passed.fresh, rid)
            raise
        if before is not None:
            self._counter.release(sale, passed.fresh, rid)
        return before

    def _identity(self, sale: Sale, shopper: Pass, token: str | None) -> str | None:
        if sale.limit_per_identity is None:
            return None
        return self._identities.read(token, shopper.session_id, self._ledger.now_ms())

    def _wanted(
        self, sale: Sale, lines: tuple[Line, ...], rid: str, shopper: str, ask: Asked, identity: str | None
    ) -> Wanted:
        now_ms = self._ledger.now_ms()
        expires_ms = now_ms + sale.hold_ms
        return Wanted(
            rid=rid,
            sale=sale.name,
            shopper=shopper,
            lines=lines,
            limit=sale.limit_per_shopper,
            identity=identity,
            limit_per_identity=sale.limit_per_identity or 0,
            cost=sale.cost(lines),
            now_ms=now_ms,
            expires_ms=expires_ms,
            kept=ask.kept(201, documents.held(sale, lines, rid, expires_ms)),
        )

    async def _commit(self, shopper: Pass, rid: str, paying: Paying, ask: Asked) -> Answer:
        _check_id(rid)
        if paying.provider not in self._terms.providers:
            raise refused("unknown-provider")
        kept = ask.kept(202, documents.placed(order_id(rid)))
        placing = Placing(
            rid=rid,
            shopper=shopper.session_id,
            provider=paying.provider,
            method=paying.method,
            now_ms=self._ledger.now_ms(),
            window_ms=self._terms.window_ms,
            grace_ms=self._terms.grace_ms,
            kept=kept,
            email=paying.email if self._terms.is_mail_sent else None,  # without use for it, it is not kept
        )
        word, pid = await self._ledger.write(lambda connection: orders.place(connection, placing))
        if word is not Placed.PAYING:
            if (before := await self._replays.known(ask)) is not None:  # another till was faster under this key
                return before
            raise refused(word)
        self._saga.start(pid)
        return Answer(kept.status, kept.body)


def _check_id(text: str) -> None:
    """Let through what may be one of our ids: anything else cannot be found, and need not be looked for."""
    if not re.fullmatch("[0-9a-f-]{36}", text):
        raise refused("not-found")


def _refused(word: Taken | Hold, sale: Sale) -> Refused:
    if word == Taken.LIMIT_REACHED:
        limits = {"limit_per_shopper": sale.limit_per_shopper, "limit_per_identity": sale.limit_per_identity}
        return refused(word, sale=sale.name, **{name: limit for name, limit in limits.items() if limit is not None})
    return refused(word, sale=sale.name)
