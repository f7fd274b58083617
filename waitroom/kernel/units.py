"""Read and spell durations, sizes, times and addresses as people write them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

_DURATION = re.compile(
    r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6}(?:\.\d{1,3})?)s)?(?:(\d{1,9})ms)?", re.ASCII
)
_UNIT_MS = (86_400_000, 3_600_000, 60_000, 1000, 1)
_SIZE = re.compile(r"(\d{1,12}) ?(B|KiB|MiB|GiB)", re.ASCII)
_UNIT_BYTES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a socket listens: a host without brackets, and a port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        """Spell it as it is written in a file: `127.0.0.1:8080`, `[::1]:8080`."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return self.host in {"::1", "localhost"} or self.host.startswith("127.")

    @property
    def reachable(self) -> "Address":
        """The address at which this machine reaches what listens here."""
        anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked for, not bound
        return Address(anywhere.get(self.host, self.host), self.port)


def duration_ms(text: str) -> int:
    """Return the milliseconds in `10m`, `1h30m` or `250ms`.

    Raises:
        ValueError: it is not written so; units go from large to small, each at most once.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError('must be a duration with its unit, such as "250ms", "30s", "10m" or "1h30m"')
    return round(sum(float(count) * unit for count, unit in zip(match.groups(), _UNIT_MS, strict=True) if count))


def spell_duration(ms: int) -> str:
    """Return `ms` in the largest units that say it exactly: 5400000 is `1h30m`."""
    spelled = ""
    for name, unit in zip(("d", "h", "m", "s", "ms"), _UNIT_MS, strict=True):
        count, ms = divmod(ms, unit)
        spelled += f"{count}{name}" if count else ""
    return spelled or "0s"


def size_bytes(text: str) -> int:
    """Return the bytes in `512B`, `64KiB`, `1MiB` or `2GiB`.

    Raises:
        ValueError: it is not written so.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError('must be a size with its unit, such as "512B", "64KiB" or "1MiB"')
    return int(match[1]) * _UNIT_BYTES[match[2]]


def spell_size(count: int) -> str:
    """Return a number of bytes in the largest unit that says it exactly: 65536 is `64KiB`."""
    fitting = [unit for unit in ("GiB", "MiB", "KiB") if count and count % _UNIT_BYTES[unit] == 0]
    unit = fitting[0] if fitting else "B"
    return f"{count // _UNIT_BYTES[unit]}{unit}"


def instant_ms(written: str | datetime) -> int:
    """Return the milliseconds since 1970 of a time with its zone.

    Raises:
        ValueError: no zone, or not written as RFC 3339 asks.
    """
    wanted = "must be a time with its zone, such as 2026-11-28T10:00:00+01:00"
    if isinstance(written, datetime):
        moment = written
    elif _INSTANT.fullmatch(written):
        try:
            moment = datetime.fromisoformat(written.upper())
        except ValueError as fault:
            raise ValueError(f"{wanted}; {fault}") from fault
    else:
        raise ValueError(wanted)
    if moment.tzinfo is None:
        raise ValueError(wanted)
    return round(moment.timestamp() * 1000)


def spell_instant(ms: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 in UTC."""
    exact = "milliseconds" if ms % 1000 else "seconds"
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec=exact).replace("+00:00", "Z")


def address(text: str) -> Address:
    """Return where `host:port` points; a literal IPv6 host stands in brackets.

    Raises:
        ValueError: a part is missing, or the port is not between 0 and 65535.
    """
    host, colon, port = text.rpartition(":")
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    is_host = bool(re.fullmatch(r"[0-9a-fA-F:.]+" if is_bracketed else r"[A-Za-z0-9.-]+", bare))
    if not colon or not is_host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise ValueError('must be host:port, such as "127.0.0.1:8080" or "[::1]:8080"')
    return Address(bare, int(port))
