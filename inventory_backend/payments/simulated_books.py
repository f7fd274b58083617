"""What the simulated gateway remembers: charges, refunds, events, and the answers given under keys.

All of it is written to one SQLite file before it is answered, so that a process killed at any moment knows afterwards
what it had said; without a file it is kept in memory. Power loss may cost the last moment: no real money is in here.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inventory_backend.payments.simulated_cards import Card, PaymentIntent
from inventory_backend.payments.simulated_events import Event

_TABLE = "CREATE TABLE IF NOT EXISTS kept (kind TEXT, name TEXT, body TEXT NOT NULL, PRIMARY KEY (kind, name))"
_WRITE = (
    "INSERT INTO kept (kind, name, body) VALUES (?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET body = excluded.body"
)


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and whether it is kept under its key: what was refused before it began is not."""

    status: int
    body: Mapping[str, object]
    is_kept: bool = True


@dataclass(slots=True)
class Keyed:
    """What was asked under a key, and what was answered; no answer while the first request is running."""

    asked: str
    at_ms: int
    reply: Reply | None = None


@dataclass(frozen=True, slots=True)
class Refund:
    """Money sent back."""

    ref: str
    amount: int
    intent: str
    currency: str = ""
    created_ms: int = 0

    def as_json(self) -> dict[str, object]:
        """Return it in the shape of Stripe's Refund."""
        about = {"object": "refund", "payment_intent": self.intent, "status": "succeeded"}
        return {
            "id": self.ref,
            "amount": self.amount,
            "currency": self.currency,
            "created": self.created_ms // 1000,
            **about,
        }


class Books:
    """The memory of one gateway; what is noted is committed before anybody hears of it."""

    def __init__(self, file: Path | None = None) -> None:
        """Open `file`, made where it is missing; without one, remember nothing after the end.

        Raises:
            sqlite3.Error: it cannot be opened.
        """
        if file is not None:
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._database = sqlite3.connect(file or ":memory:", isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute(_TABLE)
        self._rows: list[tuple[str, str, str]] = []
        self.intents = {ref: _intent(found) for ref, found in self._found("intent")}
        self.refunds = {ref: Refund(**found) for ref, found in self._found("refund")}
        self.events = {ref: Event(**found) for ref, found in self._found("event")}
        self.keyed = {key: _keyed(found) for key, found in self._found("key")}

    def note(self, intent: PaymentIntent) -> None:
        """Take down a charge as it stands now."""
        self.intents[intent.ref] = intent
        self._rows.append(("intent", intent.ref, json.dumps(asdict(intent))))

    def note_refund(self, refund: Refund) -> None:
        """Take down a refund."""
        self.refunds[refund.ref] = refund
        self._rows.append(("refund", refund.ref, json.dumps(asdict(refund))))

    def note_event(self, event: Event) -> None:
        """Take down an event as it stands now: told, or still to be told."""
        self.events[event.ref] = event
        self._rows.append(("event", event.ref, json.dumps(asdict(event))))

    def note_answer(self, key: str, keyed: Keyed) -> None:
        """Take down what was answered under `key`."""
        self._rows.append(("key", key, json.dumps(asdict(keyed))))

    def commit(self) -> None:
        """Write what was taken down, all of it or nothing."""
        if self._rows:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany(_WRITE, self._rows)
            self._database.execute("COMMIT")
            self._rows.clear()

    def forget_keys(self, before_ms: int) -> None:
        """Drop the answers that were given under keys before then."""
        while self.keyed and (first := next(iter(self.keyed.items())))[1].at_ms < before_ms:
            del self.keyed[first[0]]
            self._database.execute("DELETE FROM kept WHERE kind = 'key' AND name = ?", (first[0],))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _found(self, kind: str) -> Iterator[tuple[str, Any]]:
        """Yield what is kept, in the order in which it was made."""
        wanted = "SELECT name, body FROM kept WHERE kind = ? ORDER BY rowid"
        for name, body in self._database.execute(wanted, (kind,)):
            yield name, json.loads(body)


def _intent(found: Mapping[str, Any]) -> PaymentIntent:
    return PaymentIntent(**{**found, "card": Card(found["card"])})


def _keyed(found: Mapping[str, Any]) -> Keyed:
    return Keyed(found["asked"], found["at_ms"], Reply(**found["reply"]))
