"""Sign and verify what travels: tickets, passes, and the pass the store behind sees.

itsdangerous signs (HMAC-SHA256), one derived key and one salt a purpose, so a ticket can never pass for a pass.
Two secrets may live at once: the newest signs, both verify, so keys rotate without losing a place.
"""

import hmac
import json
import re
from base64 import urlsafe_b64decode
from collections.abc import Container, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import Any

from itsdangerous import BadData, Signer, URLSafeSerializer
from itsdangerous.encoding import base64_encode

from waitroom.kernel.errors import BadToken, ConfigFault

SECRET_LENGTH = 32
"""The shortest secret that is accepted, in characters."""

_SPELLING = re.compile(r"\.?[A-Za-z0-9_-]{1,2000}\.[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")
"""What we sign, and in one spelling only.

base64 ignores foreign characters and the spare bits of the last one, so without this a signature could be written
in many ways. It also refuses what is too long, or not ASCII, before anything is computed.
"""

_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_REMEMBERED = 4096
"""How many tickets and passes are known again by their text: a visitor shows the same one with every request."""


_MOST = (10**9, 10**9, 2**53)
"""What a report may say at most: units left and held, and when."""


def is_spelled_as_ours(text: str) -> bool:
    """Whether `text` may be a token of ours at all; who tries many spares the signatures of the others."""
    return _SPELLING.fullmatch(text) is not None


class Keys:
    """The secrets of this installation, newest last; every purpose gets keys of its own."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Keep one or two secrets of at least 32 bytes."""
        if not 1 <= len(secrets) <= 2 or any(len(secret) < SECRET_LENGTH for secret in secrets):
            raise ConfigFault([f"secret: give one or two secrets of at least {SECRET_LENGTH} characters, newest last"])
        self._secrets = list(secrets)

    def derive(self, purpose: str) -> list[bytes]:
        """Return the 32-byte keys of `purpose`, newest last.

        Source: RFC 5869 (HKDF-SHA256, one block, salt "waitroom").
        """
        return [_hkdf(secret, purpose) for secret in self._secrets]


@dataclass(frozen=True, slots=True)
class Ticket:
    """The place of somebody who waits, whole: Redis can be rebuilt from it.

    `score` is None for a place in the draw: it follows from the seed, which the ticket must not betray.
    """

    room: str
    event: str
    lane: str
    ticket_id: str
    issued_ms: int
    score: float | None
    is_slow: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """The right of somebody admitted, until `expires_ms`."""

    room: str
    session_id: str
    admitted_ms: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class Invite:
    """The right of as many tickets as `uses` says (0: of any number) to stand in a lane, until `expires_ms`."""

    room: str
    event: str
    lane: str
    invite_id: str
    uses: int
    expires_ms: int


@dataclass(frozen=True, slots=True)
class StockReport:
    """What the store behind `room` has: units free, units set aside; `said_ms` by its own clock, later each time."""

    room: str
    left: int
    held: int
    said_ms: int


class InviteSigner:
    """Sign and verify the codes of invites."""

    def __init__(self, keys: Keys) -> None:
        """Take the invite keys out of `keys`."""
        self._signer = _signer(keys.derive("invite"), "invite")

    def sign(self, invite: Invite) -> str:
        """Return the code of `invite`."""
        fields = [invite.room, invite.event, invite.lane, invite.invite_id, invite.uses, invite.expires_ms]
        return str(self._signer.dumps(fields))

    def verify(self, text: str, *, room: str, event: str) -> Invite:
        """Return the invite in `text`, be it out of date.

        Raises:
            BadToken: forged, damaged, or of another room or event.
        """
        found = Invite(*_fields(self._signer, text, 6))
        if (found.room, found.event) != (room, event):
            raise BadToken("invite of another room or event", kind="foreign-invite")
        return found


class TicketSigner:
    """Sign and verify tickets."""

    def __init__(self, keys: Keys) -> None:
        """Take the ticket keys out of `keys`."""
        signer = _signer(keys.derive("ticket"), "ticket")
        self._signer = signer
        self._read = lru_cache(_REMEMBERED)(lambda text: tuple(_fields(signer, text, 7)))

    def sign(self, ticket: Ticket) -> str:
        """Return the ticket as text for a cookie or an Authorization header."""
        slow = 1 if ticket.is_slow else 0
        fields = [ticket.room, ticket.event, ticket.lane, ticket.ticket_id, ticket.issued_ms, ticket.score, slow]
        return str(self._signer.dumps(fields))

    def verify(self, text: str, *, room: str, event: str) -> Ticket:
        """Return the ticket in `text`.

        Raises:
            BadToken: forged, damaged, or of another room or event.
        """
        room_, event_, lane, ticket_id, issued_ms, score, slow = self._read(text)
        if (room_, event_) != (room, event):
            raise BadToken("ticket of another room or event", kind="foreign-ticket")
        return Ticket(room_, event_, lane, ticket_id, issued_ms, score, bool(slow))


