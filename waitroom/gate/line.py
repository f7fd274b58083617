"""Take a ticket through the line: presented, called, exchanged for a pass.

The API and the page without JavaScript take the same steps.
"""

import asyncio
import secrets
from dataclasses import dataclass, replace
from typing import Any

from waitroom.gate import counters
from waitroom.gate.cookies import Cookies
from waitroom.kernel.asking import Asking
from waitroom.kernel.errors import Refused, StoreUnavailable
from waitroom.kernel.tokens import Pass, Ticket
from waitroom.rules.lanes import SLOW, admitted_before
from waitroom.rules.pacing import WaitRange, wait_range
from waitroom.rules.pulse import is_undecided
from waitroom.rules.rooms import Snapshot
from waitroom.store.board import Board
from waitroom.store.places import Place, full
from waitroom.store.rooms import Rooms
from waitroom.store.sessions import Admitted, NotYet, Over, Sessions, Unknown

_LAPSED = (
    "Your turn has passed. Ask once where you stand: whoever missed a call is called once more. Who has lapsed then "
    "may join again, at the end of the line."
)


@dataclass(frozen=True, slots=True)
class Presented:
    """A ticket as Redis has it now: where it stands, its text for the cookie.

    `ahead` is None as long as nobody can know it.
    """

    ticket: Ticket
    text: str
    place: Place
    ahead: int | None


@dataclass(frozen=True, slots=True)
class Issued:
    """A pass, as text and as a cookie."""

    pass_: Pass
    text: str
    cookie: str


