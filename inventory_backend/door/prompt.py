"""Answer plain requests at once, or begin to, with the bytes that the views would send; the rest is left to them."""

from collections.abc import Coroutine
from functools import lru_cache
from typing import Any

from inventory_backend.catalogue import Catalogue
from inventory_backend.door.guard import Guard
from inventory_backend.door.views import Views, sent
from inventory_backend.ledger.idempotency import Answer
from waitroom.kernel.answers import answered, note
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import WaitroomError
from waitroom.kernel.prepared import filled, on_the_wire, problem_on_the_wire, start_of
from waitroom.rules.heads import Head, Reading
from waitroom.verify.passes import PASS_HEADER

RESERVE = "/checkout/reserve"
OF_THE_TILL = Reading(PASS_HEADER, "Idempotency-Key")

Work = Coroutine[Any, Any, bytes]


class Prompt:
    """What a crowd asks of the till."""

    def __init__(self, views: Views, catalogue: Catalogue, guard: Guard, clock: Clock) -> None:
        """Take the steps of `views`, for whom `guard` lets in."""
        self._views = views
        self._catalogue = catalogue
        self._guard = guard
        self._clock = clock
        self._sales = {f"/sales/{name}": name for name in catalogue.sales}
        self._gone = lru_cache(len(self._sales) or 1)(self._gone_at)

    def look(self, head: Head) -> bytes | None:
        """Return the answer to a plain GET or HEAD; None: ask the views."""
        document = self._catalogue.document(self._sales.get(head.target, ""))
        if document is None:
            return None
        return document.on_the_wire(head, self._now_s(), is_head=head.method == "HEAD")

    def reserve(self, head: Head, body: bytes) -> bytes | Work | None:
        """Return the answer to a plain reserve, or the work that has it in the end; None: ask the views."""
        headers = head.headers
        if headers.get("Content-Type", "").lower() != "application/json" or "Content-Encoding" in headers:
            return None
        try:
            shopper = self._guard.shopper_of(head)
            work = self._views.begin_to_reserve(shopper, body, headers.get("Idempotency-Key"))
        except WaitroomError as fault:
            note(fault)
            return problem_on_the_wire(fault, self._now_s())
        return self._gone(work, self._now_s()) if isinstance(work, str) else self._told(work)

    async def _told(self, work: Coroutine[Any, Any, Answer]) -> bytes:
        answer = await answered(work)
        if isinstance(answer, WaitroomError):
            return problem_on_the_wire(answer, self._now_s())
        return filled(_start(answer.status, answer.is_replayed), answer.body.encode(), self._now_s())

    def _gone_at(self, name: str, now_s: int) -> bytes:
        return on_the_wire(self._views.gone(name), now_s)

    def _now_s(self) -> int:
        return self._clock.now_ms() // 1000


@lru_cache
def _start(status: int, is_replayed: bool) -> str:
    return start_of(sent(Answer(status, "", is_replayed)))
