"""What the till does without a request: each job by its name, its period, and how long one round may take."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from inventory_backend.catalogue import Catalogue
from inventory_backend.checkout import Checkout
from inventory_backend.confirmations.courier import Courier
from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.leftovers import Leftover, drop, is_any
from inventory_backend.outbox import Outbox
from inventory_backend.payments.reconciliation import Reconciliation
from inventory_backend.payments.saga import Saga
from inventory_backend.stock.rebuild import Rebuild
from inventory_backend.stock.reconciler import Reconciler
from inventory_backend.stock.restock import Restock
from inventory_backend.stock.shards import Shards
from inventory_backend.stock_reports import StockReports
from inventory_backend.waitlist import Waitlist
from waitroom.kernel.tasks import Loop

_DROPPED_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Jobs:
    """The parts that have something to do by themselves."""

    ledger: Ledger
    rebuild: Rebuild
    reconciler: Reconciler
    restock: Restock
    shards: Shards
    catalogue: Catalogue
    checkout: Checkout
    waitlist: Waitlist
    saga: Saga
    reconciliation: Reconciliation
    outbox: Outbox
    courier: Courier
    stock_reports: StockReports
    leftovers: Sequence[Leftover]

    def loops(self) -> list[Loop]:
        """Return all jobs."""
        return [
            Loop("rebuild", self.rebuild.step, period_s=0.25, limit_s=60),
            Loop("reconcile", self.reconciler.step, period_s=1, limit_s=10),
            Loop("restock", self.restock.step, period_s=0.25, limit_s=10),
            Loop("catalogue", self.catalogue.refresh, period_s=0.2, limit_s=5),
            Loop("expire", self.checkout.expire, period_s=0.25, limit_s=10),
            Loop("waitlist", self.waitlist.give_up, period_s=1, limit_s=10),
            Loop("outbox", self.outbox.deliver, period_s=0.1, limit_s=10),
            Loop("payments", self.saga.resume, period_s=0.2, limit_s=10),
            Loop("gateway", self.reconciliation.step, period_s=600, limit_s=300),
            Loop("time", self.ledger.ask_time, period_s=60, limit_s=30),
            Loop("forget", self.forget, period_s=1, limit_s=30),
            *self.shards.loops(),
            *self.courier.loops(),
            *self.stock_reports.loops(),
        ]

    async def forget(self) -> None:
        """Drop some of what was kept long enough; a shopper's write comes in between two such transactions."""
        now_ms = self.ledger.now_ms()
        for one in self.leftovers:
            if await self.ledger.read(partial(is_any, leftover=one, now_ms=now_ms)):
                await self.ledger.write(partial(drop, leftover=one, now_ms=now_ms, most=_DROPPED_AT_ONCE))
