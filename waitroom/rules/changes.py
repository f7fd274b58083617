"""Which values ops may give: what a change must be before it goes anywhere near a room."""

import re

from waitroom.kernel.errors import Refused
from waitroom.rules.rooms import Change, ChangeKind

_MESSAGE_LIMIT = 500
_SPIN_LIMIT = 200
_LONGEST_OPEN_MS = 24 * 3600 * 1000
_SESSION = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST = 100_000_000
"""The same as the configuration takes: a bound against slips of the finger, not against ambition."""


def value_of(change: Change) -> str:
    """Return the value of `change` as `rooms/control` takes it.

    Raises:
        Refused: 422, the value does not fit.
    """
    check = _CHECKS.get(change.kind)
    return check(change.value) if check else ""


def refuse_above_ceiling(change: Change, ceiling_per_minute: float) -> None:
    """Hold back a slip of the finger.

    Raises:
        Refused: 409, the rate is above the ceiling, and nobody forced it.
    """
    if change.kind is ChangeKind.RATE and not change.is_forced and float(change.value) > ceiling_per_minute:
        told = f"The configuration says at most {ceiling_per_minute:g} a minute. Force it if you mean it."
        raise Refused(409, "above-ceiling", told, extra={"ceiling_per_minute": ceiling_per_minute})


def _rate(text: str) -> str:
    return repr(_number(text, "rate", least=0.001))


def _message(text: str) -> str:
    if len(text) > _MESSAGE_LIMIT:
        raise Refused(422, "too-long", f"A message has at most {_MESSAGE_LIMIT} characters.")
    return text


def _time(text: str) -> str:
    return str(int(_number(text, "time", least=1000, most=_LONGEST_OPEN_MS)))


def _cap(text: str) -> str:
    cap = _number(text, "cap", least=0)
    if not cap.is_integer():
        raise Refused(422, "bad-cap", "The cap counts people: it must be a whole number.")
    return str(int(cap))


def _spin(text: str) -> str:
    if not 1 <= len(text) <= _SPIN_LIMIT or not text.isprintable():
        raise Refused(422, "bad-spin", f"What turns a draw is 1 to {_SPIN_LIMIT} characters on one line.")
    return text


def _session(text: str) -> str:
    if not _SESSION.fullmatch(text):
        told = "A session id is what the verified Waitroom-Pass calls it: up to 64 letters, digits, - and _."
        raise Refused(422, "bad-session", told)
    return text


def _number(text: str, name: str, *, least: float, most: float = _MOST) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not least <= number <= most:
        raise Refused(422, f"bad-{name}", f"The {name} must be a number from {least:g} to {most:,}.")
    return number


_CHECKS = {
    ChangeKind.RATE: _rate,
    ChangeKind.CAP: _cap,
    ChangeKind.MESSAGE: _message,
    ChangeKind.OPEN_ALL: _time,
    ChangeKind.SPIN: _spin,
    ChangeKind.REVOKE: _session,
    ChangeKind.INVITE: _message,
}
"""What a value is checked by; a change without one takes none."""
