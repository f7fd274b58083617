"""Each change of a charge is one event, whoever or whatever changed it."""

from inventory_backend.payments.simulated_books import Books
from inventory_backend.payments.simulated_cards import NEVER_MS, Card, PaymentIntent
from inventory_backend.payments.simulated_events import Postman
from inventory_backend.payments.simulated_journal import Journal
from tests.fakes import FakeClock


def begun(clock: FakeClock, books: Books | None = None) -> tuple[Journal, Books]:
    books = books or Books()
    return Journal(books, Postman("", b"", clock, books.note_event), clock), books


def kinds(books: Books) -> list[str]:
    return [one.kind.removeprefix("payment_intent.") for one in books.events.values()]


async def test_what_time_does_is_an_event_too(clock: FakeClock) -> None:
    journal, books = begun(clock)
    journal.changed(PaymentIntent(1, "eur", Card.THREE_DS, clock.now_ms(), clock.now_ms() + 2000, {}))
    journal.look()
    await clock.advance(2)
    for _ in range(2):
        await journal.step()

    assert kinds(books) == ["requires_action", "amount_capturable_updated"]


async def test_a_charge_is_told_once_in_each_state_and_not_watched_when_it_is_over(clock: FakeClock) -> None:
    journal, books = begun(clock)
    charge = PaymentIntent(1, "eur", Card.OK, clock.now_ms(), clock.now_ms(), {})
    for _ in range(2):
        journal.changed(charge)
    charge.captured = 1
    journal.changed(charge)
    assert journal._moving == set()

    journal.look()

    assert kinds(books) == ["amount_capturable_updated", "succeeded"]


async def test_a_journal_of_a_new_process_goes_on_where_the_old_one_stopped(clock: FakeClock) -> None:
    journal, books = begun(clock)
    charge = PaymentIntent(1, "eur", Card.PAGE, clock.now_ms(), NEVER_MS, {})
    journal.changed(charge)
    heir, _ = begun(clock, books)

    charge.authorised_ms = clock.now_ms()
    heir.look()

    assert kinds(books) == ["requires_action", "amount_capturable_updated"]
