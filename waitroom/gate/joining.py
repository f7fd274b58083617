"""Pose a challenge and take its solution: the steps of a join that wait for nothing, the same at every door."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field

from waitroom.gate import counters
from waitroom.gate.line import Line, Presented, lapsed
from waitroom.gate.tally import Tally
from waitroom.kernel.asking import Asking
from waitroom.kernel.errors import BadToken, Refused
from waitroom.kernel.origins import is_from_elsewhere
from waitroom.kernel.tokens import Ticket
from waitroom.rules.challenges import (
    ChallengeFault,
    ChallengeKeys,
    RefusedChallenge,
    Terms,
    client_tag,
    pose,
    solved,
    ticket_id,
)
from waitroom.rules.lanes import MAIN
from waitroom.rules.posing import event_text
from waitroom.rules.rooms import Phase
from waitroom.rules.visitors import Network, address_prefix, client_address
from waitroom.store.places import Standing


class Solution(BaseModel):
    """What a browser sends when it has done the work."""

    model_config = ConfigDict(extra="ignore")
    challenge: str = Field(max_length=512)
    solution: str = Field(max_length=1024)
    invite: str | None = Field(None, max_length=1024)


@dataclass(frozen=True, slots=True)
class Posing:
    """What challenges are made of: keys, the terms of each room, and a key that binds them to a client's network."""

    keys: ChallengeKeys
    terms: Mapping[str, Terms]
    bind_key: bytes


class Joining:
    """Challenges, and what a solution is worth."""

    def __init__(self, line: Line, posing: Posing, trusted: Sequence[Network]) -> None:
        """Pose for the rooms of `line`; `trusted` proxies are believed about addresses."""
        self._line = line
        self._posing = posing
        self._trusted = trusted
        self.tally = Tally()

    def posed(self, room: str, address: str) -> dict[str, object]:
        """Return a new challenge: stateless, so a flood of requests leaves nothing behind.

        Raises:
            Refused: 410, nobody is let in any more.
        """
        now_ms, terms = self._line.rooms.now_ms(), self._posing.terms[room]
        if self._line.snapshot(room).phase is Phase.ENDED:
            raise lapsed("ended")
        challenge = pose(
            self._posing.keys,
            event=event_text(room, self._line.rooms.schedule(room).event),
            client_tag=client_tag(self._posing.bind_key, address_prefix(address)),
            terms=terms,
            now_ms=now_ms,
            challenge_id=secrets.token_bytes(16),
        )
        self.tally.count(counters.CHALLENGES_POSED, room)
        posed = {"challenge": challenge, "k": terms.steps, "d": terms.difficulty}
        return {**posed, "expires_ms": now_ms + terms.ttl_s * 1000}

    def earned(self, room: str, sent: Solution) -> Ticket:
        """Return the ticket that a solution has earned; Redis is not asked for one that is wrong.

        Raises:
            Refused, BadToken: it is wrong; the kind of the problem says how.
        """
        now_ms, event = self._line.rooms.now_ms(), self._line.rooms.schedule(room).event
        keys = self._posing.keys
        try:
            posed = solved(
                keys, event=event_text(room, event), challenge=sent.challenge, solution=sent.solution, now_ms=now_ms
            )
        except RefusedChallenge as refused:
            self.tally.count(counters.CHALLENGES_REFUSED, room, refused.fault.value)
            raise _refusal(refused.fault) from None
        self.tally.count(counters.CHALLENGES_SOLVED, room)
        return Ticket(room, event, MAIN, ticket_id(keys, posed), posed.issued_ms, None)

    def joined(self, presented: Presented) -> tuple[int, dict[str, object]]:
        """Return status and body of the answer to who has a place now, and count them."""
        ticket, known = presented.ticket, presented.place.was_known
        self.tally.count(counters.JOINS, ticket.room, "known" if known else "new")
        facts = {"state": presented.place.standing, "ticket": presented.text, "ticket_id": ticket.ticket_id}
        return 200 if known else 201, {**facts, "lane": ticket.lane, **shown(presented)}

    def address(self, asking: Asking, peer: str) -> str:
        """Return the address of whoever asks."""
        return client_address(peer, asking.headers.getall("X-Forwarded-For", []), self._trusted)


def shown(presented: Presented) -> dict[str, object]:
    """Return score, place and people ahead; in a draw that is still to come nobody has any of them."""
    ahead = presented.ahead
    if ahead is None:
        return {"score": None, "place": None, "ahead": None}
    is_waiting = presented.place.standing is Standing.WAITING
    return {"score": presented.place.score, "place": ahead + 1 if is_waiting else None, "ahead": ahead}


def refuse_foreign_origin(asking: Asking) -> None:
    """Refuse a request that a page of another site made a browser send (CSRF).

    Raises:
        Refused: 403.
    """
    if is_from_elsewhere(asking):
        raise Refused(403, "foreign-origin", "This can only be asked for from the waiting page itself.")


def _refusal(fault: ChallengeFault) -> Refused | BadToken:
    kind = f"challenge-{fault.value}"
    match fault:
        case ChallengeFault.FORMAT | ChallengeFault.LENGTH:
            return Refused(422, kind, "This is not a challenge and a solution as we make them.")
        case ChallengeFault.EXPIRED:
            return Refused(410, kind, "This challenge has run out. Ask for a new one.")
        case ChallengeFault.WORK:
            return Refused(422, kind, "The solution does not solve the challenge.")
        case _:
            return Refused(403, kind, "This challenge is not valid here. Ask for a new one.")
