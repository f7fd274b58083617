"""Check one `Waitroom-Pass`: a signature, a room, a date; one header of that name, spelt as the edge spells it."""

import os
import re
from collections.abc import Container, Iterable, Mapping, Sequence

from waitroom.kernel.clock import Clock, SystemClock
from waitroom.kernel.errors import BadToken, ConfigFault
from waitroom.kernel.tokens import Pass, UpstreamPassSigner

PASS_HEADER = "Waitroom-Pass"  # noqa: S105 - the name of a header
UPSTREAM_SECRET_VARIABLE = "WAITROOM_UPSTREAM_SECRET"  # noqa: S105 - the name of a variable, not what is in it

LEEWAY_S = 5.0
"""By how much the clocks of edge and store may differ; for each request the edge signs a pass of a minute."""

_NAME = PASS_HEADER.lower()
_MARK = re.compile(r"[^a-z0-9]")
_KEY = re.compile(r"[0-9A-Fa-f]{64}")


class Verifier:
    """Who checks passes, with one or two live keys."""

    def __init__(self, signer: UpstreamPassSigner, *, clock: Clock | None = None, leeway_s: float = LEEWAY_S) -> None:
        """Check with the keys of `signer`; a pass still counts for `leeway_s` after its end."""
        self._signer = signer
        self._clock = clock or SystemClock()
        self._leeway_ms = round(leeway_s * 1000)

    @classmethod
    def of(
        cls, secret: str | None = None, *, environment: Mapping[str, str] = os.environ, leeway_s: float = LEEWAY_S
    ) -> "Verifier":
        """Return the verifier for `secret`, else for the one in WAITROOM_UPSTREAM_SECRET.

        Raises:
            ConfigFault: there is no usable secret.
        """
        return cls(
            upstream_signer(environment.get(UPSTREAM_SECRET_VARIABLE, "") if secret is None else secret),
            leeway_s=leeway_s,
        )

    def verify(self, values: Sequence[str], rooms: Container[str]) -> Pass:
        """Return the pass in `values`, all that a request says under the name of the header.

        Two are refused, also where both are good: somebody else than the edge has written one of them.

        Raises:
            BadToken: there is none, or more than one; or it is forged, expired, or of none of `rooms`.
        """
        if not values:
            raise BadToken(f"no {PASS_HEADER}", kind="no-pass")
        if len(values) > 1:
            raise BadToken(f"more than one {PASS_HEADER}", kind="repeated-pass")
        return self._signer.verify_any(values[0], rooms=rooms, now_ms=self._clock.now_ms() - self._leeway_ms)


def upstream_signer(secret: str) -> UpstreamPassSigner:
    """Return the keys that `secret` spells: 64 hexadecimal digits, or two of those with a comma between.

    Raises:
        ConfigFault: it is not what `waitroom upstream-secret` prints.
    """
    keys = [part.strip() for part in secret.split(",")]
    if len(keys) > 2 or not all(map(_KEY.fullmatch, keys)):
        told = "64 hexadecimal digits, or two of those with a comma between"
        raise ConfigFault([f"{UPSTREAM_SECRET_VARIABLE}: must be what `waitroom upstream-secret` prints: {told}"])
    return UpstreamPassSigner([bytes.fromhex(key) for key in keys])


def pass_values(headers: Iterable[tuple[str, str]]) -> list[str]:
    """Return the values of the pass header among raw `headers`.

    Raises:
        BadToken: the name is there in another spelling, such as `Waitroom_Pass`, which not every server tells apart.
    """
    values = []
    for name, value in headers:
        low = name.lower()
        if low == _NAME:
            values.append(value)
        elif len(low) == len(_NAME) and _MARK.sub("-", low) == _NAME:
            raise BadToken(f"{PASS_HEADER} in another spelling", kind="misspelt-pass")
    return values
