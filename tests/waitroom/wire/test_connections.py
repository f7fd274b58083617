"""Connections are counted, in all and for each address; who is idle gives way, who is busy does not."""

from dataclasses import dataclass
from ipaddress import ip_network

from tests.doors import cut
from tests.fakes import FakeClock
from waitroom.wire.connections import Bounds, Connections, Seat


@dataclass
class Guest:
    """A connection that a test makes busy, or slow."""

    is_idle: bool = True
    has_gone: bool = False
    dawdles: str | None = None

    def hang_up(self) -> None:
        self.has_gone = True

    def look(self, now_s: float) -> str | None:
        return self.dawdles


def connections(most: int = 4, per_address: int = 2) -> Connections:
    return Connections(Bounds(most, per_address), trusted=[ip_network("10.0.0.0/8")], clock=FakeClock())


def sat(found: Connections, address: str, *, is_idle: bool = True) -> tuple[Seat | None, Guest]:
    """Let somebody in from `address`."""
    seat, guest = found.take(), Guest(is_idle)
    if seat is None or not seat.belongs_to(address):
        return None, guest
    seat.guest = guest
    return seat, guest


def test_as_many_as_there_are_seats_come_in_and_no_more() -> None:
    found = connections()
    seats = [sat(found, f"203.0.113.{n}", is_idle=False)[0] for n in range(5)]

    assert [seat is not None for seat in seats] == [True] * 4 + [False]
    seats[0].leave()  # type: ignore[union-attr]  # it is one, see above
    assert sat(found, "203.0.113.9")[0] is not None


def test_leaving_twice_is_leaving_once() -> None:
    found = connections()
    seat, _ = sat(found, "203.0.113.1")
    assert seat is not None
    sat(found, "203.0.113.2")
    seat.leave()
    seat.leave()

    assert len(found) == 1


def test_when_all_seats_are_taken_the_idle_one_gives_way() -> None:
    found = connections()
    guests = [sat(found, f"203.0.113.{n}", is_idle=n == 2)[1] for n in range(4)]

    assert sat(found, "203.0.113.9")[0] is not None
    assert [guest.has_gone for guest in guests] == [False, False, True, False]
    assert len(found) == 4


def test_one_address_takes_no_more_than_its_share_however_it_spells_itself() -> None:
    found = connections(most=100)
    for same in (
        ["203.0.113.7"] * 3,
        [f"2001:db8::{n}" for n in range(3)],
        ["::ffff:198.51.100.1", "198.51.100.1", "198.51.100.1"],
    ):
        seats = [sat(found, address, is_idle=False)[0] for address in same]

        assert [seat is not None for seat in seats] == [True, True, False]


def test_an_address_with_too_many_loses_an_idle_one_of_its_own() -> None:
    found = connections(most=100)
    _, other = sat(found, "203.0.113.1")
    _, busy = sat(found, "203.0.113.7", is_idle=False)
    _, idle = sat(found, "203.0.113.7")

    assert sat(found, "203.0.113.7")[0] is not None
    assert (other.has_gone, busy.has_gone, idle.has_gone) == (False, False, True)


def test_a_trusted_proxy_brings_as_many_as_it_likes() -> None:
    found = connections(most=100)

    assert all(sat(found, "10.1.2.3", is_idle=False)[0] is not None for _ in range(50))


def test_an_address_that_left_is_forgotten() -> None:
    found = connections(most=100)
    for number in range(1000):
        seat, _ = sat(found, f"198.51.{number % 100}.{number // 100}")
        assert seat is not None
        seat.leave()

    assert found._of == {}


def test_many_busy_ones_in_front_cost_a_newcomer_little_and_do_not_hide_an_idle_one_for_ever() -> None:
    found = connections(most=200, per_address=200)
    for number in range(199):
        sat(found, f"203.0.113.{number}", is_idle=False)
    _, idle = sat(found, "198.51.100.1")

    tries = next(n for n in range(20) if sat(found, "198.51.100.2")[0] is not None)

    assert idle.has_gone
    assert tries <= 200 // 32 + 1


async def test_a_sweep_looks_at_everybody_and_counts_who_dawdles() -> None:
    found, before = connections(), cut("slow-header")
    for number, dawdles in enumerate((None, "slow-header", None)):
        _, guest = sat(found, f"203.0.113.{number}")
        guest.dawdles = dawdles

    await found.sweep()

    assert cut("slow-header") == before + 1
