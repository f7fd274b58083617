"""Read and write the ticket and pass cookies; apps may send the same tokens as `Authorization: Waitroom <token>`."""

import re
from collections.abc import Callable, Iterator
from typing import TypeVar

from waitroom.kernel.asking import Asking
from waitroom.kernel.errors import BadToken
from waitroom.kernel.tokens import Pass, PassSigner, Ticket, TicketSigner, is_spelled_as_ours

_TRIED = 16
"""How many signed cookies of one name are tried: a neighbour's subdomain may have tossed some in front of ours."""
_SCHEME = "waitroom "
_OURS = ("wr_", "__Host-wr_")
_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")
"""What aiohttp makes of bytes that are no UTF-8."""
TOKEN_HEADER = "Waitroom-Token"  # noqa: S105 - the name of a header
"""In an answer to an app: the pass it shall send from now on."""

_INVITE_S = 24 * 3600

Token = TypeVar("Token")


class Cookies:
    """The two cookies of each room: `__Host-` and Secure where shoppers come by https (RFC 6265bis §4.1.3)."""

    def __init__(self, tickets: TicketSigner, passes: PassSigner, *, is_https: bool) -> None:
        """Read with the verifying keys, write with the newest."""
        self._tickets = tickets
        self._passes = passes
        self._is_https = is_https

    def ticket_name(self, room: str) -> str:
        """Return the name of the ticket cookie of `room`."""
        return self._name(room, "ticket")

    def pass_name(self, room: str) -> str:
        """Return the name of the pass cookie of `room`."""
        return self._name(room, "pass")

    def ticket(self, request: Asking, room: str, event: str) -> Ticket | None:
        """Return the valid ticket that `request` carries, if any."""
        return _first(
            _candidates(request, self.ticket_name(room)),
            lambda text: self._tickets.verify(text, room=room, event=event),
        )

    def pass_(self, request: Asking, room: str, now_ms: int) -> Pass | None:
        """Return the valid pass that `request` carries, if any."""
        return _first(
            _candidates(request, self.pass_name(room)),
            lambda text: self._passes.verify(text, room=room, now_ms=now_ms),
        )

    def invite(self, request: Asking, room: str) -> str | None:
        """Return the code of an invite that this browser came with; an app says it where it registers."""
        return None if is_app(request) else next(_candidates(request, self._name(room, "invite")), None)

    def invite_cookie(self, room: str, code: str) -> str:
        """Return the Set-Cookie value that keeps the code of an invite until it is used; empty takes it away."""
        return self._cookie(self._name(room, "invite"), code, _INVITE_S if code else 0)

    def sign_ticket(self, ticket: Ticket) -> str:
        """Return `ticket` as text."""
        return self._tickets.sign(ticket)

    def sign_pass(self, pass_: Pass) -> str:
        """Return `pass_` as text."""
        return self._passes.sign(pass_)

    def ticket_cookie(self, room: str, text: str, max_age_s: int) -> str:
        """Return the Set-Cookie value that gives a ticket."""
        return self._cookie(self.ticket_name(room), text, max_age_s)

    def pass_cookie(self, room: str, text: str, max_age_s: int) -> str:
        """Return the Set-Cookie value that gives a pass."""
        return self._cookie(self.pass_name(room), text, max_age_s)

    def no_ticket(self, room: str) -> str:
        """Return the Set-Cookie value that takes the ticket away."""
        return self._cookie(self.ticket_name(room), "", 0)

    def no_pass(self, room: str) -> str:
        """Return the Set-Cookie value that takes the pass away."""
        return self._cookie(self.pass_name(room), "", 0)

    def _name(self, room: str, kind: str) -> str:
        return f"{'__Host-' if self._is_https else ''}wr_{room}_{kind}"

    def _cookie(self, name: str, text: str, max_age_s: int) -> str:
        secure = "; Secure" if self._is_https else ""
        return f"{name}={text}; Max-Age={max_age_s}; Path=/; HttpOnly; SameSite=Lax{secure}"


def is_app(request: Asking) -> bool:
    """Whether `request` comes with `Authorization: Waitroom`, be it without a token: who does so keeps no cookies."""
    return f"{request.headers.get('Authorization', '')} "[: len(_SCHEME)].lower() == _SCHEME


def others(request: Asking) -> str:
    """Return the cookies of `request` without ours, for the store; one that is no text is left out."""
    pairs = [pair.strip() for header in request.headers.getall("Cookie", []) for pair in header.split(";")]
    return "; ".join(pair for pair in pairs if pair and not pair.startswith(_OURS) and _NOT_UTF8.search(pair) is None)


def _candidates(request: Asking, name: str) -> Iterator[str]:
    authorization = request.headers.get("Authorization", "")
    if authorization[: len(_SCHEME)].lower() == _SCHEME:
        yield authorization[len(_SCHEME) :].strip()
    found = 0
    for header in request.headers.getall("Cookie", []):
        for pair in header.split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name and found < _TRIED and is_spelled_as_ours(value):
                found += 1
                yield value


def _first(texts: Iterator[str], verify: Callable[[str], Token]) -> Token | None:
    for text in texts:
        try:
            return verify(text)
        except BadToken:
            continue
    return None
