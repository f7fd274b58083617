"""Guessing is slowed down, and only for who guesses."""

import pytest

from tests.fakes import FakeClock
from waitroom.console import throttle
from waitroom.console.throttle import Throttle
from waitroom.kernel.errors import Refused


def test_a_sixth_try_within_the_minute_is_refused_with_the_time_to_wait(clock: FakeClock) -> None:
    tries = Throttle(clock, limit=5, window_s=60)
    for _ in range(5):
        tries.check("192.0.2.1")
        tries.note("192.0.2.1")

    with pytest.raises(Refused) as refused:
        tries.check("192.0.2.1")

    assert (refused.value.status, refused.value.retry_after_s) == (429, 60)


async def test_after_the_minute_tries_are_heard_again(clock: FakeClock) -> None:
    tries = Throttle(clock, limit=1, window_s=60)
    tries.note("192.0.2.1")

    await clock.advance(60)

    tries.check("192.0.2.1")


def test_another_address_is_not_held_up(clock: FakeClock) -> None:
    tries = Throttle(clock, limit=1, window_s=60)
    tries.note("192.0.2.1")

    tries.check("192.0.2.2")


def test_a_flood_of_addresses_takes_a_bounded_place_and_hides_nobody(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "_MANY", 3)
    tries = Throttle(clock, limit=1, window_s=60)
    for number in range(10):
        tries.note(f"192.0.2.{number}")

    tries.check("192.0.2.0")  # forgotten: it was quiet for longest
    with pytest.raises(Refused):
        tries.check("192.0.2.9")


def test_the_addresses_of_one_ipv6_site_are_one(clock: FakeClock) -> None:
    tries = Throttle(clock, limit=1, window_s=60)
    tries.note("2001:db8::1")

    tries.check("2001:db8:0:1::1")
    with pytest.raises(Refused):
        tries.check("2001:db8::2")
