"""Which headers are dropped, kept and set, in both directions; bytes stay as they came."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from waitroom.kernel.errors import Refused, UpstreamUnavailable
from waitroom.rules.visitors import Network, forwarded_chain, is_trusted

RawHeaders = Sequence[tuple[bytes, bytes]]

PASS = "Waitroom-Pass"  # noqa: S105  # the name of a header
COMMAND = b"waitroom-command"

_HOP_BY_HOP = frozenset(  # RFC 9110 §7.6.1, and what was hop by hop before it
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    }
)
_NEVER_DOWN = _HOP_BY_HOP | {b"content-length"}
_READ_APART = frozenset({b"content-length", b"content-type", b"keep-alive", b"transfer-encoding", COMMAND})
_NEVER_UPSTREAM = _HOP_BY_HOP | {b"expect", b"content-length", b"proxy"}  # framing is ours; httpoxy
_KEPT_WHATEVER_CONNECTION_SAYS = frozenset({b"host", b"content-type", b"content-encoding", b"set-cookie"})
_SET_BY_US = frozenset({b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded", b"x-real-ip"})
_ADDRESSES = _SET_BY_US | {  # what others put the visitor, or the true target, into
    b"client-ip",
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"fastly-client-ip",
    b"true-client-ip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-envoy-external-address",
    b"x-original-forwarded-for",
    b"x-original-host",
    b"x-original-uri",
    b"x-original-url",
    b"x-remote-addr",
    b"x-remote-ip",
    b"x-rewrite-url",
}
_FOR_A_SHARED_CACHE = (b"cdn-cache-control", b"surrogate-control", b"edge-control", b"x-accel-expires")
_OUR_COOKIES = (b"wr_", b"__Host-wr_")
_DASHED = bytes.maketrans(bytes(set(range(256)) - set(b"abcdefghijklmnopqrstuvwxyz0123456789")), b"-" * 220)
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_HOST = re.compile(r"[A-Za-z0-9._~\[\]:-]{1,259}")


@dataclass(frozen=True, slots=True)
class UpstreamIdentity:
    """Whom a request is for, as the upstream is told; `chain` is the visitor, then the trusted proxies."""

    chain: tuple[str, ...]
    scheme: str
    host: str
    is_peer_trusted: bool = False
    waitroom_pass: str | None = None


@dataclass(frozen=True, slots=True)
class UpstreamHead:
    """What of an upstream's header section goes to the visitor, and what was meant for us."""

    headers: list[tuple[bytes, bytes]]
    content_length: int | None
    command: str | None
    coding: bytes | None = None
    keep_alive: bytes = b""
    content_type: bytes = b""

    @property
    def is_event_stream(self) -> bool:
        """Whether the body lasts."""
        return self.content_type.lower().startswith(b"text/event-stream")

    def check_coding(self) -> None:
        """Let only bodies pass whose end can be told.

        Raises:
            UpstreamUnavailable: 502, a transfer coding other than chunked.
        """
        if self.coding is not None and self.coding.strip().lower() != b"chunked":
            raise UpstreamUnavailable(f"transfer coding {self.coding!r} in the answer")


def identify(
    peer: str, raw: RawHeaders, trusted: Sequence[Network], *, scheme: str, waitroom_pass: str | None = None
) -> UpstreamIdentity:
    """Say whom a request is for; only a trusted peer is believed about others, the scheme and the host."""
    believed = is_trusted(peer, trusted)
    chain = forwarded_chain(peer, _values(raw, b"x-forwarded-for"), trusted)
    hosts = [name for name in _values(raw, b"host") if _HOST.fullmatch(name)]
    if believed:
        told = [value.strip().lower() for value in _values(raw, b"x-forwarded-proto")]
        scheme = told[-1] if told and told[-1] in {"http", "https"} else scheme
        named = [value.strip() for value in _values(raw, b"x-forwarded-host")]
        hosts += [name for name in named if _HOST.fullmatch(name)]
    return UpstreamIdentity(chain, scheme, hosts[-1] if hosts else "", believed, waitroom_pass)


def upstream_headers(raw: RawHeaders, identity: UpstreamIdentity) -> list[tuple[bytes, bytes]]:
    """Return the headers for the upstream, without those of the body's framing.

    Raises:
        Refused: 400, a control character in a value.
    """
    listed = _listed(raw) - _KEPT_WHATEVER_CONNECTION_SAYS
    kept: list[tuple[bytes, bytes]] = []
    for name, value in raw:
        if name.lower() in listed:
            continue
        found = upstream_value(name, value, is_peer_trusted=identity.is_peer_trusted)
        if found is None:
            continue
        if _CONTROL.search(found):
            raise Refused(400, "malformed-request", "This request is not valid HTTP: a control character in a header.")
        kept.append((name, found))
    return kept + forwarded(identity)


