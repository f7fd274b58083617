"""Who a shopper is to the store: a JSON Web Token (HS256) that the store's own backend signs for one session.

Only what a limit needs: `sub`, the account; `sid`, the session that `Waitroom-Pass` names, so that it is worth nothing
to anybody else; `exp`. The ledger keeps a hash of it.

Source: RFC 7519; RFC 8725 §3.1 (the algorithm is ours to say, not the token's).
"""

import hmac
import json
import os
import re
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

from inventory_backend.config import Config
from inventory_backend.refusals import refused
from waitroom.kernel.errors import ConfigFault
from waitroom.kernel.settings import read_private
from waitroom.kernel.tokens import SECRET_LENGTH

IDENTITY_VARIABLE = "WAITROOM_IDENTITY_SECRET"

_TOKEN = re.compile(r"([A-Za-z0-9_-]{2,200})\.([A-Za-z0-9_-]{2,1600})\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])")
_LONGEST_ACCOUNT = 255
_FOREVER_S = 1e12
_LEEWAY_S = 5
"""By how much the clocks of the store and of the ledger may differ."""


def secrets_of(config: Config, environment: Mapping[str, str] = os.environ) -> list[bytes]:
    """Return the secrets by which the store says who buys, none where no sale asks for it.

    Raises:
        ConfigFault: a sale asks for it and there is no usable secret.
    """
    asking = [one.name for one in config.sales if one.limit_per_identity is not None]
    if not asking:
        return []
    source, given = IDENTITY_VARIABLE, environment.get(IDENTITY_VARIABLE, "")
    if not given and config.secrets.identity_file is not None:
        source, given = "secrets.identity_file", read_private(config.secrets.identity_file)
    found = [part for part in re.split(r"[,\s]+", given) if part]
    if not 1 <= len(found) <= 2 or any(len(part) < SECRET_LENGTH for part in found):
        told = f"give one or two secrets of at least {SECRET_LENGTH} characters: {asking[0]} has a limit_per_identity"
        raise ConfigFault([f"{source}: {told}"])
    return [part.encode() for part in found]


class Identities:
    """The store's word on who a shopper is."""

    def __init__(self, secrets: Sequence[bytes]) -> None:
        """Believe who has one of `secrets`: two while one follows the other."""
        self._secrets = secrets

    def read(self, token: str | None, session_id: str, now_ms: int) -> str:
        """Return what the ledger calls the account in `token`.

        Raises:
            Refused: 403, there is none, or it is forged, damaged, out of date, or of another session.
        """
        if not token:
            raise refused("identity-missing")
        claims = self._verified(token)
        account = claims.get("sub")
        if not isinstance(account, str) or not 1 <= len(account) <= _LONGEST_ACCOUNT or claims.get("sid") != session_id:
            raise refused("identity-refused")
        if not _seconds(claims.get("nbf", 0)) - _LEEWAY_S <= now_ms / 1000 < _seconds(claims.get("exp")) + _LEEWAY_S:
            raise refused("identity-refused")
        return f"identity:{sha256(account.encode('utf-8', 'surrogatepass')).hexdigest()}"

    def _verified(self, token: str) -> dict[str, Any]:
        parts = _TOKEN.fullmatch(token)
        if parts is None:
            raise refused("identity-refused")
        head, claims, seal = parts.groups()
        said, shown = f"{head}.{claims}".encode(), _bytes(seal)
        if not any(hmac.compare_digest(hmac.digest(secret, said, "sha256"), shown) for secret in self._secrets):
            raise refused("identity-refused")
        if _object(head).get("alg") != "HS256":
            raise refused("identity-refused")
        return _object(claims)


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(_bytes(part))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise refused("identity-refused")
    return found


def _bytes(part: str) -> bytes:
    try:
        return urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError:
        raise refused("identity-refused") from None


def _seconds(found: object) -> float:
    if not isinstance(found, int | float) or isinstance(found, bool) or not -_FOREVER_S < found < _FOREVER_S:
        raise refused("identity-refused")
    return found
