"""Bound what connections may take: how many there are, from one address and in all, and how long they may dawdle.

Nothing here costs a request anything: connections are counted when they come and go, and looked at once a second.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from waitroom.kernel.clock import Clock
from waitroom.rules.visitors import Network, address_prefix, is_trusted
from waitroom.wire.counters import CONNECTIONS, CONNECTIONS_CUT

log = logging.getLogger(__name__)

SWEEP_S = 1.0
_LOOKED_AT = 32
"""How many connections are asked at most whether they are idle, before a newcomer is refused."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What the connections of one worker may take."""

    max_connections: int = 10_000
    max_per_address: int = 1_000
    header_timeout_s: float = 10.0
    write_timeout_s: float = 30.0
    max_header_bytes: int = 65_536
    min_bytes_per_s: int = 240
    keepalive_s: float = 75.0


class Guest(Protocol):
    """What stands behind a seat once it speaks HTTP."""

    @property
    def is_idle(self) -> bool:
        """Whether it waits for a request of which nothing, or not all, has come."""
        ...

    def hang_up(self) -> None:
        """End it; nothing is under way."""
        ...

    def look(self, now_s: float) -> str | None:
        """End it if it has dawdled too long, and say in which way; else None."""
        ...


class Seat:
    """One connection, counted from the moment it was accepted until it left."""

    __slots__ = ("_connections", "guest", "prefix")

    def __init__(self, connections: "Connections") -> None:
        """Count among all; the address is not known yet."""
        self._connections = connections
        self.prefix: str | None = None
        self.guest: Guest | None = None

    def belongs_to(self, address: str) -> bool:
        """Count for `address`; False where that has as many as it may, and none of them is idle."""
        return self._connections.name(self, address)

    def leave(self) -> None:
        """Count no more; leaving twice is leaving once."""
        self._connections.forget(self)


class Connections:
    """All connections of this worker."""

    def __init__(self, bounds: Bounds, *, trusted: Sequence[Network] = (), clock: Clock) -> None:
        """Begin with none; the `trusted` proxies bring many visitors each, so no address of theirs is bounded."""
        self.bounds = bounds
        self.clock = clock
        self._trusted = trusted
        self._seats: dict[Seat, None] = {}
        self._of: dict[str, dict[Seat, None]] = {}
        self._is_full = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._seats)

    def take(self) -> Seat | None:
        """Return a seat for a newcomer; where all are taken, one that is idle gives way, or there is none."""
        if len(self._seats) >= self.bounds.max_connections and not self.make_room():
            return None
        seat = Seat(self)
        self._seats[seat] = None
        CONNECTIONS.inc()
        return seat

    def make_room(self) -> bool:
        """End the connection that has been looked at longest ago and is idle; False where none is.

        Closing an idle connection is anybody's right (RFC 9112 §9.3.1), and browsers open another; so who holds
        thousands of them in silence does not keep others out.
        """
        if not self._is_full:
            log.warning("connections full", extra={"most": self.bounds.max_connections})
            self._is_full = True
        return self._end_idle(self._seats, "full")

    def name(self, seat: Seat, address: str) -> bool:
        """Count `seat` for `address`; see `Seat`."""
        if is_trusted(address, self._trusted):
            return True
        prefix = address_prefix(address)
        same = self._of.setdefault(prefix, {})
        if len(same) >= self.bounds.max_per_address and not self._end_idle(same, "address"):
            return False
        self._of.setdefault(prefix, same)[seat] = None
        seat.prefix = prefix
        return True

    def forget(self, seat: Seat) -> None:
        """Count `seat` no more."""
        if seat not in self._seats:
            return
        del self._seats[seat]
        CONNECTIONS.dec()
        if seat.prefix is not None:
            same = self._of[seat.prefix]
            del same[seat]
            if not same:
                del self._of[seat.prefix]

    async def sweep(self) -> None:
        """Cut off who has dawdled too long."""
        now_s = self.clock.tick_s()
        for guest in self._guests():
            if (why := guest.look(now_s)) is not None:
                CONNECTIONS_CUT.labels(why).inc()
        self._is_full = self._is_full and len(self._seats) > self.bounds.max_connections * 0.9

    def hang_up(self, *, only_idle: bool = False) -> None:
        """End all that are left, or those that wait for a request."""
        for guest in self._guests():
            if guest.is_idle or not only_idle:
                guest.hang_up()

    def _guests(self) -> Iterator[Guest]:
        return (seat.guest for seat in list(self._seats) if seat.guest is not None)

    def _end_idle(self, seats: dict[Seat, None], why: str) -> bool:
        """Look at a few, first come first asked; who is busy is asked again only after all others."""
        for seat in list(_first(seats, _LOOKED_AT)):
            if seat.guest is not None and seat.guest.is_idle:
                seat.guest.hang_up()
                self.forget(seat)
                CONNECTIONS_CUT.labels(why).inc()
                return True
            seats[seat] = seats.pop(seat)
        return False


def _first(seats: dict[Seat, None], count: int) -> Iterator[Seat]:
    return (seat for seat, _ in zip(seats, range(count), strict=False))