def upstream_value(name: bytes, value: bytes, *, is_peer_trusted: bool) -> bytes | None:
    """Return what the upstream shall see of one header that Connection does not name; None for nothing."""
    low = name.lower()
    if low in _NEVER_UPSTREAM or _speaks_for_us(low, is_peer_trusted):
        return None
    if low == b"cookie":
        return without_our_cookies(value) or None  # the rest of the header, byte for byte
    if low == b"authorization" and (value + b" ")[:9].lower() == b"waitroom ":
        return None
    return value


def client_headers(raw: RawHeaders) -> UpstreamHead:
    """Return what of an upstream's headers goes to the visitor, in order and byte for byte.

    Raises:
        UpstreamUnavailable: 502, a header section that no two readers would read alike.
    """
    listed = _listed(raw) - _KEPT_WHATEVER_CONNECTION_SAYS
    kept: list[tuple[bytes, bytes]] = []
    apart: dict[bytes, list[bytes]] = {}
    for name, value in raw:
        low = name.lower()
        if _CONTROL.search(value) or name.endswith((b" ", b"\t")):
            raise UpstreamUnavailable("control character, or a blank before the colon, in a header of the answer")
        if low in _READ_APART:
            apart.setdefault(low, []).append(value)
        if low in _NEVER_DOWN or low in listed or low.startswith(b"waitroom-") or _is_foreign(low, value):
            continue
        kept.append((name, value))
    return UpstreamHead(
        kept,
        _length(map(bytes.strip, apart.get(b"content-length", ()))),
        apart[COMMAND][-1].decode("ascii", "replace").strip().lower() if COMMAND in apart else None,
        b", ".join(apart[b"transfer-encoding"]) if b"transfer-encoding" in apart else None,
        b", ".join(apart.get(b"keep-alive", ())),
        b"".join(apart.get(b"content-type", ())[:1]),
    )


def for_one_visitor(headers: Sequence[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return `headers` as they must be beside a pass of ours: no cache that visitors share may keep both.

    A page that the upstream calls public would else carry one visitor's pass to everybody.

    Source: RFC 9111 §5.2.2.7; RFC 9213 (fields for one cache, which override Cache-Control).
    """
    kept = [pair for pair in headers if not pair[0].lower().endswith(_FOR_A_SHARED_CACHE)]
    return [*kept, (b"Cache-Control", b"private")]


def without_our_cookies(value: bytes) -> bytes:
    """Return a Cookie value without our cookies; b"" if nothing is left."""
    pieces = value.split(b";")
    theirs = [piece for piece in pieces if not piece.lstrip().startswith(_OUR_COOKIES)]
    return value if len(theirs) == len(pieces) else b";".join(theirs).lstrip()


def _values(raw: RawHeaders, name: bytes) -> list[str]:
    return [part for key, value in raw if key.lower() == name for part in value.decode("latin-1").split(",")]


def _listed(raw: RawHeaders) -> set[bytes]:
    """Return the header names that Connection declares to be for one hop."""
    return {
        option.strip().lower() for name, value in raw if name.lower() == b"connection" for option in value.split(b",")
    }


def _speaks_for_us(low: bytes, is_peer_trusted: bool) -> bool:
    """Tell whether a header says what only we, or a proxy we trust, may say, however its name is spelt.

    Servers behind CGI-like interfaces read `X_Forwarded.For` as X-Forwarded-For, so every mark counts as a dash.
    """
    dashed = low.translate(_DASHED)
    if dashed.startswith(b"waitroom-") or dashed in _SET_BY_US:
        return True
    if dashed in _ADDRESSES or dashed.startswith(b"x-forwarded-"):
        return not is_peer_trusted or dashed != low
    return False


def forwarded(identity: UpstreamIdentity) -> list[tuple[bytes, bytes]]:
    """Return our own word about the visitor, added after everything was stripped, so that Connection cannot name it.

    Source: RFC 7239.
    """
    hops = [f"for={_node(hop)}" for hop in identity.chain]
    hops[0] += f";proto={identity.scheme}"
    if identity.host:
        hops[0] += f';host="{identity.host}"'
    ours = [
        ("X-Forwarded-For", ", ".join(identity.chain)),
        ("X-Forwarded-Proto", identity.scheme),
        ("X-Forwarded-Host", identity.host),
        ("X-Real-IP", identity.chain[0]),
        ("Forwarded", ", ".join(hops)),
    ]
    if identity.waitroom_pass is not None:
        ours.append((PASS, identity.waitroom_pass))
    return [(name.encode(), value.encode()) for name, value in ours]


def _node(address: str) -> str:
    return f'"[{address}]"' if ":" in address else address


def _length(values: Iterable[bytes]) -> int | None:
    found = set(values)
    if not found:
        return None
    value = found.pop()
    if found or not value.isdigit():
        raise UpstreamUnavailable("no valid Content-Length in the answer")
    return int(value)


def _is_foreign(low: bytes, value: bytes) -> bool:
    """Tell whether the upstream hands out a cookie of ours."""
    return low == b"set-cookie" and value.lstrip().startswith(_OUR_COOKIES)
