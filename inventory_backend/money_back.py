"""Send the money of orders back when ops say so: once, whichever till they ask, and however often under one key."""

import re
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from inventory_backend.ledger import refunds
from inventory_backend.ledger.holds import Note
from inventory_backend.ledger.idempotency import Answer, Asked, Kept, Replays, keep
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.refunds import Refunding
from inventory_backend.payments.saga import Saga
from inventory_backend.refusals import refused

_REASON = "refunded"


@dataclass(frozen=True, slots=True)
class Decision:
    """Which order goes back, who decided it, and why."""

    order_id: str
    actor: str
    why: str


class MoneyBack:
    """Refunds of whole orders."""

    def __init__(self, ledger: Ledger, saga: Saga) -> None:
        """Write the intent into `ledger`; `saga` carries it to the gateway."""
        self._ledger = ledger
        self._saga = saga
        self._replays = Replays(ledger)

    async def refund(self, decision: Decision, ask: Asked) -> Answer:
        """Begin to send the money of an order back: 202, or 200 where it goes or went back already.

        Raises:
            Refused: unknown-order, order-not-paid, or the key is not usable.
            StoreUnavailable: whether it was begun is not known; the same request finds out.
        """
        if not re.fullmatch("[0-9a-f-]{36}", decision.order_id):  # cannot be found, and need not be looked for
            raise refused("unknown-order")
        return await self._replays.once(ask, lambda: self._refund(decision, ask))

    async def _refund(self, decision: Decision, ask: Asked) -> Answer:
        note = Note(decision.actor, self._ledger.now_ms(), _REASON, decision.why)
        kept = ask.kept(202, _told(decision.order_id, Refunding.BEGUN))
        begun = partial(_begun, order=decision.order_id, note=note, kept=kept)
        match await self._ledger.write(begun):
            case Refunding.BEGUN, pid:
                self._saga.start(pid)
                return Answer(kept.status, kept.body)
            case Refunding.KNOWN, _:
                if (before := await self._replays.known(ask)) is not None:  # another till was faster under this key
                    return before
                known = ask.kept(200, _told(decision.order_id, Refunding.KNOWN))
                return Answer(known.status, known.body)
            case Refunding.NOT_FOUND, _:
                raise refused("unknown-order")
            case _:
                raise refused("order-not-paid")


def _begun(connection: Connection, order: str, note: Note, kept: Kept) -> tuple[Refunding, str]:
    word, pid = refunds.refund(connection, order, note)
    if word is Refunding.BEGUN:
        try:
            keep(connection, [kept], note.now_ms)
        except IntegrityError as fault:  # another till was faster under this key, for another order
            raise refused("idempotency-key-reused") from fault
    return word, pid


def _told(order_id: str, word: Refunding) -> dict[str, object]:
    return {"order_id": order_id, "status": "refunded", "refund": word}
