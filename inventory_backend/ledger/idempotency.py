"""Give the same answer to the same request: `Idempotency-Key`, kept in the ledger with the effect itself.

A key is missing: 400. The first request under it is still running: 409. Another body under it: 422. Else the answer of
the first is given again, with `Idempotent-Replayed: true`, for 24 hours. Only answers that changed something are kept,
as a refusal (sold out, limit reached) promises nothing and may be tried again under the same key.

Source: draft-ietf-httpapi-idempotency-key-header-07.
"""

import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256

from sqlalchemy import Connection, select, tuple_

from inventory_backend.ledger.ledger import Ledger
from inventory_backend.ledger.rows import write_rows
from inventory_backend.ledger.schema import idempotency
from waitroom.kernel.errors import Refused, WaitroomError

LIFETIME_MS = 24 * 60 * 60 * 1000
_LONGEST_KEY = 255
_REMEMBERED = 50_000
"""Keys under which an answer is known to be kept; forgetting one costs its next repetition a write that is refused."""

_COMPACT = json.JSONEncoder(separators=(",", ":"))
_KEPT = idempotency.insert()
_KEPT_COLUMNS = ("scope", "key", "fingerprint", "status", "body", "created_ms")

Name = tuple[str, str]
"""Scope (shopper and route) and key."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request under a key: what it is called and what it said."""

    scope: str
    key: str
    fingerprint: str

    def kept(self, status: int, body: object) -> "Kept":
        """Return the answer to keep for it."""
        return Kept(self.scope, self.key, self.fingerprint, status, _COMPACT.encode(body))


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that was given under a key; its body is JSON."""

    scope: str
    key: str
    fingerprint: str
    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send: a fresh answer, or one that was given before."""

    status: int
    body: str
    is_replayed: bool = False


def asked(route: str, shopper: str, key: str | None, body: object) -> Asked:
    """Return what is asked under `key`; `body` must be plain JSON values.

    Raises:
        Refused: 400, no key or one that is too long.
    """
    return asked_again(route, shopper, key, fingerprint(body))


def asked_again(route: str, shopper: str, key: str | None, said: str) -> Asked:
    """Return what is asked under `key` with a body whose fingerprint is known to be `said`.

    Raises:
        Refused: 400, no key or one that is too long.
    """
    return Asked(f"{route} {shopper}", check_key(key), said)


def fingerprint(body: object) -> str:
    """Return by what a body, plain JSON values, is told from others that say something else."""
    return sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def check_key(key: str | None) -> str:
    """Return `key`, if a request may come under it.

    Raises:
        Refused: 400, there is none or it is too long.
    """
    if not key or len(key) > _LONGEST_KEY or not key.isprintable():
        told = f"Send an Idempotency-Key header of 1 to {_LONGEST_KEY} printable characters."
        raise Refused(400, "idempotency-key-missing", told)
    return key


def keep(connection: Connection, answers: Sequence[Kept], now_ms: int) -> None:
    """Store `answers` in the transaction of their effects."""
    rows = [(one.scope, one.key, one.fingerprint, one.status, one.body, now_ms) for one in answers]
    write_rows(connection, _KEPT, _KEPT_COLUMNS, rows)


class Replays:
    """Who is being answered right now, and what was answered before."""

    def __init__(self, ledger: Ledger) -> None:
        """Look answers up in `ledger`."""
        self._ledger = ledger
        self._in_flight: set[Name] = set()
        self._answered: dict[Name, None] = {}

    async def once(self, ask: Asked, effect: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer kept for `ask`, else that of `effect`.

        Raises:
            Refused: 409 while the first is running, 422 when it had another body.
        """
        with self._alone((ask.scope, ask.key)):
            return await self.known(ask) or await effect()

    async def first(self, ask: Asked, effect: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer of `effect`; where it says no, the one kept for `ask`, if there is one.

        A request that is new costs no look-up. `effect` must say no to what was done before, as the ledger does.

        Raises:
            Refused: 409 while the first is running, 422 when it had another body, else what `effect` raises.
        """
        name = (ask.scope, ask.key)
        with self._alone(name):
            if name in self._answered and (before := await self.known(ask)) is not None:
                return before
            try:
                answer = await effect()
            except WaitroomError:
                if (before := await self.known(ask)) is not None:
                    return before
                raise
            self._note(name)
            return answer

    async def known(self, ask: Asked) -> Answer | None:
        """Return the answer kept for `ask`.

        Raises:
            Refused: 422, it is kept for another body.
        """
        found = await self._ledger.read_together(_find, (ask.scope, ask.key))
        if found is None:
            return None
        self._note((ask.scope, ask.key))
        if found.fingerprint != ask.fingerprint:
            told = "This Idempotency-Key was used with another body. Use a new key for a new request."
            raise Refused(422, "idempotency-key-reused", told)
        return Answer(found.status, found.body, is_replayed=True)

    @contextmanager
    def _alone(self, name: Name) -> Iterator[None]:
        if name in self._in_flight:
            told = "The first request under this Idempotency-Key is still running. Try again in a moment."
            raise Refused(409, "request-in-flight", told, retry_after_s=1)
        self._in_flight.add(name)
        try:
            yield
        finally:
            self._in_flight.discard(name)

    def _note(self, name: Name) -> None:
        """Remember that there is an answer: who repeats a key shall not trouble the ledger's writer with it."""
        self._answered[name] = None
        if len(self._answered) > _REMEMBERED:
            del self._answered[next(iter(self._answered))]


def _find(connection: Connection, names: Sequence[Name]) -> list[Kept | None]:
    c = idempotency.c
    wanted = select(idempotency).where(tuple_(c.scope, c.key).in_(names))
    found = {
        (row.scope, row.key): Kept(row.scope, row.key, row.fingerprint, row.status, row.body)
        for row in connection.execute(wanted)
    }
    return [found.get(name) for name in names]
