"""Settings are read from TOML whole, or refused with every fault; secrets come from where only we can read."""

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.faults import Fault
from waitroom.kernel.settings import (
    Bytes,
    DurationMs,
    DurationS,
    Instant,
    Listen,
    Many,
    OptionalPath,
    Settings,
    between,
    create_secret_file,
    load,
    parse,
    read_private,
    read_secrets,
)
from waitroom.kernel.units import Address

OLD, NEW = "a" * 32, "b" * 40


class Till(Settings):
    """An example of every kind."""

    hold_ms: Annotated[DurationMs, between("1s", "1h")] = 60_000
    answer_s: DurationS = 2.5
    body_bytes: Annotated[Bytes, between("1KiB", "1MiB")] = 65536
    opens_ms: Instant = 0
    listen: Listen = Address("127.0.0.1", 0)
    ledger: OptionalPath = None
    names: Many[str] = ()

    @classmethod
    def cross_faults(cls, written: Mapping[str, Any]) -> Iterator[Fault]:
        """Refuse one particular name."""
        if "bad" in written.get("names", ()):
            yield Fault(("names",), "must not be bad")


def faults_of(written: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigFault) as refused:
        parse(written, Till)
    return refused.value.faults


def test_every_kind_is_read_in_the_unit_of_its_name(tmp_path: Path) -> None:
    path = tmp_path / "till.toml"
    path.write_text(
        """
        hold = "1m30s"
        answer = "250ms"
        body = "2KiB"
        opens = 1970-01-01T00:00:01Z
        listen = "[::1]:80"
        ledger = "data/till.db"
        names = ["a", "b"]
        """
    )

    assert load(path, Till) == Till(
        hold_ms=90_000,
        answer_s=0.25,
        body_bytes=2048,
        opens_ms=1000,
        listen=Address("::1", 80),
        ledger=tmp_path / "data/till.db",
        names=("a", "b"),
    )


def test_a_program_may_write_plain_numbers() -> None:
    assert Till(hold_ms=1500, answer_s=0.5, body_bytes=1024).hold_ms == 1500


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Till().hold_ms = 5  # type: ignore[misc] # that it is refused is what is tested


def test_bounds_are_told_in_the_units_of_the_file() -> None:
    assert faults_of({"hold": "90m", "body": "2GiB"}) == [
        "hold: must be between 1s and 1h, and is 1h30m",
        "body: must be between 1KiB and 1MiB, and is 2GiB",
    ]


def test_a_number_without_a_unit_is_refused_unless_it_is_nought() -> None:
    assert faults_of({"answer": 5}) == ['answer: a number says no unit; write it as text, such as "10m"']
    assert faults_of({"answer": True}) == ['answer: must be text with a unit, such as "10m"']
    assert parse({"answer": 0}, Till).answer_s == 0


@pytest.mark.parametrize("odd", [5, True, 1.5, [], {}, date(2026, 11, 28)])
def test_a_moment_and_an_address_are_text(odd: object) -> None:
    assert [fault.partition(", such")[0] for fault in faults_of({"opens": odd, "listen": odd})] == [
        "opens: must be a time with its zone",
        "listen: must be host:port",
    ]


def test_faults_between_parts_are_told_with_those_inside_them() -> None:
    assert faults_of({"names": ["bad"], "hold": "x"})[1:] == ["names: must not be bad"]


def test_no_path_is_no_path() -> None:
    assert parse({"ledger": ""}, Till).ledger is None
    assert parse({"ledger": "/var/till.db"}, Till, folder=Path("/etc")).ledger == Path("/var/till.db")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"a = \n", "line 1, column 5: Invalid value"),
        (b"\xff", "must be UTF-8 text; byte 0 is not"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_is_no_toml_is_named_with_what_is_wrong(tmp_path: Path, content: bytes | None, fault: str) -> None:
    path = tmp_path / "till.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigFault) as refused:
        load(path, Till)
    assert refused.value.faults == [f"{path}: {fault}"]


def test_secrets_come_from_the_environment_newest_last() -> None:
    one = read_secrets({"WAITROOM_SECRET": NEW}, None)
    two = read_secrets({"WAITROOM_SECRET": f"{OLD},{NEW}"}, None)

    assert two.derive("pass")[-1:] == one.derive("pass")


def test_secrets_come_from_a_private_file_unless_the_environment_has_them(tmp_path: Path) -> None:
    path = tmp_path / "deeper" / "secret"
    create_secret_file(path)

    from_file = read_secrets({}, path).derive("pass")
    create_secret_file(path)  # a second start keeps the first secret
    assert read_secrets({}, path).derive("pass") == from_file
    assert read_secrets({"WAITROOM_SECRET": NEW}, path).derive("pass") != from_file
    assert [path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777] == [0o600, 0o700]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("given", ["short", f"{OLD},{NEW},{OLD}", f"{OLD},short"])
def test_weak_or_too_many_secrets_are_refused_without_repeating_them(given: str) -> None:
    with pytest.raises(ConfigFault, match="one or two secrets of at least 32") as refused:
        read_secrets({"WAITROOM_SECRET": given}, None)
    assert "short" not in str(refused.value)


def test_no_secret_is_a_fault_that_says_how_to_make_one() -> None:
    with pytest.raises(ConfigFault, match="token_urlsafe"):
        read_secrets({}, None)


def test_a_secret_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(NEW)
    path.chmod(0o644)

    with pytest.raises(ConfigFault, match="chmod 600"):
        read_private(path)
    path.unlink()
    with pytest.raises(ConfigFault, match="cannot be read: No such file"):
        read_private(path)
