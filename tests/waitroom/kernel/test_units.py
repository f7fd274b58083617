"""Durations, sizes, times and addresses are read as people write them."""

from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waitroom.kernel.units import (
    Address,
    address,
    duration_ms,
    instant_ms,
    size_bytes,
    spell_duration,
    spell_instant,
    spell_size,
)


@pytest.mark.parametrize(
    ("text", "ms"),
    [("250ms", 250), ("0s", 0), ("1.5s", 1500), ("10m", 600_000), ("1h30m", 5_400_000), ("1d2h3m4s5ms", 93_784_005)],
)
def test_a_duration_is_read(text: str, ms: int) -> None:
    assert duration_ms(text) == ms


@pytest.mark.parametrize(
    "text", ["", "5", "5 m", "-5m", "5x", "30m1h", "1m1m", "\u0661s", "1e3s", "5m ", "9999999999s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        duration_ms(text)


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 10**12))
def test_a_spelled_duration_reads_as_itself(ms: int) -> None:
    assert duration_ms(spell_duration(ms)) == ms


@pytest.mark.parametrize(("text", "count"), [("0B", 0), ("512B", 512), ("64KiB", 65536), ("1 MiB", 1 << 20)])
def test_a_size_is_read(text: str, count: int) -> None:
    assert size_bytes(text) == count


@pytest.mark.parametrize("text", ["", "5", "1MB", "1mib", "-1B", "1.5MiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        size_bytes(text)


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 1 << 38))
def test_a_spelled_size_reads_as_itself(count: int) -> None:
    assert size_bytes(spell_size(count)) == count


@pytest.mark.parametrize(
    "text",
    ["2026-11-28T10:00:00+01:00", "2026-11-28T09:00:00Z", "2026-11-28t09:00:00.000z", "2026-11-28 04:00:00-05:00"],
)
def test_the_same_moment_is_read_in_every_zone(text: str) -> None:
    assert instant_ms(text) == 1_795_856_400_000
    assert instant_ms(datetime.fromisoformat(text.upper())) == 1_795_856_400_000


@pytest.mark.parametrize(
    "text", ["2026-11-28", "2026-11-28T10:00:00", "2026-02-30T10:00:00Z", "10:00Z", "tomorrow", ""]
)
def test_a_moment_without_its_zone_or_out_of_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be a time with its zone"):
        instant_ms(text)


def test_a_local_time_of_the_file_is_refused() -> None:
    with pytest.raises(ValueError, match="must be a time with its zone"):
        instant_ms(datetime(2026, 11, 28, 10, 0))  # noqa: DTZ001 - that it has no zone is what is tested


@settings(deadline=None)  # a busy machine is no fault
@given(st.integers(0, 4_102_444_800_000))
def test_a_spelled_moment_reads_as_itself(ms: int) -> None:
    assert instant_ms(spell_instant(ms)) == ms


@pytest.mark.parametrize(
    ("text", "host", "port", "is_loopback"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080, True),
        ("[::1]:0", "::1", 0, True),
        ("localhost:1", "localhost", 1, True),
        ("0.0.0.0:80", "0.0.0.0", 80, False),
        ("[::]:80", "::", 80, False),
    ],
)
def test_an_address_is_read_and_spelled(text: str, host: str, port: int, is_loopback: bool) -> None:
    assert address(text) == Address(host, port)
    assert str(address(text)) == text
    assert address(text).is_loopback is is_loopback


@pytest.mark.parametrize(
    "text", ["8080", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:80", "[x]:80", "a b:80"]
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must be host:port"):
        address(text)


@pytest.mark.parametrize(
    ("listens", "reached"),
    [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80"), ("10.0.0.1:80", "10.0.0.1:80")],
)
def test_what_listens_everywhere_is_reached_by_loopback(listens: str, reached: str) -> None:
    assert str(address(listens).reachable) == reached