class Line:
    """The line of every room, as visitors meet it."""

    def __init__(self, rooms: Rooms, sessions: Sessions, board: Board, cookies: Cookies) -> None:
        """Put the parts together."""
        self.rooms = rooms
        self.sessions = sessions
        self.board = board
        self.cookies = cookies

    def snapshot(self, room: str) -> Snapshot:
        """Return how `room` stood at its last tick.

        Raises:
            Refused: 404, there is no such room.
            StoreUnavailable: nothing is known yet.
        """
        self.rooms.rules(room)
        snapshot = self.board.get(room)
        if snapshot is None:
            raise StoreUnavailable(f"no tick of {room} yet")
        return snapshot

    def held_ticket(self, request: Asking, room: str) -> Ticket | None:
        """Return the valid ticket that `request` carries for the event of now."""
        event = self.rooms.schedule(room).event
        ticket = self.cookies.ticket(request, room, event)
        if ticket is None or ticket.issued_ms + self.rooms.rules(room).ticket_lifetime_ms < self.rooms.now_ms():
            return None
        return ticket

    def held_pass(self, request: Asking, room: str) -> Pass | None:
        """Return the valid pass that `request` carries, unless it was revoked."""
        now_ms = self.rooms.now_ms()
        pass_ = self.cookies.pass_(request, room, now_ms)
        return pass_ if pass_ is not None and self.still_holds(pass_, now_ms) else None

    def still_holds(self, pass_: Pass, now_ms: int) -> bool:
        """Whether a pass that was read is worth something: it has neither run out nor been revoked."""
        if pass_.expires_ms <= now_ms or self.sessions.is_revoked(pass_.room, pass_.session_id):
            return False
        snapshot = self.board.get(pass_.room)
        return snapshot is None or pass_.admitted_ms > snapshot.revoked_before_ms

    def refuse_if_full(self, room: str) -> None:
        """Spare somebody without a place the work for one that they would not get.

        Raises:
            Refused: 503, as many wait as may.
        """
        snapshot, most = self.board.get(room), self.rooms.rules(room).max_waiting
        if snapshot is not None and 0 < most <= snapshot.waiting:
            raise full()

    def slow_ticket(self, room: str) -> Ticket:
        """Return a new ticket for somebody who cannot compute: it pays in waiting time."""
        event = self.rooms.schedule(room).event
        return Ticket(room, event, SLOW, secrets.token_urlsafe(15), self.rooms.now_ms(), None, is_slow=True)

    async def present(self, ticket: Ticket, *, is_new: bool = False) -> Presented:
        """Show `ticket` to Redis: a new one gets its place, one that Redis has lost comes back to its old place."""
        committed = self._current(ticket).commitment
        return self.presented(ticket, await self.rooms.join(ticket, is_new=is_new, committed=committed))

    def begin_to_present(self, ticket: Ticket) -> asyncio.Future[Any]:
        """Begin to show a new `ticket` to Redis; what comes of the reply is for `presented`.

        Raises:
            StoreUnavailable: it is not even begun.
        """
        return self.rooms.begin_to_join(ticket, committed=self._current(ticket).commitment)

    def presented(self, ticket: Ticket, place: Place) -> Presented:
        """Return `ticket` as it is known now that Redis has told its `place`.

        Raises:
            StoreUnavailable: another event has begun since.
        """
        snapshot = self._current(ticket)
        score = None if 0 <= place.score < 1 else place.score  # of a place in the draw the ticket tells nothing
        kept = ticket if ticket.score == score else replace(ticket, score=score)
        ahead = None if is_undecided(snapshot, place.score) else place.ahead
        return Presented(kept, self.cookies.sign_ticket(kept), place, ahead)

    def wait(self, presented: Presented) -> WaitRange:
        """Return how long somebody may have to wait who was presented just now."""
        snapshot, ahead = self._current(presented.ticket), presented.ahead
        if ahead is None:
            return self._draw_wait(snapshot, presented.ticket)
        return self._wait(snapshot, presented.ticket, ahead)

    def show(self, pass_: Pass) -> Issued:
        """Return the pass of somebody who is in already, and note that they are: Redis may have lost that."""
        self.sessions.visit(pass_.room, pass_.session_id, pass_.expires_ms)
        return self.renew(pass_, pass_.expires_ms)

    async def claim(self, ticket: Ticket) -> Issued | NotYet | Over:
        """Exchange a called ticket for a pass, once; a ticket that Redis has lost is presented again first."""
        rules, schedule = self.rooms.rules(ticket.room), self.rooms.schedule(ticket.room)
        outcome = await self.sessions.claim(ticket, rules, schedule)
        if isinstance(outcome, Unknown):
            await self.present(ticket)
            outcome = await self.sessions.claim(ticket, rules, schedule)
        match outcome:
            case Admitted(session_id, expires_ms):
                counters.CLAIMS.labels(ticket.room, "admitted").inc()
                return self.issue(ticket.room, session_id, expires_ms)
            case Unknown():
                raise StoreUnavailable(f"claim: {ticket.room} lost a ticket twice")
            case _:
                counters.CLAIMS.labels(ticket.room, "not-called" if isinstance(outcome, NotYet) else outcome.why).inc()
                return outcome

    async def end(self, pass_: Pass) -> None:
        """End a session before its time, and every pass of it.

        One that was renewed and put aside lives longer than the one that was shown; a worker that has not heard yet
        may renew it once more.
        """
        longest_ms = self.rooms.now_ms() + 2 * self.rooms.rules(pass_.room).session_duration_ms
        await self.sessions.release(pass_.room, pass_.session_id, until_ms=max(pass_.expires_ms, longest_ms))

    def issue(self, room: str, session_id: str, expires_ms: int) -> Issued:
        """Return the pass of somebody who comes in now, for a session that ends at `expires_ms`."""
        return self.renew(Pass(room, session_id, self.rooms.now_ms(), expires_ms), expires_ms)

    def renew(self, pass_: Pass, expires_ms: int) -> Issued:
        """Return `pass_` with another end; when it was admitted stays, for ops revoke all passes up to an instant."""
        now_ms, room = self.rooms.now_ms(), pass_.room
        pass_ = replace(pass_, expires_ms=expires_ms)
        text = self.cookies.sign_pass(pass_)
        max_age_s = max(1, (expires_ms - now_ms) // 1000)
        return Issued(pass_, text, self.cookies.pass_cookie(room, text, max_age_s))

    def _current(self, ticket: Ticket) -> Snapshot:
        """Return the snapshot by which `ticket` may be told its place."""
        snapshot = self.snapshot(ticket.room)
        if snapshot.event != ticket.event:  # of the event before: it would tell places that are still a secret
            raise StoreUnavailable(f"no tick of {ticket.room} since {ticket.event} began")
        return snapshot

    def _wait(self, snapshot: Snapshot, ticket: Ticket, ahead: int) -> WaitRange:
        rules = self.rooms.rules(snapshot.room)
        waiting = {name: lane.waiting for name, lane in snapshot.lanes.items()}
        is_paying = ticket.lane == SLOW and ticket.issued_ms + rules.slow_dwell_ms > snapshot.now_ms
        return wait_range(
            snapshot,
            admitted_before(ticket.lane, ahead, waiting, rules.lanes),
            session_ms=rules.session_duration_ms,
            measured_per_minute=self.board.admitted_per_minute(snapshot.room),
            not_before_ms=ticket.issued_ms + rules.slow_dwell_ms if is_paying else 0,
        )

    def _draw_wait(self, snapshot: Snapshot, ticket: Ticket) -> WaitRange:
        """Return what anybody in the draw may expect: their own place must not show through the estimate."""
        lane = snapshot.lanes.get(ticket.lane)
        waiting = lane.waiting if lane else 0
        first, middle, last = (self._wait(snapshot, ticket, n) for n in (0, waiting // 2, waiting))
        return WaitRange(first.low_s, middle.likely_s, last.high_s)

    def ticket_cookie(self, presented: Presented) -> str:
        """Return the Set-Cookie value of a ticket that was presented."""
        room = presented.ticket.room
        lifetime_s = self.rooms.rules(room).ticket_lifetime_ms // 1000
        return self.cookies.ticket_cookie(room, presented.text, lifetime_s)


def lapsed(why: str) -> Refused:
    """Return the answer to a ticket that nobody can come in with any more."""
    if why == "ended":
        return Refused(410, "ended", "This waiting room is closed: nobody is let in any more.")
    return Refused(410, "lapsed", _LAPSED)
