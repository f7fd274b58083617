"""Turn the head of a plain request into the one that the upstream gets, by the rules of `proxy/headers.py`.

Lines that many visitors send alike are known again, and so is what one visitor's address comes to.
"""

from collections.abc import Sequence
from functools import lru_cache

from waitroom.proxy.headers import PASS, forwarded, identify, upstream_value
from waitroom.rules.heads import Head
from waitroom.rules.visitors import Network, is_trusted

_REMEMBERED, _LONGEST_REMEMBERED = 4096, 512
_TOLD = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
_PASS = PASS.encode("ascii")
_OF_ONE_VISITOR = frozenset({b"authorization", b"cookie"})


class OnwardHeads:
    """The heads that go on."""

    def __init__(self, trusted: Sequence[Network], scheme: str) -> None:
        """Believe `trusted` proxies about others; visitors come by `scheme` where none of those says otherwise."""
        self._trusted = trusted
        self._scheme = scheme
        self._believes = lru_cache(_REMEMBERED)(lambda address: is_trusted(address, trusted))
        self._known_words = lru_cache(_REMEMBERED)(self._words)
        self._known_lines: tuple[dict[bytes, bytes], dict[bytes, bytes]] = ({}, {})

    def head(self, head: Head, address: str, shown: str | None) -> bytes:
        """Return the bytes for the upstream; `address` is the peer's, `shown` the pass of who is in.

        The fields of a plain request belong to one connection, so what they come to is left with them.
        """
        block = head.fields.onward
        if block is None:
            block = head.fields.onward = self._block(head, address)
        first = f"{head.method} {head.target} HTTP/1.1\r\n".encode("ascii")
        if shown is None:
            return first + block + b"\r\n"
        return b"%b%b%b: %b\r\n\r\n" % (first, block, _PASS, shown.encode("ascii"))

    def _block(self, head: Head, address: str) -> bytes:
        believed = self._believes(address)
        known, lines = self._known_lines[believed], []
        for line in head.fields.lines:
            kept = known.get(line)
            if kept is None:
                kept = self._keep(line, believed)
            if kept:
                lines.append(kept)
        said = map(head.headers.get, _TOLD) if believed else ()
        words = self._known_words if len(head.headers.get("X-Forwarded-For", "")) < _LONGEST_REMEMBERED else self._words
        return b"\r\n".join([*lines, *words(address, head.fields.host, *said), b""])

    def _words(self, address: str, host: str, *said: str | None) -> list[bytes]:
        """Return the lines that say whom a request is for."""
        told = [("Host", host), *((name, value) for name, value in zip(_TOLD, said, strict=False) if value is not None)]
        raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in told]
        identity = identify(address, raw, self._trusted, scheme=self._scheme)
        return [name + b": " + value for name, value in forwarded(identity)]

    def _keep(self, line: bytes, believed: bool) -> bytes:
        """Return what goes on of a header line, b"" for nothing."""
        name, _, rest = line.partition(b":")
        low = name.lower()
        found = upstream_value(name, rest.strip(), is_peer_trusted=believed)
        kept = b"" if found is None else name + b": " + found
        if low not in _OF_ONE_VISITOR and len(line) <= _LONGEST_REMEMBERED:
            known = self._known_lines[believed]
            if len(known) >= _REMEMBERED:
                known.clear()
            known[line] = kept
        return kept
