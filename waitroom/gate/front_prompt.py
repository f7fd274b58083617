"""Answer the plain questions of somebody else's proxy at once, where the verdict needs no question to Redis."""

from functools import lru_cache

from waitroom.gate.forward_auth import OWN, nginx_answer, redirect_answer
from waitroom.gate.front_verdicts import Allowed, FrontVerdicts, Sent
from waitroom.gate.ready import Ready
from waitroom.kernel.prepared import on_the_wire
from waitroom.rules.fronts import Asked, asked_by_headers
from waitroom.rules.heads import Head
from waitroom.rules.hosts import AllowedHosts
from waitroom.rules.visitors import Network, is_trusted

_TOLD = (
    "X-Forwarded-Method",
    "X-Original-Method",
    "X-Forwarded-Uri",
    "X-Original-Uri",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
)
_REMEMBERED = 4096
_FRONTS = {f"{OWN}/nginx": nginx_answer, f"{OWN}/redirect": redirect_answer}


class FrontPrompt:
    """What fronts may hear without waiting."""

    def __init__(self, verdicts: FrontVerdicts, *, hosts: AllowedHosts, trusted: tuple[Network, ...]) -> None:
        """Tell verdicts on visits to `hosts`, and to `trusted` fronts only."""
        self._verdicts = verdicts
        self._hosts = hosts
        self.is_front = lru_cache(_REMEMBERED)(lambda peer: is_trusted(peer, trusted))
        self._asked = lru_cache(_REMEMBERED)(_asked)
        self._told = lru_cache(_REMEMBERED)(_told)

    def answer(self, head: Head, peer: str, now_ms: int) -> Ready | None:
        """Return the answer to a question from `peer`; None: ask the others.

        Raises:
            WaitroomError: the others say it in their own words.
        """
        if head.target not in _FRONTS or head.method == "HEAD" or not self.is_front(peer):
            return None
        asked = self._asked(*map(head.headers.get, _TOLD))
        if not self._hosts.has(asked.host):
            return None
        known = self._verdicts.at_once(head, asked)
        if known is None:
            return None
        return Ready(self._told(head.target, known.told, now_ms // 1000), known.room, known.kind)


def _asked(*told: str | None) -> Asked:
    return asked_by_headers(
        {name.lower(): [value] for name, value in zip(_TOLD, told, strict=True) if value is not None}
    )


def _told(path: str, found: Allowed | Sent, now_s: int) -> bytes:
    return on_the_wire(_FRONTS[path](found), now_s)
