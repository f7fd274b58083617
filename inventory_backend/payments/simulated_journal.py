"""Make events of what happens to the charges of the simulated gateway, also of what time alone does to them."""

from collections.abc import Mapping

from inventory_backend.payments.payments import ChargeStatus
from inventory_backend.payments.simulated_books import Books
from inventory_backend.payments.simulated_cards import PaymentIntent
from inventory_backend.payments.simulated_events import KINDS, Event, Postman
from waitroom.kernel.clock import Clock


class Journal:
    """What happened, in its order."""

    def __init__(self, books: Books, postman: Postman, clock: Clock) -> None:
        """Write it into `books`, and let `postman` carry it."""
        self._books = books
        self._postman = postman
        self._clock = clock
        self._moving = {ref for ref, one in books.intents.items() if not _is_final(one.told)}

    def changed(self, found: PaymentIntent) -> None:
        """Write a charge down as it stands, and make an event of it if its status is another than the last told."""
        self._books.note(found)
        self._moving.add(found.ref)
        self._tell(found)

    def happened(self, kind: str, about: Mapping[str, object]) -> None:
        """Make an event."""
        event = Event(kind, self._clock.now_ms(), about)
        self._postman.take(event)
        self._books.note_event(event)

    def resume(self) -> None:
        """Let the events be told that an earlier process did not get told."""
        for event in self._books.events.values():
            self._postman.resume(event)

    def look(self) -> None:
        """See which charges moved on with the time."""
        for ref in list(self._moving):
            self._tell(self._books.intents[ref])

    async def step(self) -> None:
        """Look, tell what is to be told, and write down what was."""
        self.look()
        self._books.commit()
        await self._postman.step()
        self._books.commit()

    def _tell(self, found: PaymentIntent) -> None:
        now_ms = self._clock.now_ms()
        status = found.status(now_ms)
        if status != found.told:
            found.told = status
            self._books.note(found)
            self.happened(KINDS[status], found.as_json(now_ms))
        if _is_final(status):
            self._moving.discard(found.ref)


def _is_final(status: str) -> bool:
    return status in {ChargeStatus.CAPTURED, ChargeStatus.CANCELLED}
