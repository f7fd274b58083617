"""Tell operators from viewers and both from strangers, and keep pages of other sites from acting in their name."""

import hmac
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from aiohttp import web

from waitroom.console.sign_ins import Role, SignIn, SignIns
from waitroom.console.throttle import Throttle
from waitroom.kernel.clock import Clock
from waitroom.kernel.errors import ConfigFault, Refused
from waitroom.kernel.logs import mask_address
from waitroom.kernel.tokens import Keys

log = logging.getLogger(__name__)

COOKIE = "wr_console"
SECURE_COOKIE = "__Host-wr_console"
SHORTEST = 16
"""The shortest console token that is accepted, in characters; generated ones have 43."""
OWN_HEADER = "X-Waitroom-Console"
"""A change from a browser carries it: another site's page cannot send it without asking us first (Fetch, CORS)."""
NAME_HEADER = "X-Waitroom-Operator"
"""Under which name a change by bearer token stands in the audit."""


@dataclass(frozen=True, slots=True)
class Operator:
    """Somebody let in: with which role, under which name, from which (masked) address; None: no end is set."""

    role: Role
    name: str
    address: str
    until_ms: int | None = None

    @property
    def who(self) -> str:
        """Return how the audit names them."""
        return f"{self.name or self.role} ({self.address})"


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Protected = Callable[[web.Request, Operator], Awaitable[web.StreamResponse]]


class Guard:
    """Decide who asks: by bearer token (API, ctl, Prometheus) or by the cookie of a signed-in browser."""

    def __init__(self, tokens: Mapping[Role, str], keys: Keys, clock: Clock) -> None:
        """Take a token per role; a role with none, or an empty one, is given to nobody.

        Raises:
            ConfigFault: no operator token, one that could be guessed, or the same for both roles.
        """
        self._tokens = {role: text for role, text in tokens.items() if text}
        _check(self._tokens)
        self._sign_ins = SignIns(self._tokens, keys, clock)
        self._logins = Throttle(clock, limit=5, window_s=60)
        self._bearers = Throttle(clock, limit=30, window_s=60)

    def sign_in(self, request: web.Request, token: str, name: str) -> str:
        """Return the cookie that `token` opens.

        Raises:
            Refused: 403 a wrong token, 429 too many of them.
        """
        address = request.remote or ""
        self._logins.check(address)
        role = self._role_of(token)
        if role is None:
            self._logins.note(address)
            log.warning("console sign-in refused", extra={"address": mask_address(address)})
            raise Refused(403, "wrong-token", "That is not the console token. It was printed when the server started.")
        log.info("console sign-in", extra={"role": role.value, "address": mask_address(address)})
        return self._sign_ins.sign(role, tidy_name(name))

    def sign_out(self, request: web.Request) -> None:
        """End the sign-in of this browser."""
        if signed_in := self._by_cookie(request):
            self._sign_ins.end(signed_in)

    def identify(self, request: web.Request) -> Operator | None:
        """Return who asks, or None for a stranger.

        Raises:
            Refused: 429, a stranger who keeps guessing tokens.
        """
        address = mask_address(request.remote or "")
        if "Authorization" in request.headers:
            role = self._by_bearer(request)
            return Operator(role, tidy_name(request.headers.get(NAME_HEADER, "")), address) if role else None
        signed_in = self._by_cookie(request)
        return Operator(signed_in.role, signed_in.name, address, signed_in.until_ms) if signed_in else None

    def needs(self, role: Role, handler: Protected) -> Handler:
        """Wrap `handler`: only who has at least `role` reaches it, and a browser only from our own page."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            operator = self.identify(request)
            if operator is None:
                raise Refused(401, "not-signed-in", "Sign in, or send the console token as a bearer token.")
            if role is Role.OPERATOR and operator.role is not Role.OPERATOR:
                raise Refused(
                    403, "only-operators", "A viewer may look; sign in with the operator token to change this."
                )
            if request.method not in {"GET", "HEAD"} and "Authorization" not in request.headers:
                require_own_page(request)
                if OWN_HEADER not in request.headers:
                    raise Refused(403, "foreign-page", f"A change from a browser carries the header {OWN_HEADER}: 1.")
            return await handler(request, operator)

        return guarded

    def _by_bearer(self, request: web.Request) -> Role | None:
        scheme, _, token = request.headers["Authorization"].partition(" ")
        role = self._role_of(token.strip()) if scheme.lower() == "bearer" else None
        if role is None:
            address = request.remote or ""
            self._bearers.check(address)
            self._bearers.note(address)
            log.warning("console token refused", extra={"address": mask_address(address)})
        return role

    def _by_cookie(self, request: web.Request) -> SignIn | None:
        text = request.cookies.get(SECURE_COOKIE) or request.cookies.get(COOKIE)
        return self._sign_ins.verify(text) if text else None

    def _role_of(self, token: str) -> Role | None:
        given = token.encode("utf-8", "replace")
        opened = [role for role, known in self._tokens.items() if hmac.compare_digest(known.encode(), given)]
        return opened[0] if opened else None


def require_own_page(request: web.Request) -> None:
    """Refuse what a page of another site, or of another port of this machine, sends with the cookie of a visitor.

    SameSite does not tell ports apart, so it would let the shop on :8080 act on a console on :8081.

    Source: W3C Fetch Metadata Request Headers; RFC 6454 §7.

    Raises:
        Refused: 403, foreign-page.
    """
    site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get("Origin")
    says_who = site is not None or origin is not None
    is_own_origin = origin is None or origin.partition("://")[2].lower() == request.host.lower()
    if not says_who or site not in {None, "same-origin"} or not is_own_origin:
        raise Refused(403, "foreign-page", "This was not sent by the console's own page. Open the console, try again.")


def is_local(request: web.Request) -> bool:
    """Whether the caller is on this machine: no proxy between, and no web page that rebound its name to our address."""
    if any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-Ip", "Via")):
        return False
    host = re.sub(r":\d+$", "", request.host).strip("[]")
    try:
        return ip_address(request.remote or "").is_loopback and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False


def tidy_name(name: str) -> str:
    """Return `name` fit for the audit: printable, one line, at most 40 characters."""
    return " ".join("".join(c if c.isprintable() else " " for c in name).split())[:40]


def _check(tokens: Mapping[Role, str]) -> None:
    if Role.OPERATOR not in tokens:
        raise ConfigFault(["console token: none is set; put one into WAITROOM_CONSOLE_TOKEN"])
    if any(len(text) < SHORTEST for text in tokens.values()):
        raise ConfigFault([f"console token: give at least {SHORTEST} characters"])
    if len(set(tokens.values())) < len(tokens):
        raise ConfigFault(["console token: give viewers and operators different ones"])
