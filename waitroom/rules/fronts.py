"""Read what somebody else's proxy says of a request that it asks about; what could be read in two ways is refused."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from waitroom.kernel.errors import Refused

LONGEST_TARGET = 8_000
_METHOD = re.compile(r"[A-Z]{1,20}")
_HOST = re.compile(r"(?:[A-Za-z0-9._~-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_TARGET = re.compile(r'/[!"$-~]*')
"""Origin form: printable ASCII without a fragment, as everywhere at this edge."""
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
"""Traefik tells the scheme of a websocket."""
_FORBIDDEN_METHODS = frozenset({"CONNECT", "TRACE"})

_METHODS = ("x-forwarded-method", "x-original-method")
_TARGETS = ("x-forwarded-uri", "x-original-uri")


@dataclass(frozen=True, slots=True)
class Asked:
    """The visitor's request, as the front tells it: its target is byte for byte what the visitor wrote."""

    method: str
    scheme: str
    host: str
    target: str

    @property
    def origin(self) -> str:
        """Return the scheme and host that the visitor sees."""
        return f"{self.scheme}://{self.host}"


def asked_by_headers(headers: Mapping[str, Iterable[str]]) -> Asked:
    """Return the request that `headers` tell of, all values by lower-case name.

    Raises:
        Refused: 400, 405 or 414; whatever it is, nobody is admitted.
    """
    return _asked(headers, method=_only(headers, *_METHODS), host=_only(headers, "x-forwarded-host"))


def asked_by_path(headers: Mapping[str, Iterable[str]], method: str, host: str, target: str) -> Asked:
    """Return the request that is asked about under its own method, host and path; `headers` may not say otherwise.

    Raises:
        Refused: 400, 405 or 414.
    """
    told = {name: [*headers.get(name, ()), value] for name, value in (("x-forwarded-uri", target),)}
    return _asked({**headers, **told}, method=method, host=host)


def _asked(headers: Mapping[str, Iterable[str]], *, method: str, host: str) -> Asked:
    if any(name.startswith("waitroom") for name in headers):
        raise _wrong("forged-pass", "Only this waiting room says who is inside.")
    target, scheme = _only(headers, *_TARGETS), _only(headers, "x-forwarded-proto").lower()
    if len(target) > LONGEST_TARGET:
        raise Refused(414, "long-address", "This address is too long.")
    if method in _FORBIDDEN_METHODS:
        raise Refused(405, "method-not-allowed", f"{method} is not possible here.")
    if not (_METHOD.fullmatch(method) and _HOST.fullmatch(host) and _TARGET.fullmatch(target) and scheme in _SCHEMES):
        raise _wrong("malformed-request", "This is no request that could be asked about.")
    return Asked(method, _SCHEMES[scheme], host, target)


def _only(headers: Mapping[str, Iterable[str]], *names: str) -> str:
    """Return the one value that any of `names` has.

    Raises:
        Refused: 400, there is none, or there are two that differ.
    """
    found = {value for name in names for value in headers.get(name, ())}
    if len(found) != 1:
        told = "has two values" if found else "is missing"
        raise _wrong("front-headers", f"{names[0]} {told}: see the example configurations for forward auth.")
    return found.pop()


def _wrong(kind: str, public: str) -> Refused:
    return Refused(400, kind, public)
