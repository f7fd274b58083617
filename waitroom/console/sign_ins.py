"""Sign and verify the cookie of a browser that is signed in to the console; it dies with the token that opened it."""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256

from itsdangerous import BadData, URLSafeSerializer

from waitroom.kernel.clock import Clock
from waitroom.kernel.tokens import Keys

LIFETIME_MS = 12 * 3_600_000
"""How long a browser stays signed in: a sale day, not a week."""
PURPOSE = "console-sign-in"


class Role(StrEnum):
    """What somebody signed in may do."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class SignIn:
    """One browser signed in: with which role, under which name, until when."""

    role: Role
    name: str
    until_ms: int
    id: str


class SignIns:
    """The cookies of signed-in browsers, and those ended before their time."""

    def __init__(self, tokens: Mapping[Role, str], keys: Keys, clock: Clock) -> None:
        """Bind every cookie to the token of its role, by a mark that does not betray the token."""
        derived = keys.derive(PURPOSE)
        signing = {"key_derivation": "hmac", "digest_method": sha256}
        self._signer = URLSafeSerializer(list(derived), salt=f"waitroom.{PURPOSE}", signer_kwargs=signing)
        self._marks = {role: _mark(derived[-1], text) for role, text in tokens.items()}
        self._clock = clock
        self._ended: dict[str, int] = {}

    def sign(self, role: Role, name: str) -> str:
        """Return the text of a new cookie."""
        until_ms = self._clock.now_ms() + LIFETIME_MS
        return str(self._signer.dumps([role, name, until_ms, secrets.token_urlsafe(9), self._marks[role]]))

    def verify(self, text: str) -> SignIn | None:
        """Return who is signed in by `text`, or None: forged, of another token, run out, or signed out."""
        try:
            role, name, until_ms, id_, mark = self._signer.loads(text)
        except (BadData, ValueError, TypeError):
            return None
        if role not in self._marks or not hmac.compare_digest(mark, self._marks[role]):
            return None
        if until_ms <= self._clock.now_ms() or id_ in self._ended:
            return None
        return SignIn(Role(role), name, until_ms, id_)

    def end(self, signed_in: SignIn) -> None:
        """Make a cookie worthless, also for who copied it."""
        now_ms = self._clock.now_ms()
        self._ended = {known: until_ms for known, until_ms in self._ended.items() if until_ms > now_ms}
        self._ended[signed_in.id] = signed_in.until_ms


def _mark(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode(), "sha256").hex()[:16]