class PassSigner:
    """Sign and verify the passes that admitted visitors carry."""

    purpose = "pass"

    def __init__(self, keys: Keys | Sequence[bytes]) -> None:
        """Take the keys of this purpose out of `keys`; a list is taken as already derived."""
        signer = _signer(keys.derive(self.purpose) if isinstance(keys, Keys) else keys, self.purpose)
        self._signer = signer
        self._read = lru_cache(_REMEMBERED)(lambda text: Pass(*_fields(signer, text, 4)))

    def sign(self, pass_: Pass) -> str:
        """Return the pass as text."""
        return str(self._signer.dumps([pass_.room, pass_.session_id, pass_.admitted_ms, pass_.expires_ms]))

    def verify(self, text: str, *, room: str, now_ms: int) -> Pass:
        """Return the pass in `text`.

        Raises:
            BadToken: forged, damaged, expired, or of another room.
        """
        return self.verify_any(text, rooms=(room,), now_ms=now_ms)

    def verify_any(self, text: str, *, rooms: Container[str], now_ms: int) -> Pass:
        """Return the pass in `text`, if it is of one of `rooms`.

        Raises:
            BadToken: forged, damaged, expired, or of another room.
        """
        found = self._read(text)
        if found.room not in rooms:
            raise BadToken("pass of another room", kind="foreign-pass")
        if found.expires_ms <= now_ms:
            raise BadToken("pass has run out", kind="expired-pass")
        return found


class UpstreamPassSigner(PassSigner):
    """Sign and verify `Waitroom-Pass`, by which the store behind knows that nobody came round the gate.

    It has keys of its own, so the store can be given those and nothing else (`upstream_secret`).
    """

    purpose = "upstream-pass"

    def __init__(self, keys: Keys | Sequence[bytes]) -> None:
        """Take the upstream keys out of `keys`; `reports` signs with them what the store says of its stock."""
        super().__init__(keys)
        self.reports = StockReportSigner(keys)

    @staticmethod
    def upstream_secret(keys: Keys) -> str:
        """Return the upstream keys in hex, newest last, for `WAITROOM_UPSTREAM_SECRET` of the store behind."""
        return ",".join(key.hex() for key in keys.derive(UpstreamPassSigner.purpose))


class StockReportSigner:
    """Sign and verify what the store behind says of its stock, with the keys by which it checks passes."""

    def __init__(self, keys: Keys | Sequence[bytes]) -> None:
        """Take the upstream keys out of `keys`; a list is taken as already derived."""
        derived = keys.derive(UpstreamPassSigner.purpose) if isinstance(keys, Keys) else keys
        self._signer = _signer(derived, "stock-report")

    def sign(self, report: StockReport) -> str:
        """Return the report as text."""
        return str(self._signer.dumps([report.room, report.left, report.held, report.said_ms]))

    def verify(self, text: str, *, room: str) -> StockReport:
        """Return the report in `text`, however old.

        Raises:
            BadToken: forged, damaged, of another room, or with numbers that are none.
        """
        said_of, *numbers = _fields(self._signer, text, 4)
        if said_of != room:
            raise BadToken("report of another room", kind="foreign-report")
        if not all(type(number) is int and 0 <= number <= most for number, most in zip(numbers, _MOST, strict=True)):
            raise BadToken("report of numbers that are none", kind="odd-report")
        return StockReport(room, *numbers)


class _OneSigner(URLSafeSerializer):
    """Sign as itsdangerous does with the key derivation "hmac", but derive the keys once.

    It would derive them for each token, and try to compress it, which saves a few bytes of an id at best and costs more
    than all the rest; what an earlier release compressed is still read.
    """

    def __init__(self, keys: Sequence[bytes], *, salt: str) -> None:
        derived = [hmac.digest(key, salt.encode(), "sha256") for key in keys]
        super().__init__(derived, salt=salt)
        self._newest = derived[-1]
        self._newest_first = derived[::-1]
        self._made = Signer(derived, key_derivation="none", digest_method=sha256)

    def make_signer(self, salt: str | bytes | None = None) -> Signer:
        return self._made

    def dumps(self, obj: Any, salt: str | bytes | None = None) -> str:
        payload = base64_encode(_COMPACT.encode(obj))
        mac = hmac.digest(self._newest, payload, "sha256")
        return (payload + b"." + base64_encode(mac)).decode("ascii")

    def loads(self, s: str | bytes, salt: str | bytes | None = None, **more: Any) -> Any:
        """Read what is good in a few steps; to say why something is not, and to unfold, is left to itsdangerous."""
        payload, _, signature = (s.encode() if isinstance(s, str) else s).rpartition(b".")
        for key in self._newest_first:
            if hmac.compare_digest(base64_encode(hmac.digest(key, payload, "sha256")), signature):
                with suppress(ValueError):
                    return json.loads(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
                break
        return super().loads(s, salt, **more)


def _hkdf(secret: bytes, purpose: str) -> bytes:
    extracted = hmac.digest(b"waitroom", secret, "sha256")
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")


def _signer(keys: Sequence[bytes], purpose: str) -> URLSafeSerializer:
    return _OneSigner(keys, salt=f"waitroom.{purpose}")


def _fields(signer: URLSafeSerializer, text: str, count: int) -> list[Any]:
    if not is_spelled_as_ours(text):
        raise BadToken("token refused: not spelled as ours are")
    try:
        fields = signer.loads(text)
    except BadData as fault:
        raise BadToken(f"token refused: {type(fault).__name__}") from fault
    if not isinstance(fields, list) or len(fields) != count:
        raise BadToken("token of an unknown shape")
    return fields
